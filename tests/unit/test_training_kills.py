"""What `training-kills` finds wrong in what a run left behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.training import kills
from tests.benchmarks.training.kills import Away, Found, Kind


def found(**other: Any) -> Found:
    """Two rounds of a second each; shard 3 of the second was late."""
    rows = [
        {"round": 0, "late_chunks": [], "closed_at": 101.0, "deadline_s": None},
        {"round": 1, "late_chunks": [7], "closed_at": 102.0, "deadline_s": 0.9},
    ]
    usual = Found([[1, 1, 1, 1], [1, 1, 1, 0]], rows, [], began=100.0, rounds=2)
    return usual._replace(**other)


def test_a_run_with_a_late_part_that_is_named_is_right() -> None:
    assert kills.wrong(found()) == []
    assert kills.seconds(found()) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([[1, 2, 1, 1], [1, 1, 1, 0]], "more than once: [(0, 1)]"),
        ([[1, 0, 1, 1], [1, 1, 1, 0]], "missing and not named: [(0, 1)]"),
        ([[1, 1, 1, 1], [1, 1, 1, 1]], "named and there: [(1, 3)]"),
        ([[1, 1, 1, 1]], "2 rounds were asked for"),
    ],
)
def test_a_part_that_counts_wrongly_is_found(counts: list[list[int]], said: str) -> None:
    assert said in "; ".join(kills.wrong(found(counts=counts)))


def test_a_round_may_take_five_seconds_more_than_its_deadline() -> None:
    slow = [dict(row) for row in found().rows]
    most_s = 0.9 + 5
    slow[1]["closed_at"] = 101.0 + most_s - 0.01
    assert kills.wrong(found(rows=slow)) == []
    slow[1]["closed_at"] = 101.0 + most_s + 0.2
    assert kills.wrong(found(rows=slow)) == [f"round 1 took {most_s + 0.2:.1f} s, of at most {most_s:.1f} s"]


def test_a_round_without_a_deadline_has_the_least_one() -> None:
    slow = [dict(row) for row in found().rows]
    slow[0]["closed_at"] = 100.0 + kills.LEAST_DEADLINE_S + 5.2
    slow[1]["closed_at"] = slow[0]["closed_at"] + 1
    assert "round 0 took" in kills.wrong(found(rows=slow))[0]


def test_a_round_may_take_as_long_as_its_coordinator_was_away() -> None:
    slow = [dict(row) for row in found().rows]
    slow[1]["closed_at"] = 112.0
    away = Away(Kind.DRIVER, 101.5, 108.0)

    assert kills.wrong(found(rows=slow, away=[away])) == []
    assert kills.wrong(found(rows=slow, away=[away._replace(since=90.0, until=96.5)])) != []


def test_a_new_coordinator_has_eight_seconds_to_begin() -> None:
    assert "8.5 s" in kills.wrong(found(away=[Away(Kind.STEP, 50.0, 58.5)]))[0]
    assert kills.wrong(found(away=[Away(Kind.BROKER, 50.0, 60.0)])) == []


def test_a_plan_has_all_kinds_in_the_order_of_rounds() -> None:
    steps = kills.plan(60, 8, 1)

    assert [step.round for step in steps] == sorted(step.round for step in steps)
    assert steps[-1].round < 56
    numbers = {kind: sum(step.kind is kind for step in steps) for kind in Kind}
    assert numbers == {Kind.NODE: 8, Kind.STEP: 1, Kind.DRIVER: 1, Kind.PAUSE: 1, Kind.BROKER: 1}
    kinds = [step.kind for step in steps]
    assert kinds.index(Kind.STEP) < kinds.index(Kind.DRIVER)
    assert kills.plan(60, 8, 1) == steps != kills.plan(60, 8, 2)
