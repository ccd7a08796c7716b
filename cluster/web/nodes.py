"""The machines of the cluster: what they do now, and how they are asked to pause, to go on and to stop."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.responses import StreamingResponse

from cluster.client.nodes import Answer, Node
from cluster.roles import Role
from cluster.web import live_streams, node_rows, nodes_seen
from cluster.web.channels import Message
from cluster.web.node_rows import Cells, NodeRow, Summary
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route, Stream, View

if TYPE_CHECKING:
    from cluster.web.context import Web

WHOLE_S = 10.0
"""Watchers are told all rows after so long, in seconds: one who is slow may have missed changes."""
WAIT_S = 3.0
"""How long an answer to a person waits for the node to do as it was asked, in seconds."""
Shown = dict[str, dict[str, Any]]
"""Node -> cell -> what it shows."""


class Nodes(BaseModel):
    """The machines of the cluster, and those that left it within a day."""

    nodes: list[NodeRow]

    @property
    def summary(self) -> str:
        """The line above the table."""
        return str(node_rows.summary(row.node for row in self.nodes))

    @property
    def lacking(self) -> list[NodeRow]:
        """The nodes that are here and lack something, or have other versions than most."""
        return [row for row in self.nodes if row.node.state in node_rows.HERE and (row.lacks or row.unlike)]

    @property
    def blank(self) -> Cells:
        """A row without a node, to copy."""
        return node_rows.BLANK

    def cells(self, row: NodeRow) -> Cells:
        """The row as it is shown."""
        return node_rows.cells(row)


class OneNode(BaseModel):
    """A machine of the cluster."""

    row: NodeRow

    @property
    def cells(self) -> Cells:
        """The node as it is shown."""
        return node_rows.cells(self.row)


class Asking(BaseModel):
    """What came of asking a node to pause, to go on or to stop."""

    name: str
    has_answered: bool
    """Whether it does so now. If not, it hears of it once it is heard of again."""


class Watched:
    """Reads the nodes for all who watch them: the cells that have changed, from time to time all."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._told: Shown = {}
        self._next_s = self._whole_s = -math.inf

    def first(self, after: str) -> Message:
        """All rows."""
        total, rows = self._read()
        return _message(total, rows, rows)

    def look(self) -> Message | None:
        """The cells that have changed, and the names of all rows in their order; None where nothing has."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return None
        began_s = time.thread_time()
        try:
            return self._changes(now_s)
        except Exception:
            self._whole_s = -math.inf  # the watchers are told once Redis is back, also where nothing has changed
            raise
        finally:
            self._next_s = now_s + nodes_seen.pause_s(time.thread_time() - began_s)

    def _changes(self, now_s: float) -> Message | None:
        total, rows = self._read()
        before, self._told = self._told, rows
        if now_s - self._whole_s > WHOLE_S:
            self._whole_s = now_s
            return _message(total, rows, rows)
        changed = {
            name: {field: value for field, value in row.items() if before.get(name, {}).get(field) != value}
            for name, row in rows.items()
        }
        if list(before) == list(rows) and not any(changed.values()):
            return None
        return _message(total, rows, {name: row for name, row in changed.items() if row})

    def _read(self) -> tuple[Summary, Shown]:
        self._web.history.follow(self._web.client)
        rows = node_rows.rows(self._web.nodes_seen.now(), {})
        paths = self._web.history.paths()
        total = node_rows.summary(row.node for row in rows)
        return total, {row.node.name: node_rows.cells(row, paths.get(row.node.name, ""))._asdict() for row in rows}


def _message(total: Summary, rows: Shown, told: Shown) -> Message:
    return Message({"summary": str(total), "here": total.here, "slots": total.slots, "names": list(rows), "rows": told})


def show_all(asked: Asked) -> Nodes:
    """All nodes."""
    return Nodes(nodes=_rows(asked.web))


def show(asked: Asked) -> OneNode:
    """One node."""
    found = [row for row in _rows(asked.web) if row.node.name == asked.at["node"]]
    if not found:
        raise _unknown(asked.at["node"])
    return OneNode(row=found[0])


async def live(asked: Asked) -> StreamingResponse:
    """Events of all nodes."""
    return live_streams.events(asked, "nodes", lambda: Watched(asked.web))


def pause(asked: Asked) -> Asking:
    """Have a node take no work."""
    node = _node(asked)
    return _asking(asked.web.client.pause_nodes([node], by=asked.who.name, wait_s=WAIT_S))


def go_on(asked: Asked) -> Asking:
    """Have a node take work again."""
    node = _node(asked)
    return _asking(asked.web.client.go_on_nodes([node], wait_s=WAIT_S))


def stop(asked: Asked) -> Asking:
    """Have a node's worker end."""
    node = _node(asked)
    return _asking(asked.web.client.shut_down([node], wait_s=WAIT_S))


def _rows(web: Web) -> list[NodeRow]:
    web.history.follow(web.client)
    return node_rows.rows(web.nodes_seen.now(), web.history.recent())


def _node(asked: Asked) -> Node:
    """The node of the address."""
    name = asked.at["node"]
    node = next((node for node in asked.web.client.nodes() if node.name == name and node.state != "gone"), None)
    if node is None:
        raise _unknown(name)
    return node


def _unknown(name: str) -> Problem:
    return Problem(404, f"there is no node {name[:100]!r} here now: /nodes lists those that are")


def _asking(answers: list[Answer]) -> Asking:
    [answer] = answers
    return Asking(name=answer.name, has_answered=answer.has_answered)


ROUTES: tuple[Route, ...] = (
    View("/nodes", show_all, "nodes.html", "The machines of the cluster."),
    View("/nodes/{node:path}", show, "node.html", "One machine of the cluster."),
    Stream("/api/nodes/live", live, "What the nodes do, as it changes.", "text/event-stream"),
    Action("POST", "/api/nodes/{node:path}/pause", pause, "Have a node take no work until it goes on.", Role.OPERATOR),
    Action("POST", "/api/nodes/{node:path}/go-on", go_on, "Have a node take work again.", Role.OPERATOR),
    Action("POST", "/api/nodes/{node:path}/stop", stop, "Have a node end its work, and its worker.", Role.OPERATOR),
)
