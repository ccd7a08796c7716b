"""The nodes as live pages see them, read once for all readers, and closely: one that was killed shows within 2 s."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.client import Client
    from cluster.client.nodes import Node

LOOK_S = 0.5
"""Seconds between two looks at the nodes; more where many nodes make a look take long."""
MOST_SHARE = 0.02
"""Of a core, that looks may take."""


def pause_s(look_s: float) -> float:
    """Seconds from one look to the next, if a look takes so many of a core."""
    return max(LOOK_S, look_s / MOST_SHARE)


class NodesSeen:
    """What was seen last. Any thread may look."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._nodes: Sequence[Node] = ()
        self._next_s = -math.inf

    def now(self) -> Sequence[Node]:
        """The nodes as they are.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        with self._lock:
            return self._look()

    def lately(self) -> Sequence[Node]:
        """The nodes as somebody has seen them a moment ago, or as they are.

        Raises:
            redis.RedisError: As ``now``.
        """
        with self._lock:
            return self._nodes if time.monotonic() < self._next_s else self._look()

    def _look(self) -> Sequence[Node]:
        began_s, cpu_s = time.monotonic(), time.thread_time()
        self._nodes = self._client.nodes(closely=True)
        self._next_s = began_s + pause_s(time.thread_time() - cpu_s)
        return self._nodes
