"""Find slow chunks, and begin a speculative copy of each on another node."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cluster.coordinator.backlog import memory_of
from cluster.ledger.lease import Lease
from cluster.ledger.records import Running
from cluster.ledger.row import Limits
from cluster.messaging import publish
from cluster.stores import Stores

if TYPE_CHECKING:
    from celery import Celery

SLOW_FACTOR = 2.0
"""A chunk is slow if it takes more than twice the time of the fastest free node."""
WORTH_FACTOR = 1.5
"""A chunk is begun a second time if its rest would take more than 1.5 times what the fastest free node needs."""
SLOW_FROM_S = 1.0
log = logging.getLogger(__name__)


def speculate(
    app: Celery, stores: Stores, lease: Lease, requirement: str, limits: Limits, unsettled: int,
    pace: Mapping[str, float],
) -> None:  # fmt: skip
    """Publish a speculative copy of each chunk that keeps the run waiting, where nodes have nothing else to do.

    Args:
        app: To publish with.
        stores: Where the run is kept.
        lease: Of the run.
        requirement: What a node must serve to do the run.
        limits: Of the run's messages.
        unsettled: How many of its chunks are entered and not settled.
        pace: Node -> seconds that it takes for a chunk of the run; see ``Chunks.pace``.
    """
    running = stores.ledger.chunks.running(lease.run)
    if not running or len(running) < unsettled:  # some wait in the queue
        return
    if not any(_may_be_slow(chunk, pace) for chunk in running):  # then the nodes need not be read
        return
    serving, chunk_bytes = (node for node in stores.nodes.nodes() if node.serves(requirement)), memory_of(requirement)
    free = {node.name: slots for node in serving if (slots := node.free_for(chunk_bytes))}
    slots = sum(free.values())
    for chunk in sorted(running, key=lambda chunk: -chunk.seconds):
        others = [pace[name] for name in free.keys() & pace.keys() if name != chunk.worker.node]
        if slots and others and is_slow(chunk, pace.get(chunk.worker.node), min(others)):
            why = f"{chunk.seconds:.1f} s so far; {min(others):.1f} s elsewhere"
            if lease.speculate(chunk.chunk, chunk.worker.node, why):
                log.info(
                    "run %s: chunk %s is slow on %s (%s); begun elsewhere as well",
                    lease.run, chunk.chunk, chunk.worker.node, why,
                    extra={
                        "event": "speculative-copy", "run": lease.run,
                        "chunk": chunk.chunk, "node": chunk.worker.node,
                    },
                )  # fmt: skip
                publish.publish_chunk(app, requirement, lease.run, chunk.chunk, limits)
                slots -= 1


def _may_be_slow(chunk: Running, pace: Mapping[str, float]) -> bool:
    """Whether a chunk is slow if all other nodes are free."""
    others = [seconds for name, seconds in pace.items() if name != chunk.worker.node]
    return bool(others) and is_slow(chunk, pace.get(chunk.worker.node), min(others))


def is_slow(chunk: Running, pace_s: float | None, elsewhere_s: float) -> bool:
    """Whether to begin a chunk a second time.

    Args:
        chunk: What is being worked on.
        pace_s: What its node takes for one, in the mean; None if it has done none.
        elsewhere_s: What the fastest free node takes.
    """
    if pace_s is not None and pace_s > SLOW_FACTOR * elsewhere_s and chunk.seconds < pace_s:
        return pace_s - chunk.seconds > max(WORTH_FACTOR * elsewhere_s, SLOW_FROM_S)
    return chunk.seconds > max(SLOW_FACTOR * elsewhere_s, elsewhere_s + SLOW_FROM_S)
