"""Who sends files now: how many requests may, and whose turn it is to write them to the disk.

Most requests that send files wait for their line. So a turn is kept only while pieces come at full speed: senders on a
slow line leave it between two pieces, and hold nothing but a piece of memory and a file.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.web.problems import Problem

MOST, MOST_OF_USER = 32, 4
"""Requests that send files at one time, of all and of one user; others are asked to come again. At full speed 32 of
them take 46 MB of memory."""
MOST_WRITING = 8
"""Of these write to the disk at one time: each has some dozens of files open."""
WAIT_S = 30.0
"""For a turn, until a request is asked to come again."""
AGAIN = {"Retry-After": "2"}


class Turn:
    """The turn of one request to write, which it may take and leave any number of times."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns
        self._is_taken = False

    async def take(self) -> None:
        """Wait until a turn is free; one that is taken already is kept.

        Raises:
            Problem: None was free for ``WAIT_S`` (503).
        """
        if self._is_taken:
            return
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise Problem(503, "many others are sending files: send it again in a moment", AGAIN) from None
        self._is_taken = True

    def leave(self) -> None:
        """Leave it to others; without one, it does nothing."""
        if self._is_taken:
            self._is_taken = False
            self._turns.release()


class Senders:
    """Requests that send files now. All of it runs in the event loop."""

    def __init__(self, most_writing: int = MOST_WRITING) -> None:
        self._of_user: Counter[str] = Counter()
        self._turns = asyncio.Semaphore(most_writing)

    @contextmanager
    def counted(self, user: str) -> Iterator[Turn]:
        """Count a request as long as it lasts.

        Raises:
            Problem: There are too many, of this user or of all (503).
        """
        if self._of_user[user] >= MOST_OF_USER:
            raise Problem(503, f"{user} has {MOST_OF_USER} requests that send files: wait for one of them", AGAIN)
        if self._of_user.total() >= MOST:
            raise Problem(503, "many others are sending files: send it again in a moment", AGAIN)
        turn = Turn(self._turns)
        self._of_user[user] += 1
        try:
            yield turn
        finally:
            turn.leave()
            self._of_user[user] -= 1
            self._of_user += Counter()  # drops who has none
