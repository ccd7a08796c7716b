"""``cluster nodes``."""

from __future__ import annotations

import shutil
import sys
import time

import click

from cluster import client, logs
from cluster.cli import link_texts, print_text, say, shared, texts
from cluster.client.nodes import HEARTBEAT_S, odd_edges


@click.command("nodes", epilog="\b\nExamples:\n  cluster nodes --watch\n  cluster nodes --links --json")
@click.option("-w", "--watch", is_flag=True, help="Show them again every second, until Ctrl-C.")
@click.option("--links", is_flag=True, help="Show their sites and devices, and how fast bytes cross to them.")
@shared.broker
@shared.as_json
def command(watch: bool, links: bool, broker: str | None, as_json: bool) -> None:
    """Show the machines of a cluster, and those that left it within a day.

    With --links: the site of each, the speed of its transfers of 256 KiB and more to and from the hub and its
    site's edge store, its round trip to the hub, and the address by which its site may reach it. With --json, all is
    told.
    """
    c = client.existing(broker)
    while True:
        found = c.nodes()
        if as_json:
            shared.print_json([node.model_dump(mode="json") for node in found])
        else:
            if watch:
                click.clear()
            show = link_texts.links if links else texts.nodes
            print_text(show(found, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
        for name, what in c.older_nodes().items():
            say(logs.plain(f"{name}: {what}"))
        for told in odd_edges(found):
            say(logs.plain(told))
        if not watch:
            return
        time.sleep(HEARTBEAT_S)
