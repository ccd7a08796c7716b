"""What was made of the results of runs, kept in memory while people look at it: the last few runs alone."""

from __future__ import annotations

import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Up to ``most`` values, by run; the one that was not asked for longest goes first. Any thread may use it.

    Args:
        most: How many.
        most_bytes: How many bytes they have together, at most: a larger one is made each time.
        size: About how many bytes a value has in memory.
    """

    def __init__(self, most: int, most_bytes: float = math.inf, size: Callable[[Value], int] = lambda value: 0) -> None:
        self._most, self._most_bytes, self._size = most, most_bytes, size
        self._sizes: dict[str, int] = {}
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._making: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        _all.add(self)

    def get(self, run: str, make: Callable[[], Value]) -> Value:
        """The run's value; who asks first makes it, and others who ask for the same wait for that."""
        with self._lock:
            making = self._making.setdefault(run, threading.Lock())
        with making:
            with self._lock:
                if run in self._values:
                    self._values.move_to_end(run)
                    return self._values[run]
            value = make()
            size = self._size(value)
            if size > self._most_bytes:
                return value
            with self._lock:
                self._values[run] = value
                self._sizes[run] = size
                while len(self._values) > self._most or sum(self._sizes.values()) > self._most_bytes:
                    gone, _ = self._values.popitem(last=False)
                    del self._sizes[gone]
                self._making = {one: lock for one, lock in self._making.items() if lock.locked()}
            return value

    def drop(self, run: str) -> None:
        """Forget a run's value."""
        with self._lock:
            self._values.pop(run, None)
            self._sizes.pop(run, None)


_all: weakref.WeakSet[Kept[Any]] = weakref.WeakSet()


def drop(run: str) -> None:
    """Forget all values of a run."""
    for kept in list(_all):
        kept.drop(run)
