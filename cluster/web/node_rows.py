"""Nodes as rows of a table: how they are, in a word and its reason, and what they lack. No Redis, no request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel

from cluster import names
from cluster.client.nodes import PENDING, Node
from cluster.web import node_history, render

HERE = ("online", "leaving")
"""The states of a node that is heard of."""


class NodeRow(BaseModel):
    """A node, and what people want to see of it at once."""

    node: Node
    state: str
    """"online", "in use", "on battery", "memory low", "paused", "leaving", "silent" or "gone"."""
    why: str
    """Why it is no more than that, for people; "" for a node that is online."""
    lacks: dict[str, str]
    """Capability -> why it does not serve it, also where an older job is served than is installed."""
    unlike: dict[str, str]
    """Program -> its version there, where most other nodes have another one."""
    recent: list[float | None]
    """The share of its slots that were busy in the last ten minutes, a number each five seconds, the last one is now;
    None where it was not heard of."""


class Cells(NamedTuple):
    """A row as it is shown, each cell a text."""

    label: str
    state: str
    why: str
    slots: str
    busy: str
    """The share that is filled, 0 to 100."""
    done: str
    memory: str
    load: str
    jobs: str
    lacks: str
    path: str
    """The recent share of busy slots as the path of an SVG that is ``node_history.WIDTH`` wide and 20 high."""
    paused: bool
    here: bool
    """Whether it can be asked to pause or stop."""


BLANK = Cells("", "", "", "", "0", "", "", "", "", "", "", paused=False, here=False)
"""Of a row that a script fills."""


def rows(nodes: Sequence[Node], recent: Mapping[str, Sequence[float | None]]) -> list[NodeRow]:
    """A row for each node: those that are here first, by name.

    Args:
        nodes: All of them.
        recent: Node -> the share of its slots that were busy, as ``NodeRow.recent``.
    """
    usual = usual_versions(nodes)
    found = [
        NodeRow(
            node=node,
            state=(said := state(node))[0],
            why=said[1],
            lacks=lacks(node),
            unlike={
                name: version
                for name, version in node.versions.items()
                if node.state in HERE and version != usual.get(name, version)
            },
            recent=list(recent.get(node.name, ())),
        )
        for node in nodes
    ]
    return sorted(found, key=lambda row: (row.node.state == "gone", row.node.name))


def state(node: Node) -> tuple[str, str]:
    """How a node is, in a word, and why it is not simply online."""
    if node.state in ("silent", "gone"):
        return node.state, f"last heard {render.moment(node.last_seen_at)}"
    if node.state == "leaving":
        return "leaving", "ends what it works on"
    if node.held_back and not node.slots_to_fill:
        return "paused", node.held_back
    if node.held_back:
        return node.held_back, f"fills {node.slots_to_fill} of {node.slots} slots"
    return "online", ""


def lacks(node: Node) -> dict[str, str]:
    """Capability -> why a node does not serve it. A job that it lacks altogether is told once, not for each model."""
    found = {
        capability: why
        for capability, why in sorted(node.missing.items())
        if why != PENDING
        and ((plain := names.plain(capability)) == capability or node.missing.get(plain) != why)
    }  # fmt: skip
    return found | dict(sorted(node.outdated.items()))


def usual_versions(nodes: Iterable[Node]) -> dict[str, str]:
    """Program -> the version that most nodes that are here have of it."""
    counts: dict[str, Counter[str]] = {}
    for node in nodes:
        if node.state in HERE:
            for name, version in node.versions.items():
                counts.setdefault(name, Counter())[version] += 1
    return {name: max(sorted(found), key=found.__getitem__) for name, found in counts.items()}


def cells(row: NodeRow, path: str | None = None) -> Cells:
    """The row as it is shown. Numbers are rounded, so that few of them change each second.

    Args:
        row: The node's.
        path: ``row.recent`` as a path, where that is known.
    """
    node, here = row.node, row.node.state in HERE
    return Cells(
        label=render.plain(node.name),
        state=row.state,
        why=render.plain(row.why),
        slots=f"{node.busy} of {node.slots}" if here else str(node.slots),
        busy=str(round(100 * min(1.0, node.busy / node.slots)) if here else 0),
        done=render.count(node.done),
        memory=f"{_gib(node.memory_available_bytes)} of {_gib(node.memory_total_bytes)} GiB" if here else "",
        load=f"{node.load:.1f}" if here else "",
        jobs=render.plain(" ".join(node.jobs)),
        lacks=render.plain(f"lacks {', '.join(row.lacks)}") if row.lacks and here else "",
        path=node_history.path(row.recent) if path is None else path,
        paused=bool(node.paused_by),
        here=here,
    )


class Summary(NamedTuple):
    """The nodes that are here, together."""

    here: int
    slots: int
    busy: int

    def __str__(self) -> str:
        return f"{self.here} here, {self.slots} slots, {self.busy} at work"


def summary(nodes: Iterable[Node]) -> Summary:
    """How many nodes and slots there are, and how many slots work."""
    here = [node for node in nodes if node.state in HERE]
    return Summary(len(here), sum(node.slots for node in here), sum(node.busy for node in here))


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f}"
