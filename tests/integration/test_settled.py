"""Parts as they are settled, while the run goes on: each item once, wherever it lies by then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster import errors, keys
from cluster.client import settled
from cluster.client.settled import Settled
from cluster.job import Job
from cluster.stores import Stores
from tests.kit.played_run import JOB, Run

NAMING = dataclasses.replace(JOB, absent=lambda names: dict.fromkeys(names))


def looking(run: Run, job: Job = JOB) -> Settled:
    return Settled(run.run, job, run.stores)


def names(parts: Any) -> list[str]:
    return sorted(name for part in parts for name in part)


def test_parts_of_an_open_batch_are_given_as_they_come(stores: Stores) -> None:
    run = Run(stores, batch_chunks=3)
    found = looking(run)
    assert names(found.look()) == []
    run.do(1)
    assert names(found.look()) == ["item 1"]
    run.do(0)
    assert names(found.look()) == ["item 0"]
    assert names(found.look()) == []


def test_a_batch_that_is_joined_between_two_looks_gives_the_rest_alone(stores: Stores) -> None:
    run = Run(stores, batches=2)
    found = looking(run)
    run.do(0)
    assert names(found.look()) == ["item 0"]
    for chunk in (1, 2, 3):
        run.do(chunk)
    assert [run.aggregate(0, batch) for batch in (0, 1)] == ["aggregated now"] * 2
    assert names(found.look()) == ["item 1", "item 2", "item 3"]
    assert names(found.look()) == []


def test_partials_of_batches_that_were_given_are_not_read_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(stores)
    found = looking(run)
    for chunk in (0, 1):
        run.do(chunk)
    assert names(found.look()) == ["item 0", "item 1"]
    run.aggregate(0, 0)
    monkeypatch.setattr(type(stores.ledger.partials), "entry", None)
    assert names(found.look()) == []


def test_an_item_that_failed_comes_as_what_stands_for_it(stores: Stores) -> None:
    run = Run(stores, batch_chunks=3, fail="item 1")
    found = looking(run, NAMING)
    for _ in range(4):
        run.do(1)
    run.do(0)
    assert list(found.look()) == [{"item 1": None}, {"item 0": "0"}]
    assert names(found.look()) == []


def test_a_part_that_cannot_be_read_is_left_to_the_node_that_joins(stores: Stores) -> None:
    run = Run(stores)
    found = looking(run)
    run.do(0)
    stores.redis.hset(keys.parts(run.run, 0), "0", b"i\0")
    assert names(found.look()) == []
    run.do(1)
    run.aggregate(0, 0)
    assert names(found.look()) == ["item 1"]
    assert [failure.item for failure in run.status.failures] == ["item 0"]


def test_following_a_run_ends_with_it_and_gives_all_once(stores: Stores) -> None:
    run = Run(stores, batches=2)
    steps: Iterator[Callable[[], object]] = iter(
        [
            lambda: run.do(2),
            lambda: run.do(0, 1),
            lambda: run.aggregate(0, 0),
            lambda: run.do(3),
            lambda: run.end_split(4, 2),
            lambda: run.aggregate(0, 1),
        ]
    )

    def step() -> None:
        next(steps)()

    given = list(settled.follow(run.run, JOB, stores, step))
    assert names(given) == [f"item {chunk}" for chunk in range(4)]
    assert next(name for part in given for name in part) == "item 2"


def test_what_redis_has_forgotten_meanwhile_is_given_all_the_same(stores: Stores) -> None:
    """A batch of the same number may hold other chunks afterwards: it is not given whole because its namesake was."""
    run = Run(stores)
    found = looking(run)
    run.do(0)
    assert names(found.look()) == ["item 0"]
    found._whole.add(0)
    run.do(1)
    run.aggregate(0, 0)
    assert names(found.look()) == []
    assert names(found.look_at_all()) == ["item 1"]


def test_following_a_run_that_was_stopped_says_so(stores: Stores) -> None:
    run = Run(stores)
    run.do(0)
    stores.ledger.runs.stop(run.run, "cancelled", "by a test")
    with pytest.raises(errors.RunCancelled):
        list(settled.follow(run.run, JOB, stores))


def test_a_job_whose_parts_are_no_result_cannot_be_followed(stores: Stores) -> None:
    run = Run(stores)
    adding = dataclasses.replace(JOB, aggregate=lambda parts: {})
    with pytest.raises(errors.UsageError, match="at the end only"):
        next(settled.follow(run.run, adding, stores))
