"""Live data: one reader for each thing that is watched, whatever the number of its watchers.

A watcher gets the whole at first, then changes. One that is slow misses moments and holds nobody up.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Protocol, TypeVar

import anyio
import orjson

from cluster import errors

TICK_S = 0.25
SLOW_TICK_S = 1.5
WATCHERS_A_TICK = 25
"""So many are told of changes once in ``TICK_S``; more in proportion less often, down to once in ``SLOW_TICK_S``."""
MOST_PAUSE_S = 10.0
"""Between two looks of a reader that fails, however often it has."""
MOST_LOOKING = 16
"""Threads in which readers work at a time. Those that hang keep one another waiting, and no other request."""
HEARTBEAT_S = 30.0
"""So often each listener is told something, at least, and it is seen whether it may still hear (2.5 ms of a core)."""
MOST_WAITING = 4
"""Messages that wait for a watcher, at most: the oldest goes."""


T = TypeVar("T")
May = Callable[[], Awaitable[bool]]
"""Whether a listener may still hear what it hears."""


class Message(NamedTuple):
    """What watchers are told."""

    data: object
    """Anything that JSON can hold."""
    id: str = ""
    """Where to go on after this message: a browser that connects again sends it as ``Last-Event-ID``."""
    event: str = ""
    is_last: bool = False
    """Nothing follows: the browser closes the connection."""

    def encoded(self) -> bytes:
        """As an event of ``text/event-stream``."""
        lines = [f"id: {self.id}"] if self.id else []
        lines += [f"event: {self.event}"] if self.event else []
        head = "".join(f"{line}\n" for line in lines).encode()
        return head + b"data: " + orjson.dumps(self.data) + b"\n\n"


class Reader(Protocol):
    """Reads one thing that is watched. Both methods run in a thread and may wait for Redis."""

    def first(self, after: str) -> Message:
        """Tell a watcher that comes; ``after`` is the id of the last message it has heard, "" for none."""
        ...

    def look(self) -> Message | None:
        """Tell what has changed since the last look; None if nothing has."""
        ...


def pause_s(failures: int, watchers: int) -> float:
    """Seconds before the next look, after so many in a row that failed."""
    if failures:
        return min(2.0 ** (failures - 1), MOST_PAUSE_S)
    return max(TICK_S, min(TICK_S * watchers / WATCHERS_A_TICK, SLOW_TICK_S))


class _Channel:
    def __init__(self, reader: Reader, looking: anyio.CapacityLimiter) -> None:
        self.reader, self._looking = reader, looking
        self.waiting: list[asyncio.Queue[bytes | None]] = []
        self.task: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has told its last message."""
        return self.task is not None and self.task.done()

    async def in_thread(self, do: Callable[[], T]) -> T:
        """Have the reader do something, once a thread is free."""
        return await anyio.to_thread.run_sync(do, limiter=self._looking)

    async def read(self) -> None:
        is_over, failures = False, 0
        while not is_over:
            await sleep(pause_s(failures, len(self.waiting)))
            try:
                found = await self.in_thread(self.reader.look)
                failures = 0
            except errors.UnknownRun:  # it was forgotten: who comes next is told
                break
            except Exception:  # noqa: BLE001 - Redis is away
                failures += 1
                found = Message({"problem": "not connected"}, event="problem")
            if found is not None:
                is_over = found.is_last
                self.tell(found.encoded())
        self.tell(None)

    def tell(self, data: bytes | None) -> None:
        for queue in self.waiting:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(data)


class Channels:
    """All that is watched in this process. Its methods are called in the event loop."""

    def __init__(self) -> None:
        self._open: dict[str, _Channel] = {}

    @functools.cached_property
    def _looking(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(MOST_LOOKING)

    async def listen(
        self, key: str, reader: Callable[[], Reader], after: str = "", may: May | None = None
    ) -> AsyncIterator[bytes]:  # fmt: skip
        """Events of what is named ``key``, until the last one. The first listener has ``reader`` make the reader.

        Args:
            key: What is watched.
            reader: Makes the reader.
            after: See ``Reader.first``.
            may: Asked every ``HEARTBEAT_S``: once it says no, no more is heard.
        """
        channel = self._open.get(key)
        if channel is None or channel.is_over:
            channel = self._open[key] = _Channel(reader(), self._looking)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_WAITING)
        channel.waiting.append(queue)
        try:
            first = await channel.in_thread(functools.partial(channel.reader.first, after))
            yield first.encoded()
            if first.is_last:
                return
            if channel.task is None:
                channel.task = asyncio.create_task(channel.read())
            due_s = time.monotonic() + HEARTBEAT_S
            while True:
                data: bytes | None = b": still here\n\n"
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(due_s - time.monotonic()):
                        data = await queue.get()
                if data is None:
                    return
                if time.monotonic() >= due_s:
                    if may is not None and not await may():
                        return
                    due_s = time.monotonic() + HEARTBEAT_S
                yield data
        finally:
            channel.waiting.remove(queue)
            if not channel.waiting:
                if channel.task is not None:
                    channel.task.cancel()
                if self._open.get(key) is channel:
                    del self._open[key]

    def end(self) -> None:
        """The page ends: all that is heard ends, which would keep it waiting. Browsers ask again by themselves."""
        for channel in self._open.values():
            channel.tell(None)
