"""``cluster shutdown``."""

from __future__ import annotations

import time

import click

from cluster import celery_app, errors, logs
from cluster.cli import say, shared
from cluster.nodes.registry import Node, Registry
from cluster.runs import Stores
from cluster.settings import Settings

POLL_S = 0.1


@click.command(
    "shutdown",
    epilog="\b\nExamples:\n  cluster shutdown --node worker@kitchen\n  cluster shutdown --now",
)
@click.option("--node", "names", multiple=True, metavar="NAME", help="Only this node; may be given again.")
@click.option("--now", is_flag=True, help="Do not wait for the chunks they work on; others do those again.")
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
    """Ask nodes to stop, by default all. They end what they work on first, and take nothing new.

    Exits with 0 when all confirmed, with 5 when some did not: those hear of it when they are heard of again.
    """
    config, stores = shared.connect(broker)
    all_answered = shut_down(config, stores, _choose(stores.nodes, names), now=now, wait_s=wait_s)
    return 0 if all_answered else errors.RunError.exit_code


def shut_down(
    config: Settings, stores: Stores, asked: list[Node] | None = None, *, now: bool = False, wait_s: float = 10.0
) -> bool:
    """Ask nodes to stop, by default all that are there, and tell which answered within ``wait_s``; whether all did."""
    if asked is None:
        asked = [node for node in stores.nodes.nodes() if node.state != "gone"]
    stores.nodes.wish(asked, "stop-now" if now else "stop")
    # The wish is what counts; the broadcast reaches those who listen a second earlier.
    app = celery_app.build(config)
    app.control.broadcast("beat", destination=[node.name for node in asked])
    app.close()
    waiting = _wait(stores.nodes, asked, wait_s)
    for node in asked:
        say(f"{logs.plain(node.name)}: {'has not answered' if node.name in waiting else 'stops'}")
    return not waiting


def _choose(registry: Registry, names: tuple[str, ...]) -> list[Node]:
    found = {node.name: node for node in registry.nodes() if node.state != "gone"}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise errors.UsageError(f"no node {unknown[0]!r} (there are: {logs.plain(', '.join(found)) or 'none'})")
    if not found:
        raise errors.UsageError("this cluster has no nodes")
    return [found[name] for name in names or found]


def _wait(registry: Registry, asked: list[Node], wait_s: float) -> set[str]:
    """The names of those who have not answered in time: each start of a node answers for itself."""
    deadline = time.monotonic() + wait_s
    waiting = {node.name: node.start for node in asked}
    while waiting and time.monotonic() < deadline:
        time.sleep(POLL_S)
        for node in registry.nodes():
            if waiting.get(node.name) == node.start and node.said != "here":
                del waiting[node.name]
    return set(waiting)
