"""How much the nodes have to do: the slots there are for a run, and the chunks that wait for one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cluster import catalog
from cluster.settings import MiB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cluster.nodes.registry import Node
    from cluster.settings import Settings
    from cluster.stores import Stores

LOOK_S = 0.05
SLOTS_LOOK_S = 1.0
AHEAD = 2
"""Messages a slot that may be on their way: one that is worked on, and one that waits."""
LEAST_BYTES, LEAST_CHUNKS = 64 * MiB, 512


def share(nodes: Iterable[Node], requirement: str, others: Sequence[str]) -> tuple[float, int]:
    """The slots that a run is to fill while others wait for the same nodes, and all slots that serve it.

    Args:
        nodes: All there are.
        requirement: What a node must serve to do the run.
        others: The requirement of each other run with chunks that wait.
    """
    mine, slots, chunk_bytes = 0.0, 0, memory_of(requirement)
    for node in nodes:
        if node.serves(requirement):
            fitting = node.fitting(node.slots_to_fill, chunk_bytes)
            mine += fitting / (1 + sum(map(node.serves, others)))
            slots += fitting
    return mine, slots


def memory_of(requirement: str) -> int | None:
    """The memory that a chunk of a run takes, in bytes; None: that of a slot, or not known here."""
    try:
        return catalog.chunk_memory_bytes(requirement)
    except ValueError:
        return None


class Backlog:
    """The waiting chunks and the slots of a run, for its splitter. Reads Redis again only after ``LOOK_S`` seconds.

    Args:
        stores: Where the run is kept.
        config: Its limits hold; where they are none they are as large as the nodes need.
        run: Whose chunks.
        requirement: What a node must serve to do them.
    """

    def __init__(self, stores: Stores, config: Settings, run: str, requirement: str) -> None:
        self._chunks, self._nodes = stores.ledger.chunks, stores.nodes
        self._config = config
        self._run = run
        self._requirement = requirement
        self._slots = self._claimed = 0
        self._looked_at = self._slots_looked_at = 0.0

    def waiting(self, unsettled: int) -> int:
        """Return how many of ``unsettled`` entered chunks no node has begun."""
        now = time.monotonic()
        if now - self._looked_at > LOOK_S:
            self._claimed, self._looked_at = self._chunks.claimed(self._run), now
        return max(0, unsettled - self._claimed)

    def limits(self, chunk_bytes: int, chunks_per_message: int) -> tuple[int, int]:
        """How much of the run may be on its way, in bytes and in chunks.

        Args:
            chunk_bytes: What a chunk has.
            chunks_per_message: How many travel in a message.
        """
        size, chunks = self._config.max_in_flight_bytes, self._config.max_in_flight_chunks
        wanted = AHEAD * self.slots() if size is None or chunks is None else 0
        return (
            max(LEAST_BYTES, wanted * chunk_bytes) if size is None else size,
            max(LEAST_CHUNKS, wanted * chunks_per_message) if chunks is None else chunks,
        )

    def feeds_all(self, published: int) -> bool:
        """Whether ``published`` chunks, none of them done, give each slot one to work on, and another one waits."""
        return 0 < AHEAD * self.slots() <= published and self.waiting(published) > 0

    def slots(self) -> int:
        """Slots of the nodes that serve the run."""
        now = time.monotonic()
        if now - self._slots_looked_at > SLOTS_LOOK_S:
            self._slots_looked_at = now
            serving = [node for node in self._nodes.nodes() if node.serves(self._requirement)]
            self._slots = sum(node.fitting(node.slots, memory_of(self._requirement)) for node in serving)
        return self._slots
