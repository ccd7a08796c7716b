"""Numbers of the cluster and of this page, as Prometheus reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from cluster.web import node_rows

if TYPE_CHECKING:
    from cluster.client.nodes import Node
    from cluster.client.system import System
    from cluster.web.system import Disk

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Row = tuple[Mapping[str, str], float]
STATES = ("online", "leaving", "silent", "gone")


def text(nodes: Sequence[Node], system: System, disk: Disk) -> str:
    """All numbers. Each is a gauge: what is so now."""
    lines = [line for name, meaning, rows in _all(nodes, system, disk) for line in _metric(name, meaning, rows)]
    return "\n".join([*lines, ""])


def _all(nodes: Sequence[Node], system: System, disk: Disk) -> Iterator[tuple[str, str, Iterable[Row]]]:
    states = Counter[str](node.state for node in nodes)
    here = [node for node in nodes if node.state in node_rows.HERE]
    yield "cluster_nodes", "Nodes by state.", [({"state": state}, states[state]) for state in STATES]
    yield "cluster_slots", "Slots of the nodes that are here.", _each(here, "slots")
    yield "cluster_slots_allowed", "Of these, how many a node fills at most for now.", _each(here, "slots_to_fill")
    yield "cluster_slots_busy", "Of these, how many work.", _each(here, "busy")
    yield "cluster_tasks_done", "Tasks that a node has ended since it was started.", _each(here, "done")
    yield "cluster_node_paused", "1 for a node that somebody has paused.", [
        ({"node": node.name}, int(bool(node.paused_by))) for node in here
    ]  # fmt: skip
    yield "cluster_node_memory_available_bytes", "Memory that is free there.", _each(here, "memory_available_bytes")
    yield "cluster_node_load", "Processes that want a core, mean of a minute.", _each(here, "load")
    yield "cluster_runs", "Runs that are kept, by state.", [
        ({"state": state}, count) for state, count in system.runs.items()
    ]  # fmt: skip
    yield "cluster_queue_length", "Messages that wait for a slot, by capability.", [
        ({"capability": capability}, length) for capability, length in system.queues.items()
    ]  # fmt: skip
    yield "cluster_redis_memory_bytes", "Memory that Redis uses.", [({}, system.redis.used_bytes)]
    if system.redis.limit_bytes is not None:
        yield "cluster_redis_memory_limit_bytes", "Memory that Redis may use.", [({}, system.redis.limit_bytes)]
    yield "cluster_redis_connections", "Connections to Redis.", [({}, system.redis.connections)]
    yield "cluster_page_held_bytes", "What this page keeps on its disk, by folder.", [
        ({"folder": name}, size) for name, size in disk.held_bytes.items()
    ]  # fmt: skip
    yield "cluster_page_disk_free_bytes", "What is free on that disk.", [({}, disk.free_bytes)]


def _each(nodes: Iterable[Node], field: str) -> list[Row]:
    return [({"node": node.name}, getattr(node, field)) for node in nodes]


def _metric(name: str, meaning: str, rows: Iterable[Row]) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} gauge"
    for labels, value in rows:
        shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{{{shown}}} {value}" if shown else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
