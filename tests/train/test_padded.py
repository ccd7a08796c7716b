"""The test job that trains on nodes of different speed."""

from __future__ import annotations

import inspect
import time

import pytest

from aggregators import nets
from tasks import train
from tests.kit import training


@pytest.fixture
def shard(monkeypatch: pytest.MonkeyPatch) -> training.Shard:
    """A shard that the test job trains."""
    import cluster_testtraining

    from tasks.train.learner import Learner

    monkeypatch.setattr(Learner, "look", Learner.look)  # so that it is put back
    cluster_testtraining.pad_steps.cache_clear()
    monkeypatch.setattr(train, "train", cluster_testtraining.train_padded)
    return training.Shard(training.blobs(), net="mlp:8", steps=5)


def seconds(shard: training.Shard, round_: int, kind: str = "train") -> float:
    view = nets.resolve(nets.parse("mlp:8"), (4,), 3).init(0)
    began = time.monotonic()
    shard.turn(view, round_, kind)
    return time.monotonic() - began


def test_each_step_lasts_as_long_as_it_is_told(shard: training.Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds(shard, 0)
    monkeypatch.setenv("CLUSTER_TEST_STEP_S", "0.05")
    assert seconds(shard, 1) >= 5 * 0.05


def test_a_tenth_of_the_parts_is_dropped_always_the_same() -> None:
    import cluster_testtraining

    places = [(round_, shard) for round_ in range(40) for shard in range(8)]
    dropped = [place for place in places if cluster_testtraining.is_dropped(*place, 0.1)]
    assert 20 <= len(dropped) <= 45
    assert {shard for _, shard in dropped} == set(range(8))
    assert dropped == [place for place in places if cluster_testtraining.is_dropped(*place, 0.1)]


def test_a_dropped_part_is_late_but_no_evaluation(shard: training.Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    import cluster_testtraining

    monkeypatch.setattr(cluster_testtraining, "LATE_S", 5.0)
    monkeypatch.setattr(cluster_testtraining.time, "sleep", lambda s: slept.append(s))
    slept: list[float] = []
    seconds(shard, 0)
    monkeypatch.setenv("CLUSTER_TEST_DROP", "1")
    seconds(shard, 1, "test")
    assert slept == []
    seconds(shard, 2)
    assert slept == [5.0]


def test_the_job_takes_the_options_of_the_task() -> None:
    import cluster_testtraining

    assert inspect.signature(cluster_testtraining.train_padded) == inspect.signature(train.train)
    cluster_testtraining.TRAIN_PADDED.verify()
