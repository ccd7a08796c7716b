"""``cluster up``."""

from __future__ import annotations

import signal
import socket
import sys
import time
from contextlib import closing
from typing import Any

import click

from cluster import celery_app, nodes, runs, session, settings
from cluster.cli import foreground, say
from cluster.local import LOOPBACK, LocalCluster
from cluster.runs.master import Master

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - compared with, not bound to
STOP_GRACE_S = 10.0


@click.command(
    "up",
    epilog="\b\nExamples:\n"
    "  cluster up                   # for this machine\n"
    "  cluster up --host 0.0.0.0    # for every machine that reaches this one and knows the password",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="IPv4 address or name to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of its Redis; 0: any free one.")
@click.option("--no-worker", is_flag=True, help="Start the Redis only: this machine takes no work.")
def command(host: str, port: int, no_worker: bool) -> None:
    """Start a cluster on this machine and keep it until Ctrl-C.

    Prints the line with which another terminal or machine joins. Its Redis has a random password and
    keeps nothing on disk: with the cluster, its runs are gone. It is a `cluster master`, too.
    """
    foreground.catch(_leave, signal.SIGTERM, signal.SIGHUP)
    with LocalCluster(host, port, grace_s=STOP_GRACE_S) as local:
        if not no_worker:
            local.start_worker()
        click.echo(f"export CLUSTER_BROKER_URL={local.url_at(_reachable(host))}")
        sys.stdout.flush()
        click.echo(
            "\nWith this line in another terminal:\n"
            "  cluster submit --job ocr ./images    runs on this cluster\n"
            "  celery -A cluster worker             adds a worker\n"
            "Ctrl-C ends it.",
            err=True,
        )
        for job, problem in nodes.abilities().items():
            if problem and not no_worker:
                click.echo(nodes.left_out(job, problem), err=True)
        if host == LOOPBACK:
            click.echo("For other machines to join, start it with --host 0.0.0.0.", err=True)
        config = settings.load(broker_url=local.url)
        stores = runs.connect(config, patient=False)
        try:
            with closing(celery_app.build(config, patient=False)) as app, Master(app, stores, config, session.whoami()):
                while True:
                    local.check(needed=["redis"])
                    if news := local.worker_news():
                        say(f"the worker of this machine has ended ({news}); the cluster goes on")
                    time.sleep(0.5)
        except KeyboardInterrupt:
            say("ending the cluster")


def _leave(*_: Any) -> None:
    raise KeyboardInterrupt


def _reachable(host: str) -> str:
    """The address under which others find a host that listens on all of its addresses."""
    if host != ALL_ADDRESSES:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; asks which address would be used
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
