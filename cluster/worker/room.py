"""How many chunks fit into the memory of a node. A chunk takes a slot, and memory from what all chunks share."""

from __future__ import annotations

import logging
from collections.abc import Collection

from cluster import catalog

log = logging.getLogger(__name__)


class Room:
    """The memory that the chunks of a node share.

    Args:
        memory_bytes: All of it; see ``capacity.chunk_memory_bytes``.
        slot_bytes: What a chunk takes whose job does not say.
    """

    def __init__(self, memory_bytes: int, slot_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self.beside_bytes = 0
        """Bytes of it that replicas of services take."""
        self._slot_bytes = slot_bytes
        self._known: dict[str, int] = {}

    def of(self, capability: str) -> int:
        """Bytes that a chunk of a run with this requirement takes; "" for what is no chunk."""
        if capability not in self._known:
            self._known[capability] = self._asked(capability)
        return self._known[capability]

    def taken_bytes(self, working: Collection[str]) -> int:
        """Bytes that chunks, or replicas, take together; each is given by its capability."""
        return sum(map(self.of, working))

    def has_place(self, working: Collection[str], expected: Collection[str]) -> bool:
        """Whether another chunk fits, whichever of those that may come it is. Nobody knows before it is here.

        Args:
            working: The capability of each chunk that is here.
            expected: The capabilities of which one may come.

        One chunk always fits: a machine that is too small for it tries all the same.
        """
        if not working:
            return True
        heaviest = max(map(self.of, expected), default=self._slot_bytes)
        taken = self.beside_bytes + self.taken_bytes(working)
        return taken + max(heaviest, self._slot_bytes) <= self.memory_bytes

    def _asked(self, capability: str) -> int:
        if not capability:
            return self._slot_bytes
        try:
            return catalog.chunk_memory_bytes(capability) or self._slot_bytes
        except Exception as error:  # noqa: BLE001 - a job's own mistake must not keep a node from the others
            log.warning("the memory that %s takes cannot be told: %s: %s", capability, type(error).__name__, error)
            return self._slot_bytes
