"""How many requests a replica takes at once, by what they cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster.worker.batch_size import ADDED_S, MOST_REQUESTS, BatchSize


def settled(takes_s: Callable[[int], float], one_s: float | None = None) -> int:
    """How many it takes after some batches of a queue that is never empty."""
    size = BatchSize(one_s)
    for _ in range(20):
        size.saw(size.most, takes_s(size.most))
    return size.most


@pytest.mark.parametrize("one_s", [None, 0.3])
def test_a_batch_that_takes_as_long_as_one_request_is_full(one_s: float | None) -> None:
    assert settled(lambda number: 0.3, one_s) == MOST_REQUESTS


def test_requests_that_take_their_own_time_are_shared() -> None:
    assert settled(lambda number: 0.07 * number) == 1 + int(ADDED_S / 0.07)
    assert settled(lambda number: 1.0 * number) == 1


def test_fast_requests_fill_a_batch() -> None:
    assert settled(lambda number: 0.001 + 0.0001 * number) == MOST_REQUESTS


def test_one_request_is_taken_until_its_time_is_known() -> None:
    assert BatchSize().most == 1
    assert BatchSize(5.0).most == 2  # to learn what the second one adds
