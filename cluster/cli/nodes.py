"""``cluster nodes``."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence

import click

from cluster import client, errors, logs
from cluster.cli import kept_cluster, link_texts, print_text, say, shared, texts
from cluster.cli.shutdown import choose
from cluster.client import Client
from cluster.client.nodes import HEARTBEAT_S, Answer, odd_edges


@click.command(
    "nodes",
    epilog="\b\nExamples:\n  cluster nodes --watch\n  cluster nodes --links --json"
    "\n  cluster nodes --pause worker@kitchen\n  cluster nodes --go-on worker@kitchen",
)
@click.option("-w", "--watch", is_flag=True, help="Show them again every second, until Ctrl-C.")
@click.option("--links", is_flag=True, help="Show their sites and devices, and how fast bytes cross to them.")
@click.option("--pause", "pauses", multiple=True, metavar="NAME", help="Have this node take no work; several times.")
@click.option("--go-on", "goes_on", multiple=True, metavar="NAME", help="Have it take work again; several times.")
@shared.broker
@shared.as_json
def command(
    watch: bool, links: bool, pauses: tuple[str, ...], goes_on: tuple[str, ...], broker: str | None, as_json: bool
) -> int:
    """Show the machines of a cluster, and those that left it within a day.

    With --links: the site of each, the speed of its transfers of 256 KiB and more to and from the hub and its
    site's edge store, its round trip to the hub, and the address by which its site may reach it. With --json, all is
    told.

    With --pause: the node ends what it works on and takes no work, also after a new start, until --go-on. Exits with
    0 if all confirmed, with 5 if some did not: these hear of it when they are back.
    """
    if pauses or goes_on:
        return _ask(kept_cluster.acting(broker), pauses, goes_on)
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
            return 0
        time.sleep(HEARTBEAT_S)


def _ask(c: Client, pauses: tuple[str, ...], goes_on: tuple[str, ...]) -> int:
    """Have nodes pause and go on, and tell which have answered."""
    if both := set(pauses) & set(goes_on):
        raise errors.UsageError(f"{min(both)!r} cannot both pause and go on")
    found = c.nodes()
    to_pause, to_go_on = (choose(found, names) if names else [] for names in (pauses, goes_on))
    answers = _tell(c.pause_nodes(to_pause), "paused") if to_pause else []
    answers += _tell(c.go_on_nodes(to_go_on), "goes on") if to_go_on else []
    return 0 if all(answer.has_answered for answer in answers) else errors.RunError.exit_code


def _tell(answers: Sequence[Answer], done: str) -> list[Answer]:
    for node in answers:
        say(f"{logs.plain(node.name)}: {done if node.has_answered else 'has not answered'}")
    return list(answers)
