"""``cluster nodes``."""

from __future__ import annotations

import shutil
import sys
import time

import click

from cluster import client, logs
from cluster.cli import print_text, say, shared, texts
from cluster.client.nodes import HEARTBEAT_S


@click.command("nodes", epilog="\b\nExamples:\n  cluster nodes --watch\n  cluster nodes --json")
@click.option("-w", "--watch", is_flag=True, help="Show them again every second, until Ctrl-C.")
@shared.broker
@shared.as_json
def command(watch: bool, broker: str | None, as_json: bool) -> None:
    """Show the machines of a cluster, and those that left it within a day."""
    c = client.existing(broker)
    while True:
        found = c.nodes()
        if as_json:
            shared.print_json([node.model_dump(mode="json") for node in found])
        else:
            if watch:
                click.clear()
            print_text(texts.nodes(found, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
        for name, what in c.older_nodes().items():
            say(logs.plain(f"{name}: {what}"))
        if not watch:
            return
        time.sleep(HEARTBEAT_S)
