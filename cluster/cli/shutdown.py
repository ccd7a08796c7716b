"""``cluster shutdown``."""

from __future__ import annotations

from collections.abc import Iterable

import click

from cluster import errors, logs
from cluster.cli import kept_cluster, say, shared
from cluster.client import Client
from cluster.client.nodes import Node


@click.command(
    "shutdown",
    epilog="\b\nExamples:\n  cluster shutdown --node worker@kitchen\n  cluster shutdown --now",
)
@click.option("--node", "names", multiple=True, metavar="NAME", help="Only this node; may be given again.")
@click.option("--now", is_flag=True, help="Do not wait for their current chunks; other nodes repeat these.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for their answers.",
)
@shared.broker
def command(names: tuple[str, ...], now: bool, wait_s: float, broker: str | None) -> int:
    """Ask nodes to stop, by default all. They finish their current work and take no new work.

    Without --node it wants a broker, also beside a `cluster web`: no node stops unasked.

    Exits with 0 if all confirmed, with 5 if some did not: these stop when they are back.
    """
    if not names:
        kept_cluster.require_named(broker)
    c = kept_cluster.acting(broker)
    all_answered = shut_down(c, choose(c.nodes(), names), now=now, wait_s=wait_s)
    return 0 if all_answered else errors.RunError.exit_code


def shut_down(c: Client, asked: list[Node] | None = None, *, now: bool = False, wait_s: float = 10.0) -> bool:
    """Ask nodes to stop, by default all that are there, and tell which answered within ``wait_s``; whether all did."""
    asked_of = c.shut_down(asked, now=now, wait_s=wait_s)
    for node in asked_of:
        say(f"{logs.plain(node.name)}: {'stops' if node.has_answered else 'has not answered'}")
    return all(node.has_answered for node in asked_of)


def choose(nodes: Iterable[Node], names: tuple[str, ...]) -> list[Node]:
    """The nodes that are there of these names; without any, all that are there.

    Raises:
        errors.UsageError: There is none, or none of a name.
    """
    found = {node.name: node for node in nodes if node.state != "gone"}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise errors.UsageError(f"no node {unknown[0]!r} (there are: {logs.plain(', '.join(found)) or 'none'})")
    if not found:
        raise errors.UsageError("this cluster has no nodes")
    return [found[name] for name in names or found]
