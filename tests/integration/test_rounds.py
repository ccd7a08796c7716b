"""Runs in rounds: driven by who holds the lease, on real nodes, each part counted once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cluster
from cluster import errors
from cluster.client import Client


@pytest.fixture(scope="module")
def private() -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLUSTER_CONFIG", os.devnull)
        patch.setenv("CLUSTER_RETRY_DELAY_S", "0.05")
        with cluster.local(slots=2) as c:
            yield c


def counted(result: dict[str, Any]) -> int:
    """How many parts were counted, each once."""
    assert set(result["counted"].values()) <= {1}
    return len(result["counted"])


def test_each_part_of_each_round_counts_once(private: Client) -> None:
    run = private.submit("count-turns", ["x"], rounds=12)
    result = run.result(60)
    assert counted(result) == 48
    rows = result["rows"]
    assert [row["round"] for row in rows] == list(range(12))
    for row in rows:
        assert sum(row["times"].values()) == pytest.approx(row["wall_s"], rel=0.05)
        assert 0 < row["closed_at"] <= row["at"]
    status = run.status()
    assert (status.state, status.items_done, status.items_total) == ("done", 12, 12)


def test_shards_that_go_apart_count_each_part_once(private: Client) -> None:
    result = private.submit("count-turns", ["x"], rounds=6, apart=True).result(60)
    assert counted(result) == 24
    assert max(row["staleness"] for row in result["rows"]) > 0


def test_shards_that_go_apart_lose_nothing_beside_another_run(private: Client) -> None:
    other = private.submit("count-turns", ["x"], rounds=15, shards=4, seconds=0.1)
    run = private.submit("count-turns", ["y"], rounds=12, shards=4, seconds=0.1, apart=True)
    assert counted(other.result(60)) == 60
    result = run.result(60)
    assert counted(result) == 48
    assert {event.event for event in run.events()} == {"begun", "coordinator", "input-read", "first-part", "done"}


def test_a_slow_shard_is_late_and_named(private: Client) -> None:
    result = private.submit("count-turns", ["x"], rounds=8, shards=2, quorum=0.5, slow_shard=1, slow_s=1.0).result(60)
    late = sum(row["late"] for row in result["rows"])
    assert 0 < late <= 8
    assert counted(result) + late == 16
    assert {shard for row in result["rows"] for shard in row["late_shards"]} == {1}


def test_each_row_tells_the_deadline_of_its_round(private: Client) -> None:
    run = private.submit("count-turns", ["x"], rounds=8, shards=2, quorum=0.5, slow_shard=1, slow_s=1.0)
    late = [row for row in run.result(60)["rows"] if row["late"]]
    assert all(0 < row["deadline_s"] < row["wall_s"] for row in late)
    waits = private.submit("count-turns", ["x"], rounds=2, shards=2)
    assert [row["deadline_s"] for row in waits.result(60)["rows"]] == [None, None]


@pytest.mark.alone  # on a busy machine slots leave, as messages are published for what they do not claim soon
def test_slots_stay_and_need_no_messages(private: Client) -> None:
    result = private.submit("count-turns", ["x"], rounds=30, shards=2).result(60)
    assert max(row["turns"] for row in result["rows"]) > 20


def test_a_turn_that_raises_is_done_again(private: Client, tmp_path: Path) -> None:
    result = private.submit("count-turns", ["x"], rounds=4, fail="2:1", trace=str(tmp_path / "trace")).result(60)
    assert counted(result) == 16


def test_two_runs_go_on_side_by_side(private: Client) -> None:
    first = private.submit("count-turns", ["x"], rounds=20, shards=2, seconds=0.1)
    second = private.submit("count-turns", ["y"], rounds=20, shards=2, seconds=0.1)
    assert counted(second.result(60)) == counted(first.result(60)) == 40


def test_a_run_goes_on_without_a_turn_that_fails_each_time(private: Client) -> None:
    run = private.submit("count-turns", ["x"], rounds=4, broken="1:2")
    result = run.result(60)

    assert counted(result) == 15
    assert "1:2" not in result["counted"]
    [(item, why)] = run.failures.items()
    assert item.startswith("shard 2 on ")
    assert why == "RuntimeError: asked to fail each time"
    assert [row["rejected"] for row in result["rows"]] == [{}, {"2": why}, {}, {}]
    assert (run.status().items_failed, run.status().items_done) == (1, 3)


def test_a_run_that_can_give_no_result_says_why(private: Client) -> None:
    run = private.submit("count-turns", ["x"], rounds=4, broken="1:2", need=4)
    with pytest.raises(errors.RunFailed, match=r"3 parts are there, and 4 are needed: .*RuntimeError: asked to fail"):
        run.result(60)
