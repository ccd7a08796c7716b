"""Chunks of several items of which one is slow, raises or ends its process: the others are done all the same."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from billiard.exceptions import SoftTimeLimitExceeded

from cluster import keys
from cluster.job import Job
from cluster.ledger.records import Piece
from cluster.stores import Stores
from cluster.wire import MapMessage
from cluster.worker import map_chunk
from splitters import Chunk
from tasks import Part
from tests.kit.played_run import CONFIG, JOB, POLICY, Run, finding, lengths, on
from tests.kit.programs import Worker, cluster

BAD = "item 0.1"


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def calls() -> Counter[str]:
    """How often each item was worked on."""
    return Counter()


def job(calls: Counter[str], error: Callable[[], BaseException], bad: str = BAD) -> Job:
    def task(chunk: Chunk, *, fail: str = "") -> Part[dict[str, str]]:
        calls.update(item.name for item in chunk)
        if any(item.name == bad for item in chunk):
            raise error()
        return lengths(chunk)

    return dataclasses.replace(JOB, task=task)


def to_the_end(run: Run, job: Job, stores: Stores, node: str = "n1") -> str:
    """What nodes do with the message of chunk 0 until it does not come again."""
    for _ in range(50):
        try:
            ended = map_chunk.run(MapMessage(run=run.run, chunks=[0]), finding(job), stores, CONFIG, on(node))
        except Killed:
            stores.ledger.chunks.end_attempt(run.run, 0, "killed", on(node), "signal 9")
            continue
        if not isinstance(ended, map_chunk.TryAgain):
            return ended
    raise AssertionError("it comes again and again")


@pytest.mark.parametrize("error", [SoftTimeLimitExceeded, lambda: RuntimeError("odd"), Killed])
@pytest.mark.parametrize("long_s", [60.0, -1.0])
def test_one_bad_item_costs_its_neighbours_nothing(
    error: Callable[[], BaseException], long_s: float, stores: Stores, calls: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(map_chunk, "LONG_S", long_s)
    run = Run(stores, batch_chunks=1, items=4)
    assert to_the_end(run, job(calls, error), stores) == "settled now"
    assert 4 <= calls.pop(BAD) <= 5
    assert calls == {"item 0.0": 2, "item 0.2": 2, "item 0.3": 2}
    run.end_split(1, 1)
    assert run.aggregate(0, 0) == "aggregated now"
    assert run.result() == {"item 0.0": "0", "item 0.2": "2", "item 0.3": "3"}
    [failure] = run.status.failures
    assert failure.item == BAD
    assert ("item-by-item", "0") in run.events()
    assert ("dead-lettered", "0") in run.events()
    assert not stores.redis.exists(keys.run(run.run, "pieces"))


@pytest.mark.parametrize("bad", ["item 0.0", "item 0.3"])
def test_the_first_or_last_item_may_be_the_bad_one(bad: str, stores: Stores, calls: Counter[str]) -> None:
    run = Run(stores, batch_chunks=1, items=4)
    assert to_the_end(run, job(calls, SoftTimeLimitExceeded, bad), stores) == "settled now"
    assert [failure.item for failure in run.status.failures] == [bad]
    assert "took longer than its time limit" in run.status.failures[0].reason


def test_one_attempt_allowed_still_spares_the_neighbours(stores: Stores, calls: Counter[str]) -> None:
    run = Run(stores, batch_chunks=1, items=3, policy=POLICY._replace(max_attempts=1))
    message, bad = MapMessage(run=run.run, chunks=[0]), job(calls, lambda: RuntimeError("odd"))
    assert map_chunk.run(message, finding(bad), stores, CONFIG, on("n1")) == "settled now"
    assert [failure.item for failure in run.status.failures] == [BAD]
    assert calls[BAD] == 2


def test_an_item_out_of_time_is_first_in_the_next_message(
    stores: Stores, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had what its neighbours left of the time limit: that is no attempt at it."""
    monkeypatch.setattr(map_chunk, "LONG_S", 60.0)
    monkeypatch.setattr(map_chunk, "FULL_SHARE", 1e9)
    run = Run(stores, batch_chunks=1, items=3)
    slow = job(calls, SoftTimeLimitExceeded)
    message = MapMessage(run=run.run, chunks=[0])
    first, second, third = (map_chunk.run(message, finding(slow), stores, CONFIG, on("n1")) for _ in range(3))
    assert isinstance(first, map_chunk.TryAgain)
    assert isinstance(third, map_chunk.TryAgain)
    assert second == map_chunk.TryAgain(0.0, map_chunk.LEFT, (0,))
    assert "took longer than its time limit" in third.reason
    assert (calls["item 0.0"], stores.ledger.chunks.items_over(run.run, 0)) == (2, 1)


