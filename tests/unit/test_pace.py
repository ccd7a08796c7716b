"""How many chunks travel together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cluster.coordinator import pace
from cluster.coordinator.pace import Pace


def paced(*mean_s: float | None, slots: int = 2, fed: bool = True) -> Pace:
    """A pace that sees ten chunks of these means done, one mean after the other."""
    means, done = list(mean_s), [0, 0.0]

    def look(_: str) -> tuple[int, float]:
        mean = means.pop(0) if means else mean_s[-1]
        if mean is not None:
            done[0], done[1] = done[0] + 10, done[1] + 10 * mean
        return int(done[0]), done[1]

    chunks: Any = SimpleNamespace(done=look)
    backlog: Any = SimpleNamespace(slots=lambda: slots, feeds_all=lambda published: fed)
    return Pace(chunks, "a", backlog)


def wait() -> None:
    pass


def never() -> None:
    raise AssertionError("it waits")


@pytest.mark.parametrize(
    ("mean_s", "chunks"),
    [(None, 1), (10.0, 1), (pace.MESSAGE_S, 1), (pace.MESSAGE_S / 3, 3), (0.0, pace.FASTER)],
)
def test_chunks_that_take_little_travel_together(mean_s: float | None, chunks: int) -> None:
    found = paced(mean_s)
    found.learn(0, wait)
    assert found.chunks_per_message == chunks


def test_what_the_first_chunk_takes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LEARN_S", 60.0)
    found, waits = paced(None, None, None, 0.1), [0]
    found.learn(8, lambda: waits.append(1))
    assert found.chunks_per_message == pace.FASTER
    assert sum(waits) == 3


def test_messages_grow_with_what_is_known_and_shrink_at_once() -> None:
    found, numbers = paced(0.0, 0.0, 0.0, 0.0, pace.MESSAGE_S, None), []
    for _ in range(5):
        found.learn(0, wait)
        numbers.append(found.chunks_per_message)
    assert numbers == [4, 16, 32, 32, 1]


def test_a_redis_that_has_lost_what_it_heard_last_tells_nothing_of_the_pace() -> None:
    seen = iter([(100, 50.0), (90, 45.0), (91, 44.0), (101, 54.0)])
    chunks: Any = SimpleNamespace(done=lambda run: next(seen))
    found, numbers = Pace(chunks, "a", SimpleNamespace()), []  # type: ignore[arg-type]
    for _ in range(4):
        found.learn(0, wait)
        numbers.append(found.chunks_per_message)
    assert numbers == [1, 1, 1, 1]


@pytest.mark.parametrize(("published", "fed"), [(0, True), (8, False)])
def test_nobody_waits_while_slots_have_no_work(published: int, fed: bool) -> None:
    paced(None, fed=fed).learn(published, never)


def test_slow_chunks_are_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LEARN_S", 0.05)
    found, waits = paced(None), [0]
    found.learn(8, lambda: waits.append(1))
    assert sum(waits)
    waits.clear()
    found.learn(16, lambda: waits.append(1))
    assert not waits


@pytest.mark.parametrize("slots", [0, 1, 2, 50])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("count", [1, 7, 128])
def test_each_chunk_is_in_one_message(slots: int, last: bool, count: int) -> None:
    found = paced(0.05, slots=slots)
    for _ in range(2):
        found.learn(0, wait)
    messages = found.messages(range(10, 10 + count), last=last)
    assert [chunk for message in messages for chunk in message] == list(range(10, 10 + count))
    assert max(map(len, messages)) <= found.chunks_per_message == 10


def test_the_last_chunks_are_shared_by_all_slots() -> None:
    found = paced(0.05)
    for _ in range(2):
        found.learn(0, wait)
    sizes = [len(message) for message in found.messages(range(40), last=True)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 5
    assert sizes[-pace.SHARES :] == [1] * pace.SHARES
