"""Live data: what watchers hear of a reader that fails, and how many threads readers take."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import anyio
import pytest

from cluster import errors
from cluster.web import channels
from cluster.web.channels import Channels, Message

Value = TypeVar("Value")


def apart(what: Coroutine[Any, Any, Value]) -> Value:
    """What a coroutine gives, run in a thread: this one may have the event loop of a browser."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, what).result()


class Played:
    """A reader whose looks do one thing after the other; then it is over."""

    def __init__(self, *looks: Callable[[], Message | None]) -> None:
        self._looks = iter(looks)

    def first(self, after: str) -> Message:
        """Nothing much."""
        return Message("first")

    def look(self) -> Message | None:
        """The next thing."""
        do = next(self._looks, None)
        return do() if do else Message("last", is_last=True)


def fail() -> Message | None:
    raise ConnectionError("no Redis")


def gone() -> Message | None:
    raise errors.UnknownRun.of("ocr-00000000")


def heard(reader: Played) -> list[bytes]:
    async def listen() -> list[bytes]:
        return [data async for data in Channels().listen("it", lambda: reader)]

    return apart(asyncio.wait_for(listen(), 10))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a channel has paused; it pauses no more than a moment."""
    found: list[float] = []

    async def pause(seconds: float) -> None:
        found.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(channels, "sleep", pause)
    return found


def test_a_reader_that_fails_is_asked_less_and_less(pauses: list[float]) -> None:
    told = heard(Played(*[fail] * 6, lambda: None))
    assert pauses == [channels.TICK_S, 1, 2, 4, 8, 10, 10, channels.TICK_S]
    assert b"event: problem" in told[1]
    assert b"last" in told[-1]


def test_the_more_watch_the_less_often_they_are_told() -> None:
    pauses = [channels.pause_s(0, watchers) for watchers in (1, 25, 50, 150, 5000)]
    assert pauses == [channels.TICK_S, channels.TICK_S, 2 * channels.TICK_S, channels.SLOW_TICK_S, channels.SLOW_TICK_S]
    assert channels.pause_s(3, 5000) == 4  # seconds after three failures, however many wait


def test_a_channel_ends_when_its_run_is_forgotten(pauses: list[float]) -> None:
    assert len(heard(Played(gone, fail, fail))) == 1
    assert len(pauses) == 1


def test_readers_that_hang_leave_threads_to_requests() -> None:
    go_on = threading.Event()

    class Hanging(Played):
        def first(self, after: str) -> Message:
            go_on.wait(20)
            return Message("first", is_last=True)

    async def ask() -> None:
        watched = Channels()

        async def listen(key: str) -> None:
            async for _ in watched.listen(key, Hanging):
                pass

        listening = [asyncio.create_task(listen(str(number))) for number in range(60)]
        await asyncio.sleep(0)
        try:
            await asyncio.wait_for(anyio.to_thread.run_sync(lambda: None), 5)
        finally:
            go_on.set()
            await asyncio.gather(*listening)

    apart(ask())
