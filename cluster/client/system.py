"""How the cluster itself does: its Redis, its queues, its runs in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from cluster import catalog, keys, redis_client
from cluster.nodes import wanted

if TYPE_CHECKING:
    from cluster.client.nodes import Node
    from cluster.stores import Stores


class RedisFigures(BaseModel):
    """The Redis that keeps the cluster's runs."""

    version: str
    uptime_s: int
    used_bytes: int
    limit_bytes: int | None
    """Its ``maxmemory``; None where it has none, and may take all memory of its machine."""
    machine_bytes: int
    connections: int
    commands_per_s: int
    is_kept: bool
    """Whether it writes what it has to a disk."""


class System(BaseModel):
    """How the cluster itself does."""

    redis: RedisFigures
    queues: dict[str, int]
    """Capability -> messages that wait for a node with a free slot; those without any are left out."""
    runs: dict[str, int]
    """State -> how many runs are kept in it."""


def read(stores: Stores, nodes: Iterable[Node]) -> System:
    """How the cluster does now.

    Args:
        stores: The cluster's.
        nodes: Its nodes: their capabilities name the queues, with those that runs want.
    """
    capabilities = {job for node in nodes for job in node.jobs}
    capabilities |= {job.capability for job in catalog.jobs().values()} | set(wanted.read(stores))
    states = Counter(filter(None, stores.ledger.runs.states(stores.ledger.runs.listed())))
    return System(redis=_redis(stores), queues=_queues(stores, sorted(capabilities)), runs=dict(sorted(states.items())))


def _redis(stores: Stores) -> RedisFigures:
    said: Any = stores.redis.info()
    used, limit = redis_client.memory(stores.redis)
    return RedisFigures(
        version=str(said.get("redis_version", "")),
        uptime_s=int(said.get("uptime_in_seconds", 0)),
        used_bytes=used,
        limit_bytes=limit,
        machine_bytes=int(said.get("total_system_memory", 0)),
        connections=int(said.get("connected_clients", 0)),
        commands_per_s=int(said.get("instantaneous_ops_per_sec", 0)),
        is_kept=bool(said.get("aof_enabled")),
    )


def _queues(stores: Stores, capabilities: list[str]) -> dict[str, int]:
    with stores.redis.pipeline(transaction=False) as pipe:
        for capability in capabilities:
            pipe.llen(keys.queue(capability))
        lengths = pipe.execute(raise_on_error=False)
    return {
        capability: length
        for capability, length in zip(capabilities, lengths, strict=True)
        if isinstance(length, int) and length
    }
