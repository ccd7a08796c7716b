"""Jobs that go in rounds, in one process, and what their driver decides without Redis."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from aggregators import Step
from cluster.blobs import Ref
from cluster.coordinator.deadline import LEAST_S, Deadline
from cluster.coordinator.standing import Standing
from cluster.errors import RunFailed
from cluster.wire import View
from tests.kit.jobs.cluster_testturns import COUNT_TURNS

WHOLE = View(0, True, "a" * 64, 1000)
DELTA = View(1, False, "b" * 64, 10)


def test_each_shard_counts_once_in_each_round() -> None:
    result = COUNT_TURNS.run_locally("x", rounds=3, shards=2)
    assert result["counted"] == {f"{number}:{shard}": 1 for number in range(3) for shard in range(2)}
    assert [row["round"] for row in result["rows"]] == [0, 1, 2]


def test_a_round_tells_how_long_the_run_has_taken() -> None:
    rows = COUNT_TURNS.run_locally("x", rounds=3, shards=1, seconds=0.01)["rows"]
    assert all(row["closed_at"] >= 0.01 * (row["round"] + 1) for row in rows)


def test_apart_each_shard_sees_what_the_others_did() -> None:
    rows = COUNT_TURNS.run_locally("x", rounds=3, shards=3, apart=True)["rows"]
    assert [row["staleness"] for row in rows] == [0, 1, 2, 2, 2, 2, 2, 2, 2]


def test_a_deadline_follows_the_last_parts() -> None:
    deadline = Deadline()
    assert deadline.seconds(None) == math.inf
    for seconds in (1.0, 1.0, 1.2, 1.1, 9.0):
        deadline.learn(seconds)
    assert deadline.seconds(None) == pytest.approx(1.1 + 4 * 0.1)
    assert deadline.seconds(5.0) == 6.0
    for _ in range(20):
        deadline.learn(0.5)
    assert deadline.seconds(None) == 0.5 + LEAST_S


def test_a_round_follows_the_other_with_all_shards() -> None:
    step = Step(None, b"", whole=True, quorum=0.75, seconds=2.0)
    begun = Standing.begun(step, 4)._replace(views=(WHOLE,), state=(Ref("c" * 64, 5),), state_of=0).open_first(1000)
    [first] = begun.open
    assert (first.batch, list(first.chunks), first.view_bytes, first.opened_ms) == (0, [0, 1, 2, 3], 1000, 1000)
    after = begun._replace(views=(WHOLE, DELTA)).after(step, first, 3000)
    [second] = after.open
    assert (after.round, second.batch, list(second.chunks), second.view_bytes) == (1, 1, [4, 5, 6, 7], 10)
    assert Standing.unpack(orjson.loads(orjson.dumps(after.packed())), after.views) == after
    assert after.after(Step(None, None, kind=""), second, 4000).open == ()


def test_shards_that_went_apart_are_drained_before_they_go_on_together() -> None:
    apart = Step(None, b"", whole=True, apart=True)
    standing = Standing.begun(apart, 3)._replace(views=(WHOLE,)).open_first(1000)
    assert [batch.shards for batch in standing.open] == [(0,), (1,), (2,)]
    standing = standing.after(apart, standing.open[1], 2000)
    assert [(batch.shards, batch.batch) for batch in standing.open] == [((0,), 0), ((2,), 2), ((1,), 3)]
    together = Step(None, None, kind="test")
    for _ in range(2):
        standing = standing.after(together, standing.open[0], 3000)
        assert standing.is_draining
    standing = standing.after(together, standing.open[0], 3000)
    assert ([batch.shards for batch in standing.open], standing.is_draining) == ([(0, 1, 2)], False)


@pytest.mark.parametrize("row", [{}, {"round": 1}, {"other": 1}])
def test_where_a_run_stands_may_be_damaged(row: dict[str, Any]) -> None:
    with pytest.raises(RunFailed, match="cannot be read"):
        Standing.unpack(row, [WHOLE])
