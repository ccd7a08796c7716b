"""``cluster master``."""

from __future__ import annotations

import time
from contextlib import ExitStack

import click

from cluster import client
from cluster.cli import foreground, kept_cluster, shared
from cluster.cli.shutdown import shut_down

FOREVER_S = 3600.0


@click.command("master", epilog="\b\nExample:\n  cluster master --broker redis://:password@host:6379/0")
@click.option("--shutdown-nodes", is_flag=True, help="When it is stopped, ask all nodes to stop first.")
@shared.broker
def command(shutdown_nodes: bool, broker: str | None) -> int:
    """Take over runs whose submitter is gone, and see that nothing is lost while nodes come and go.

    Works until it is stopped. Several may work; each run is coordinated by one of them. A run whose input was not
    read to its end gets as far as it was read, until somebody resumes it (`cluster resume`).

    It wants a broker: a `cluster web` without one, and a `cluster up`, are masters of their own cluster.
    """
    kept_cluster.require_named(broker)
    c = client.existing(broker)
    with foreground.terminable(), ExitStack() as working:
        try:
            working.enter_context(c.master())
            while True:
                time.sleep(FOREVER_S)
        except (KeyboardInterrupt, SystemExit):
            if shutdown_nodes:
                shut_down(c)
    return 0