def test_pieces_go_through_the_store_where_they_are_large(
    stores: Stores, client: redis.Redis, calls: Counter[str]
) -> None:
    run = Run(stores, batch_chunks=1, items=3, policy=POLICY._replace(inline_bytes=0))
    run.claims([0], "n1")
    stores.ledger.chunks.end_attempt(run.run, 0, "killed", on("n1"), "signal 9")
    message = MapMessage(run=run.run, chunks=[0])
    assert map_chunk.run(message, finding(JOB), stores, CONFIG, on("n1")) == "settled now"
    run.end_split(1, 1)
    run.aggregate(0, 0)
    assert len(run.result()) == 3
    assert not client.exists(keys.blobs(keys.parts_scope(run.run, 0)))


@pytest.mark.slow
def test_an_item_that_cannot_be_interrupted_costs_only_itself(redis_url: str, tmp_path: Path) -> None:
    """Its process is ended each time, and the chunk goes on without its chord."""
    (tmp_path / "in").mkdir()
    for name, text in (("a", "x"), ("b", "sleep deaf"), ("c", "xyz"), ("d", "sleep long"), ("e", "x")):
        (tmp_path / "in" / name).write_text(text)
    url = f"{redis_url[:-1]}6"
    limits = {"CLUSTER_CHUNK_TIME_LIMIT_S": "2", "CLUSTER_CHUNK_TIME_GRACE_S": "1", "CLUSTER_MAX_ATTEMPTS": "2"}
    with Worker("one", url, tmp_path, "-c", "1"):
        arguments = ("submit", "--job", "measure", "--chunk-size", "5", tmp_path / "in", "--broker", url)
        done = cluster(*arguments, settings=limits)
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout) == {"a": "1", "c": "3", "e": "1"}
    assert "b: took longer than 3 s and could not be interrupted" in done.stderr
    assert "d: took longer than its time limit" in done.stderr


def test_a_late_node_neither_repeats_nor_undoes_an_item(stores: Stores) -> None:
    run = Run(stores, batch_chunks=1, items=3)
    ledger = stores.ledger
    assert ledger.chunks.begin_items(run.run, 0, on("n1"), "why") == 0
    assert ledger.chunks.begin_items(run.run, 0, on("n2"), "why") == 0
    assert ledger.chunks.enter_piece(run.run, 0, 0, Piece(b"first"), on("n1")) == 1
    assert ledger.chunks.enter_piece(run.run, 0, 0, Piece(b"late"), on("n2")) == 1
    assert ledger.chunks.pieces(run.run, 0, 1) == [Piece(b"first")]
    assert run.claim(0, "n2").over == 1
    assert run.claims([0, 7], "n2").of[0].state == "apart"
    stores.ledger.chunks.dead_letter(run.run, 0, run.upload(0, 0), "why", on("n1"))
    assert ledger.chunks.enter_piece(run.run, 0, 1, Piece(b"late"), on("n2")) == -1
    assert ledger.chunks.items_over(run.run, 0) is None


def test_a_chunk_with_a_forged_piece_is_given_up(stores: Stores, client: redis.Redis, calls: Counter[str]) -> None:
    run = Run(stores, batch_chunks=1, items=2)
    client.hset(keys.run(run.run, "pieces"), mapping={"0": 2, "0:0": b"nonsense", "0:1": Piece().pack()})
    assert run.do(0) == "given up (settled now)"
    assert "cannot be read" in run.status.failures[0].reason
    assert not client.exists(keys.run(run.run, "pieces"))
