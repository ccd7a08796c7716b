"""What several threads ask for at a time is made once, on every version of Python."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from cluster.web.once import once

THREADS = 4


class Owner:
    """Has something that is long in the making."""

    def __init__(self) -> None:
        self.ready = threading.Barrier(THREADS)
        self.second = threading.Event()
        self.made = 0

    @once
    def thing(self) -> object:
        """It."""
        self.made += 1
        if self.made > 1:
            self.second.set()
        self.second.wait(0.2)  # for a thread that makes it, too
        return object()

    def ask(self) -> object:
        self.ready.wait()
        return self.thing


def test_threads_that_ask_at_a_time_get_the_same() -> None:
    owner = Owner()
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(lambda _: owner.ask(), range(THREADS)))
    assert (owner.made, len(set(map(id, found)))) == (1, 1)
    assert vars(owner)["thing"] is owner.thing
