"""Timers of the worker's event loop go when they are cancelled, and not when they would have been due."""

from __future__ import annotations

from typing import Any

from kombu.asynchronous.timer import Timer

from cluster.worker.consumer import forget_cancelled


def test_a_cancelled_timer_goes_and_others_come_in_order() -> None:
    made: Any = Timer
    timer, called = made(), list[int]()
    entries = [timer.call_at(at, called.append, (at,)) for at in range(100, 0, -1)]
    loop = iter(timer)
    _, first = next(loop)
    first()
    for entry in entries:
        if entry.args[0] % 10:
            entry.cancel()
    forget_cancelled(timer)
    assert len(timer) == 10
    for _ in range(10):
        next(loop)[1]()
    assert called == [1, *range(10, 101, 10)]
