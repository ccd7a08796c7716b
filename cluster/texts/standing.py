"""Why a run stands though nodes can do its job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cluster import logs
from cluster.texts import count

if TYPE_CHECKING:
    from cluster.client.nodes import Node
    from cluster.client.run import Status


def why_it_stands(found: Status, there: Iterable[Node]) -> str:
    """A sentence about a run that stands: each node that serves it is paused, or has rejected chunks of it; else ""."""
    serving = [node for node in there if node.serves(found.requirement)]
    paused = [logs.plain(f"{node.name} by {node.paused_by}") for node in serving if node.paused_by]
    takes = [node for node in serving if not node.paused_by and node.name not in found.rejections]
    if found.state != "running" or found.paused or found.chunks_running or not serving or takes:
        return ""
    if not paused:
        why = f"reject it ({count(len(serving), 'node')})"
    else:
        others = " or reject it" if len(paused) < len(serving) else ""
        why = f"are paused{others} ({', '.join(paused)}); `cluster nodes --go-on NAME` has a node go on"
    return f"no node takes the rest of this run: all that can do the job {why}"
