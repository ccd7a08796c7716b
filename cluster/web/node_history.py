"""How busy the nodes were in the last ten minutes. The page keeps this, in memory: a thread looks each five seconds."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import redis

from cluster import errors

if TYPE_CHECKING:
    from cluster.client import Client
    from cluster.client.nodes import Node

EACH_S = 5.0
WIDTH = 120
"""Numbers that are kept of a node: ten minutes of them."""
HEIGHT = 20
Share = float | None


class History:
    """What is kept of each node. It begins with ``follow`` and ends with the client that is followed."""

    def __init__(self) -> None:
        self._known: dict[str, deque[Share]] = {}
        self._paths: dict[str, str] | None = None
        self._lock = threading.Lock()
        self._is_followed = False

    def follow(self, client: Client) -> None:
        """Have a thread look, from now on; called again, it changes nothing."""
        with self._lock:
            if self._is_followed:
                return
            self._is_followed = True
        thread = threading.Thread(target=_look, args=(weakref.ref(client), self), name="node history", daemon=True)
        thread.start()

    def add(self, nodes: Sequence[Node]) -> None:
        """Keep a number of each node; None of those that are not heard of. Forgotten nodes are forgotten here, too."""
        now: dict[str, Share] = {
            node.name: min(1.0, node.busy / node.slots) if node.state in ("online", "leaving") else None
            for node in nodes
        }
        with self._lock:
            for gone in self._known.keys() - now.keys():
                del self._known[gone]
            for name, share in now.items():
                self._known.setdefault(name, deque(maxlen=WIDTH)).append(share)
            self._paths = None

    def miss(self) -> None:
        """Keep that nothing was heard of any node."""
        with self._lock:
            for kept in self._known.values():
                kept.append(None)
            self._paths = None

    def recent(self) -> dict[str, list[Share]]:
        """Node -> its last numbers, at most ``WIDTH`` of them, the latest one at the end."""
        with self._lock:
            return {name: list(kept) for name, kept in self._known.items()}

    def paths(self) -> dict[str, str]:
        """Node -> its last numbers as a ``path``; made once for all who ask before there are new ones."""
        with self._lock:
            if self._paths is None:
                self._paths = {name: path(list(kept)) for name, kept in self._known.items()}
            return self._paths


def _look(followed: weakref.ref[Client], history: History) -> None:
    while (client := followed()) is not None:
        try:
            history.add(client.nodes())
        except (redis.RedisError, errors.BrokerError):
            history.miss()
        del client
        time.sleep(EACH_S)


def path(recent: Sequence[Share]) -> str:
    """The numbers as steps from the ground up, as the path of an SVG; the latest one ends at its right edge.

    Equal neighbours are one step, so that a node that is idle or full has a short path, and the same one each time.
    """
    found: list[str] = []
    begin = WIDTH - len(recent[-WIDTH:])
    before: Share = None
    for at, share in enumerate(recent[-WIDTH:], begin):
        if share == before:
            continue
        if before is not None:
            found.append(f"H{at}")
        if share is None:
            found.append(f"V{HEIGHT}Z")
        else:
            height = f"{HEIGHT * (1 - share):g}"
            found.append(f"V{height}" if before is not None else f"M{at} {HEIGHT}V{height}")
        before = share
    if before is not None:
        found.append(f"H{WIDTH}V{HEIGHT}Z")
    return "".join(found)
