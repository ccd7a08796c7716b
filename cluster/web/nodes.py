"""The machines of the cluster."""

from __future__ import annotations

from pydantic import BaseModel

from cluster.client.nodes import Node
from cluster.web.routes import Asked, Route, View


class Nodes(BaseModel):
    """The machines of the cluster, and those that left it within a day."""

    nodes: list[Node]


def show(asked: Asked) -> Nodes:
    """All nodes."""
    return Nodes(nodes=asked.web.client.nodes())


ROUTES: tuple[Route, ...] = (View("/nodes", show, "nodes.html", "The machines of the cluster."),)
