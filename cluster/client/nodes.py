"""The machines of a cluster, as its users see them, and how they are asked to stop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from cluster import redis_url
from cluster.nodes.registry import HEARTBEAT_S, PENDING, Links, Node
from cluster.nodes.sites import odd_edges
from cluster.settings import DEFAULT_MASTER

if TYPE_CHECKING:
    from cluster.settings import Settings
    from cluster.stores import Stores

__all__ = [
    "HEARTBEAT_S", "PENDING", "Links", "Node", "Stopped", "join_line", "odd_edges", "rejections", "shut_down",
]  # fmt: skip
POLL_S = 0.1


class Stopped(NamedTuple):
    """A node that was asked to stop."""

    name: str
    has_answered: bool


def join_line(config: Settings) -> str:
    """Return the command that makes another machine join this cluster."""
    url = config.given_broker()
    is_other = url.startswith(redis_url.SENTINEL) and config.sentinel_master != DEFAULT_MASTER
    master = f"CLUSTER_SENTINEL_MASTER={config.sentinel_master} " if is_other else ""
    shown = redis_url.masked(url)
    hidden = "" if shown == url else " (for *** the password, as in the line that `cluster up` printed)"
    return f"{master}CLUSTER_BROKER_URL='{shown}' cluster worker{hidden}"


def rejections(requirement: str, nodes: Iterable[Node]) -> dict[str, str]:
    """Node -> why it does not do a run: it lacks something, or does not know the job, or in another version."""
    return {node.name: why for node in nodes if node.state == "online" and (why := node.why_not(requirement))}


def shut_down(config: Settings, stores: Stores, asked: Sequence[Node], *, now: bool, wait_s: float) -> list[Stopped]:
    """Ask nodes to stop, and wait for their answers for ``wait_s`` seconds; see ``Client.shut_down``."""
    from cluster import celery_app

    stores.nodes.set_desired_state(asked, "stop-now" if now else "stop")
    # The row of the desired state is what counts; the broadcast only reaches nodes a second earlier.
    with closing(celery_app.build(config)) as app:
        app.control.broadcast("heartbeat_now", destination=[node.name for node in asked])
    deadline = time.monotonic() + wait_s
    waiting = {node.name: node.incarnation for node in asked}  # each incarnation of a node answers for itself
    while waiting and time.monotonic() < deadline:
        time.sleep(POLL_S)
        for node in stores.nodes.nodes():
            if waiting.get(node.name) == node.incarnation and node.phase != "here":
                del waiting[node.name]
    return [Stopped(node.name, node.name not in waiting) for node in asked]
