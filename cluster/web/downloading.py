"""How many downloads each user has at a time: each holds a thread, and often a file on the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cluster.web.problems import Problem

MOST_A_USER = 4


class Downloading:
    """The downloads that are sent now. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: dict[object, str] = {}

    def begin(self, user: str) -> Callable[[], None]:
        """Count one more; gives what ends it, which may be called twice.

        Raises:
            Problem: The user has ``MOST_A_USER`` already (503).
        """
        one = object()
        with self._lock:
            if list(self._begun.copy().values()).count(user) >= MOST_A_USER:
                raise Problem(
                    503, f"{MOST_A_USER} of your downloads are under way: begin the next once one is done",
                    {"Retry-After": "10"},
                )  # fmt: skip
            self._begun[one] = user

        def end() -> None:  # a finalizer calls it, in any thread and at any moment: it takes no lock
            self._begun.pop(one, None)

        return end
