"""How fast the links of a cluster are, for people."""

from __future__ import annotations

from collections.abc import Sequence

from cluster import logs
from cluster.cli import texts
from cluster.client.nodes import Links, Node

HEADS = ("NODE", "SITE", "UP", "DOWN", "ROUND TRIP", "EDGE", "EDGE UP", "EDGE DOWN", "LAN", "DEVICES")
UNKNOWN = "-"


def links(found: Sequence[Node], width: int | None = None) -> str:
    """A table of the nodes that are not gone, by site; one column where a terminal of that width has no room for it."""
    there = sorted((node for node in found if node.state != "gone"), key=lambda node: (node.site, node.name))
    if not there:
        return texts.nodes(())
    return "\n".join(texts.table(HEADS, [_row(node) for node in there], width))


def _row(node: Node) -> tuple[str, ...]:
    words = (node.name, node.site, *_speeds(node.links), _milliseconds(node.links.rtt_s), node.edge)
    row = (*words, *_speeds(node.edge_links), node.lan, ", ".join(node.devices))
    return tuple(logs.plain(word) or UNKNOWN for word in row)


def _speeds(links: Links) -> tuple[str, str]:
    return _speed(links.up_bytes_s), _speed(links.down_bytes_s)


def _speed(bytes_s: float | None) -> str:
    return UNKNOWN if bytes_s is None else f"{bytes_s * 8 / 1e6:.3g} Mb/s"


def _milliseconds(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{seconds * 1000:.1f} ms"
