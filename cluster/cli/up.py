"""``cluster up``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cluster import addresses, catalog, settings
from cluster.cli import print_text, say, shared, stay
from cluster.client import own_cluster
from cluster.client.own_cluster import OwnCluster
from cluster.embedded import LOOPBACK


@click.command(
    "up",
    epilog="\b\nExamples:\n"
    "  cluster up                   # for this machine\n"
    "  cluster up --host 0.0.0.0    # for every machine that reaches this one and knows the password\n"
    "  cluster up --host 0.0.0.0 --data ~/hub    # the same one again when this machine was restarted",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="IPv4 address or name to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of its Redis; 0: any free one.")
@click.option(
    "--data",
    type=shared.FOLDER,
    is_flag=False,
    flag_value=str(shared.NO_NAME),
    metavar="[DIR]",
    help="Keep port, password and runs in this folder: started with it again, it is the same cluster. Without DIR, in"
    " the folder of `cluster web`.",
)
@click.option("--no-worker", is_flag=True, help="Start the Redis only: this machine takes no work.")
def command(host: str, port: int, data: Path | None, no_worker: bool) -> None:
    """Start a cluster on this machine and keep it until Ctrl-C.

    Prints the line with which another terminal or machine joins. Its Redis has a random password and
    keeps nothing on disk: with the cluster, its runs are gone, unless they are kept with --data. It is a
    `cluster master`, too. Without --data, Ctrl-C must be pressed twice during a run.
    """
    stay.listen_to_signals()
    again = "" if data is None else "cluster up --data" if data == shared.NO_NAME else f"cluster up --data {data}"
    data = own_cluster.folder(settings.load()) if data == shared.NO_NAME else data
    with OwnCluster(host, port, data=data, worker=not no_worker) as own:
        print_text(f"export CLUSTER_BROKER_URL={own.url_at(addresses.reachable(host))}")
        sys.stdout.flush()
        say(
            "\nWith this line in another terminal:\n"
            "  cluster submit --job ocr ./scans     runs on this cluster\n"
            "  cluster worker                       adds a worker\n"
            "Ctrl-C ends it."
        )
        if not no_worker and (told := catalog.lacks(catalog.abilities())):
            say(told)
        if host == LOOPBACK:
            say("For other machines to join, start it with --host 0.0.0.0.")
        try:
            with own.master():
                stay.until_ended(own, again)
        except KeyboardInterrupt:
            say("ending the cluster")
