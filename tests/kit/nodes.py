"""Nodes as others see them, without a worker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cluster.nodes.registry import Node, NodeReport

REPORT: dict[str, Any] = {
    "slots": 1, "busy": 0, "done": 0, "cores": 1, "memory_total_bytes": 2, "memory_available_bytes": 1, "load": 0,
    "jobs": [], "versions": {},
}  # fmt: skip


def a_report(**fields: Any) -> NodeReport:
    """What a node tells of itself: these fields, and of the others the least."""
    return NodeReport(**REPORT | fields)


def a_node(name: str = "one@test", **fields: Any) -> Node:
    """A node that is online, unless ``state`` says otherwise."""
    now = datetime.now(UTC)
    about = {"name": name, "state": "online", "joined_at": now, "last_seen_at": now, "incarnation": name}
    return Node(**REPORT | about | {"phase": "here"} | fields)
