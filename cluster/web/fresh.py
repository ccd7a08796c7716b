"""Keeps what is dear to make for a moment, so that many who look at it cost one."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

FRESH_S = 2.0
MOST = 32
T = TypeVar("T")


class Fresh:
    """The last few things that were made, each for two seconds."""

    def __init__(self, fresh_s: float = FRESH_S, most: int = MOST) -> None:
        self._fresh_s, self._most = fresh_s, most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept as ``key``, or made now. Two threads may make it at the same time; the last one stays."""
        with self._lock:
            at, found = self._kept.get(key, (-self._fresh_s, None))
            if time.monotonic() - at < self._fresh_s:
                return cast(T, found)
        made = make()
        with self._lock:
            self._kept[key] = time.monotonic(), made
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made
