"""What a driver, nodes and people are told of a run in rounds."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import redis

from cluster import errors, keys
from cluster.stores import Stores
from tests.kit.played_rounds import PlayedRounds


def test_a_run_that_is_none_of_rounds_has_no_rounds(stores: Stores) -> None:
    stores.ledger.runs.create("plain-1", "rounds", "", {}, "test")
    assert stores.ledger.rounds.of("plain-1") is None
    assert stores.ledger.rounds.of("gone-1") is None
    assert stores.ledger.runs.status("plain-1").rounds is None
    assert stores.ledger.rounds.curve("plain-1") == []


def test_the_driver_hears_of_each_part_and_when_it_was_begun(stores: Stores) -> None:
    run = PlayedRounds(stores)
    rounds = stores.ledger.rounds
    assert rounds.await_arrival(run.run, "", 0.01) == []
    claim = run.claim(1)
    [begun] = stores.ledger.chunks.running(run.run)
    waiting: list[Any] = []
    thread = threading.Thread(target=lambda: waiting.extend(rounds.await_arrival(run.run, "", 10)))
    thread.start()
    run.commit(1, claim)
    thread.join(timeout=10)
    [arrival] = waiting
    assert (arrival.chunk, begun.chunk) == (1, 1)
    assert 0 <= arrival.at_ms - arrival.claimed_ms < 10_000
    assert rounds.await_arrival(run.run, arrival.id, 0.01) == []
    run.do(0)
    assert [other.chunk for other in rounds.await_arrival(run.run, arrival.id, 1)] == [0]
    assert rounds.look(run.run, [0]).arrived == [2]


def test_a_look_at_arrivals_without_waiting_takes_no_time(stores: Stores) -> None:
    """Redis looks at its clock ten times a second, so even the shortest wait may last 100 ms."""
    run = PlayedRounds(stores)
    looks = 20

    began = time.monotonic()
    for _ in range(looks):
        assert stores.ledger.rounds.await_arrival(run.run, "", 0) == []

    assert time.monotonic() - began < looks * 0.025


def test_who_waits_for_the_next_round_finds_its_chunk(stores: Stores) -> None:
    run = PlayedRounds(stores)
    rounds = stores.ledger.rounds
    [first] = rounds.await_opened(run.run, "", 1)
    assert (first.round, first.batch, first.chunks) == (0, 0, {0: 0, 1: 1, 2: 2})
    run.close(0, after=[2, 0])
    [second] = rounds.await_opened(run.run, first.id, 1)
    assert (second.round, second.batch, second.chunks) == (1, 1, {2: 3, 0: 4})
    run.close(1, last=True)
    [over] = rounds.await_opened(run.run, second.id, 1)
    assert (over.batch, over.chunks) == (-1, {})
    assert rounds.await_opened(run.run, "", 1) == [first, second, over]


def test_a_curve_is_read_on_from_its_last_known_row(stores: Stores) -> None:
    run = PlayedRounds(stores)
    run.close(0)
    [(entry, row)] = stores.ledger.rounds.curve(run.run)
    assert row == {"parts": 0, "round": 0, "late_chunks": [0, 1, 2]}
    assert stores.ledger.rounds.curve(run.run, entry) == []
    run.close(1)
    assert [row["round"] for _, row in stores.ledger.rounds.curve(run.run, entry)] == [1]


def test_the_status_of_rounds_costs_one_round_trip(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    run = PlayedRounds(stores, planned=7)
    run.do(0, 1)
    run.close(0, rejected=1)
    trips = []
    execute = redis.client.Pipeline.execute

    def once(pipe: Any, **how: Any) -> Any:
        trips.append("pipeline")
        return execute(pipe, **how)

    monkeypatch.setattr(redis.client.Pipeline, "execute", once)
    monkeypatch.setattr(redis.Redis, "execute_command", lambda *_, **__: trips.append("command"))
    rounds = run.status.rounds
    assert trips == ["pipeline"]
    row = {"parts": 2, "round": 0, "late_chunks": [2]}
    assert rounds.model_dump() == {
        "round": 0, "planned": 7, "row": row, "late": 1, "lost": 1, "rejected": 1, "kind": "", "shards": 0, "came": 0,
    }  # fmt: skip


def test_a_row_of_rounds_that_is_not_ours_is_an_error(stores: Stores) -> None:
    run = PlayedRounds(stores)
    for views in (b"{}", b"[]", b'[[0, false, "0", 1]]', b"["):
        stores.redis.hset(keys.run(run.run), "views", views)
        with pytest.raises(errors.RunFailed, match="cannot be read"):
            stores.ledger.rounds.of(run.run)
    stores.redis.xadd(keys.run(run.run, "curve"), {"row": "[]", "round": "0", "late": ""})
    with pytest.raises(errors.RunFailed, match="cannot be read"):
        stores.ledger.rounds.curve(run.run)
