"""Rounds in a real Redis: a round is closed once, and each part counts once or is late."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from celery import Celery
from redis.exceptions import OutOfMemoryError

from aggregators import Step
from cluster import errors, keys, wire
from cluster.coordinator import lost_messages, prune
from cluster.coordinator.cancel import cancel
from cluster.job import Job, Rounds
from cluster.ledger.lease import Busy, Lease, OutOfStep, Split
from cluster.ledger.records import Attempts
from cluster.ledger.row import Limits
from cluster.ledger.runs import OF_WORK
from cluster.messaging import publish
from cluster.names import Partial
from cluster.stores import Stores
from cluster.wire import ChunkEntry, MapMessage
from cluster.worker import map_chunk
from tasks import Turn
from tests.kit.played_rounds import ABOUT, POLICY, Kept, PlayedRounds, on, view
from tests.kit.played_run import CONFIG, JOB, Run, finding


def test_rounds_go_on_until_the_last_and_then_the_run_is_done(stores: Stores) -> None:
    run = PlayedRounds(stores, planned=3)
    for round_ in range(3):
        assert run.do(*run.chunks(round_)) == ["settled now"] * 3
        assert run.close(round_, last=round_ == 2) == ("done" if round_ == 2 else "running")
    assert run.counted == {f"{round_}:{shard}": 1 for round_ in range(3) for shard in range(3)}
    status = run.status
    assert (status.state, status.items_done, status.items_total) == ("done", 3, 3)
    assert (status.chunks_settled, status.chunks_total, status.chunks_published) == (9, 9, 9)
    assert status.nodes == {"worker@n1": 9}
    assert [row["round"] for _, row in stores.ledger.rounds.curve(run.run)] == [0, 1, 2]
    assert run.close(2, parts={}, last=True) == "done"
    assert len(stores.ledger.rounds.curve(run.run)) == 3
    assert run.claim(8).state == "done"


def test_what_a_driver_needs_to_go_on_is_in_the_ledger(stores: Stores) -> None:
    run = PlayedRounds(stores)
    ledger = stores.ledger
    assert ledger.rounds.of(run.run) == (-1, 5, {}, [view(0)])
    run.do(0, 1, 2)
    run.close(0)
    assert ledger.rounds.of(run.run) == (0, 5, {"0:0": 1, "0:1": 1, "0:2": 1}, [view(1)])
    assert [ledger.rounds.shard(run.run, number).data for number in range(4)] == [[ABOUT], [b"0"], [b"1"], [b"2"]]
    with pytest.raises(wire.BadMessage):
        ledger.rounds.shard(run.run, 4)
    assert {batch: row.chunks for batch, row in ledger.partials.open_batches(run.run).items()} == {1: range(3, 6)}
    assert ChunkEntry.unpack(run.claim(4).entry) == run.entry(1, 1, 1)


def test_begun_twice_the_rounds_begin_once(stores: Stores, client: redis.Redis) -> None:
    run = PlayedRounds(stores, failures={"torn.csv": "it is torn"})
    kept = Kept.of(client, run.run)
    assert run.begin()
    assert Kept.of(client, run.run) == kept
    run.do(0, 1, 2)
    run.close(0)
    assert run.begin()
    assert stores.ledger.rounds.of(run.run).round == 0  # type: ignore[union-attr]


def test_what_could_not_be_read_counts_beside_the_rounds(stores: Stores) -> None:
    run = PlayedRounds(stores, planned=2, failures={"torn.csv": "it is torn"})
    assert (run.status.items_total, run.status.items_done, run.status.items_failed) == (3, 0, 1)
    for round_ in range(2):
        run.do(*run.chunks(round_))
        run.close(round_, last=round_ == 1)
    assert (run.status.items_total, run.status.items_done, run.status.items_failed) == (3, 2, 1)


def test_only_who_has_the_lease_begins_or_closes_rounds(stores: Stores, client: redis.Redis) -> None:
    run = PlayedRounds(stores)
    run.do(0, 1, 2)
    old = run.take_over()
    kept = Kept.of(client, run.run)
    with pytest.raises(Busy):
        run.close(0, lease=old)
    with pytest.raises(Busy):
        old.begin_rounds(Split(), [], {}, [view(0)], [run.entry(0, 0, 0)], 1, {}, 0)
    assert Kept.of(client, run.run) == kept
    assert run.close(0) == "running"
    with pytest.raises(Busy):
        run.close(0, lease=old, parts={})


def test_rounds_do_not_begin_where_other_batches_are(stores: Stores) -> None:
    stores.ledger.runs.create("batches-1", "rounds", "", {}, "test")
    lease = Lease.take(stores.ledger, "batches-1", "test", "splitter")
    lease.open_batch(Split(), [ChunkEntry(names=["a"], refs=[], last=[True], batch=0, data=[])], {}, 0)
    with pytest.raises(OutOfStep):
        lease.begin_rounds(Split(), [], {}, [view(0)], [], 1, {}, 0)
    with pytest.raises(OutOfStep):
        lease.advance(0, 0, [], {}, [view(0)], {}, [])


def test_a_round_that_is_closed_twice_counts_once(stores: Stores, client: redis.Redis) -> None:
    run = PlayedRounds(stores)
    run.do(0, 1)
    parts = run.read(0)
    assert run.close(0, parts=parts) == "running"
    run.do(3)
    kept = Kept.of(client, run.run)
    assert run.close(0, parts=parts) == "running"
    assert Kept.of(client, run.run) == kept


@pytest.mark.parametrize(("round_", "batch"), [(1, 0), (0, 1), (2, 0), (1, 1)])
def test_a_round_that_is_not_the_next_is_out_of_step(
    round_: int, batch: int, stores: Stores, client: redis.Redis
) -> None:
    run = PlayedRounds(stores)
    run.do(0)
    kept = Kept.of(client, run.run)
    with pytest.raises(OutOfStep):
        run.close(round_, batch)
    assert Kept.of(client, run.run) == kept


def test_chunks_of_a_batch_that_is_not_the_next_are_out_of_step(stores: Stores) -> None:
    run = PlayedRounds(stores)
    for batch in (0, 2):
        with pytest.raises(OutOfStep):
            run.lease.advance(0, 0, [], {}, [view(1)], {}, [run.entry(batch, 1, 0)])
    with pytest.raises(ValueError, match="no turn of a shard"):
        run.lease.advance(0, 0, [], {}, [view(1)], {}, [run.entry(1, 1, 0).model_copy(update={"turn": None})])
    assert run.status.rounds.round == -1


def test_a_part_that_comes_before_the_round_is_closed_is_in(stores: Stores, client: redis.Redis) -> None:
    run = PlayedRounds(stores)
    run.do(0, 1)
    read = run.read(0)
    run.do(2)
    kept = Kept.of(client, run.run)
    assert run.close(0, parts=read) == "more"
    assert Kept.of(client, run.run) == kept
    assert run.close(0) == "running"
    assert run.counted == {"0:0": 1, "0:1": 1, "0:2": 1}


def test_a_part_in_place_of_a_forgotten_one_is_in(stores: Stores, client: redis.Redis) -> None:
    run = PlayedRounds(stores)
    run.do(0)
    kept = Kept.of(client, run.run)
    run.do(1)
    read = run.read(0)
    kept.restore(client, run.run)
    run.do(2)
    assert run.close(0, parts=read) == "more"
    run.close(0)
    assert run.counted == {"0:0": 1, "0:2": 1}
    assert stores.ledger.rounds.late(run.run) == {1}


def test_a_round_without_a_row_is_no_line_of_the_curve(stores: Stores) -> None:
    run = PlayedRounds(stores)
    run.lease.advance(0, 0, [], {}, [view(1)], {}, [run.entry(1, 1, 0)])
    assert (stores.ledger.rounds.curve(run.run), run.status.rounds.round) == ([], 0)
    assert stores.ledger.rounds.late(run.run) == {0, 1, 2}


def test_a_late_part_is_dropped_and_counted_once(stores: Stores) -> None:
    run = PlayedRounds(stores)
    late = run.claim(2, "slow")
    run.do(0, 1)
    run.close(0)
    assert (run.status.rounds.late, run.status.rounds.lost) == (1, 1)
    assert [run.commit(2, late, "slow") for _ in range(2)] == ["late", "late"]
    assert (run.status.rounds.late, run.status.rounds.lost, run.status.duplicates) == (1, 0, 1)
    assert run.counted == {"0:0": 1, "0:1": 1}
    assert run.status.rounds.row == {"parts": 2, "round": 0, "late_chunks": [2]}
    assert run.status.nodes == {"worker@n1": 2}


@pytest.mark.parametrize("late", [True, False])
def test_a_late_part_takes_its_large_bytes_with_it(late: bool, stores: Stores) -> None:
    run = PlayedRounds(stores, policy=POLICY._replace(inline_bytes=0))
    stores.blobs.put(keys.view_scope(run.run, 0), [b"0"])

    def task(turn: Turn) -> Any:
        if late:
            run.close(0)
        return {"at": "0:0", "base": turn.base}

    rounds = Rounds(
        begin=lambda about, base: Step({}, b"0", whole=True), see=lambda view, data, whole: data,
        dump=lambda state: b"", load=lambda data: {},
    )  # fmt: skip
    job = Job(name="rounds", about="", split=JOB.split, task=task, aggregate=lambda *_: None, rounds=rounds)
    ended = map_chunk.run(MapMessage(run=run.run, chunks=[0]), finding(job), stores, CONFIG, on("n1"))
    assert ended == ("late" if late else "settled now")
    left = list(stores.redis.scan_iter(keys.blobs(keys.parts_scope(run.run, 0))))
    assert bool(left) is not late
    assert stores.ledger.rounds.late(run.run) == ({1, 2} if late else set())


def test_a_part_that_never_comes_is_lost_and_named(stores: Stores) -> None:
    run = PlayedRounds(stores)
    run.claim(0, "n2")
    run.do(1)
    run.close(0)
    assert stores.ledger.rounds.late(run.run) == {0, 2}
    assert stores.ledger.chunks.end_attempt(run.run, 0, "lost", on("n2"), "gone") is None
    assert [run.claim(chunk).state for chunk in (0, 2)] == ["settled", "settled"]
    assert (run.status.rounds.lost, run.status.duplicates, run.status.chunks_running) == (2, 0, 0)
    assert sorted(stores.ledger.chunks.unsettled(run.run)) == [3, 4, 5]


def test_a_second_commit_in_time_is_a_duplicate_and_not_late(stores: Stores) -> None:
    run = PlayedRounds(stores)
    claims = [run.claim(0)] * 2
    assert [run.commit(0, claim, node) for claim, node in zip(claims, ("n1", "n2"), strict=True)] == [
        "settled now", "settled",
    ]  # fmt: skip
    run.close(0)
    assert run.commit(0, claims[1], "n2") == "late"  # so that the node takes back what it wrote
    assert (run.status.rounds.late, run.status.rounds.lost, run.status.duplicates) == (2, 2, 2)


def test_a_turn_is_done_by_one_node_at_a_time(stores: Stores) -> None:
    run = PlayedRounds(stores)
    run.claim(0, "n1")
    assert run.claim(0, "n2").state == "taken"
    assert run.claim(0, "n1").state == "claimed"  # the node has handed its message back, and gets it again
    stores.ledger.rounds.stay(run.run, 1, 0)
    assert run.claim(0, "n1").state == "taken"  # a slot that stays is at it
    stores.ledger.rounds.leave(run.run, 1)
    stores.ledger.chunks.release(run.run, on("n1"), 0)
    assert run.claim(0, "n2").state == "claimed"


def test_a_shard_that_is_given_up_has_its_turn_in_the_next_round(stores: Stores) -> None:
    run = PlayedRounds(stores)
    for number in range(1, POLICY.max_attempts + 1):
        run.claim(0)
        assert stores.ledger.chunks.end_attempt(run.run, 0, "failed", on("n1"), "bad") == Attempts(failed=number)
    claim = run.claim(0)
    assert claim.state == "exhausted"
    committed = stores.ledger.chunks.dead_letter(run.run, 0, ChunkEntry.unpack(claim.entry), "it failed", on("n1"))
    assert committed == ({0: "settled now"}, {})
    run.do(1, 2)
    assert next(iter(stores.ledger.rounds.parts(run.run, 0).values())) == b""
    assert run.close(0) == "running"
    assert run.counted == {"0:1": 1, "0:2": 1}
    assert (run.status.items_failed, run.status.rounds.late) == (0, 0)
    assert ("dead-lettered", "0") in [(event.event, event.chunk) for event in stores.ledger.runs.events(run.run)]
    assert run.do(3) == ["settled now"]


def test_a_round_is_done_again_where_redis_forgot_it(stores: Stores, client: redis.Redis) -> None:
    run = PlayedRounds(stores)
    run.do(0, 1)
    kept = Kept.of(client, run.run)
    run.do(2)
    run.close(0)
    ahead = run.claim(3)
    run.do(4)
    kept.restore(client, run.run)
    assert run.commit(3, ahead) == "unknown"
    with pytest.raises(OutOfStep):
        run.close(1)
    assert run.do(2) == ["settled now"]
    assert run.close(0) == "running"
    assert run.counted == {"0:0": 1, "0:1": 1, "0:2": 1}
    assert run.commit(3, ahead) == "settled now"
    assert run.do(4, 5) == ["settled now"] * 2
    run.close(1)
    assert run.counted == {f"{round_}:{shard}": 1 for round_ in range(2) for shard in range(3)}
    assert [row["round"] for _, row in stores.ledger.rounds.curve(run.run)] == [0, 1]


def test_shards_that_wait_for_no_other_go_on_one_by_one(stores: Stores) -> None:
    run = PlayedRounds(stores, together=False, planned=4)
    assert [len(row.chunks) for row in stores.ledger.partials.open_batches(run.run).values()] == [1, 1, 1]
    late = run.claim(0, "slow")
    for round_, (batch, shard) in enumerate([(1, 1), (3, 1), (2, 2)]):
        run.do(batch)
        assert run.close(round_, batch, after=[shard]) == "running"
    assert [*stores.ledger.partials.open_batches(run.run)] == [0, 4, 5]
    assert ChunkEntry.unpack(run.claim(4).entry).turn.shard == 1  # type: ignore[union-attr]
    run.do(4, 5)  # of these, no round is left for the part of 5
    assert run.close(3, 4, last=True) == "done"
    assert run.counted == {"1:1": 1, "3:1": 1, "2:2": 1, "4:1": 1}
    assert run.commit(0, late, "slow") == "done"
    assert (run.status.items_done, run.status.items_total, run.status.rounds.late) == (4, 4, 0)
    left = {key.decode() for key in stores.redis.scan_iter(f"{keys.run(run.run)}*")}
    work = {keys.run(run.run, name) for name in ("chunks", "batches", "claims", "attempts", "queued", "outbox")}
    assert not left & {*work, *(keys.parts(run.run, batch) for batch in range(6))}


def test_the_number_of_rounds_may_change_while_it_goes_on(stores: Stores) -> None:
    run = PlayedRounds(stores, planned=5)
    run.close(0, planned=8, rejected=2)
    status = run.status
    assert (status.items_total, status.chunks_total, status.rounds.planned, status.rounds.rejected) == (8, 24, 8, 2)
    run.close(1, last=True, rejected=1)
    assert (run.status.items_total, run.status.rounds.planned, run.status.rounds.rejected) == (2, 2, 3)


def test_a_full_redis_closes_a_round_and_drops_late_parts(stores: Stores, client: redis.Redis) -> None:
    run = PlayedRounds(stores)
    late = run.claim(2)
    run.do(0, 1)
    parts = run.read(0)
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            client.set("more", "x")
        assert run.close(0, parts=parts) == "running"
        assert run.commit(2, late) == "late"
    finally:
        client.config_set("maxmemory", 0)
    assert run.counted == {"0:0": 1, "0:1": 1}


def test_no_node_joins_the_parts_of_a_round(stores: Stores) -> None:
    run = PlayedRounds(stores)
    claim = run.claim(2)
    run.do(0, 1)
    entry = ChunkEntry.unpack(claim.entry)
    assert stores.ledger.chunks.dead_letter(run.run, 2, entry, "no", on("n1")) == ({2: "settled now"}, {})
    assert stores.ledger.partials.inputs(run.run, 0, 0, on("n1")).state == "incomplete"
    assert len(run.read(0)) == 3


@pytest.mark.parametrize("in_rounds", [True, False])
def test_the_supervisor_has_no_node_join_a_complete_round(
    in_rounds: bool, app: Celery, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = PlayedRounds(stores) if in_rounds else Run(stores, batch_chunks=3)
    run.do(0, 1, 2)
    started: list[Any] = []
    monkeypatch.setattr(lost_messages, "MISSING_S", 0.0)
    monkeypatch.setattr(publish, "redeliver", lambda *arguments: started.append(arguments[3]))
    lost_messages.redeliver(app, stores, run.lease, lost_messages.Search(), "no-such", Limits(1, 2))
    assert started == ([] if in_rounds else [Partial(0, 0)])


def test_a_run_cancelled_in_mid_round_leaves_its_curve(stores: Stores) -> None:
    run = PlayedRounds(stores)
    scopes = [
        keys.data_scope(run.run, 1), keys.state_scope(run.run, 0), keys.view_scope(run.run, 0),
        keys.parts_scope(run.run, 0), keys.parts_scope(run.run, 1),
    ]  # fmt: skip
    for scope in scopes:
        stores.blobs.put(scope, [b"large"])
    run.do(0)
    run.close(0)
    run.do(3)
    claim = run.claim(4)
    assert cancel(run.run, stores, "by a test") == (True, "cancelled")
    assert list(stores.redis.scan_iter(keys.blobs(f"{keys.run_folder(run.run)}*"))) == []
    with pytest.raises(errors.RunOver, match="cancelled"):
        run.close(1, parts={})
    assert run.commit(4, claim) == "cancelled"
    assert not run.begin()
    left = {key.decode() for key in stores.redis.scan_iter(f"{keys.run(run.run)}*")}
    assert not left & {keys.run(run.run, name) for name in OF_WORK}
    assert keys.parts(run.run, 1) not in left
    assert (run.status.rounds.round, run.status.rounds.late) == (0, 2)
    assert len(stores.ledger.rounds.curve(run.run)) == 1
    assert [found.run for found in prune.prune(stores, [run.status])] == [run.run]
    assert list(stores.redis.scan_iter(f"*{run.run}*")) == []
    with pytest.raises(errors.RunOver, match="unknown"):
        run.lease.advance(1, 1, [], {}, [view(2)], {}, [])


def test_no_key_of_a_run_in_rounds_lives_for_ever(stores: Stores, client: redis.Redis) -> None:
    run = PlayedRounds(stores, policy=POLICY._replace(retention_s=1000), failures={"torn.csv": "it is torn"})
    names = set()
    for round_ in range(2):
        run.claim(run.chunk(round_, 1))
        run.do(run.chunk(round_, 0))
        found: Any = list(stores.redis.scan_iter(f"{keys.run(run.run)}*"))
        names |= {key.decode() for key in found}
        lives: Any = [client.ttl(key) for key in found]
        assert all(0 < life_s <= 1000 for life_s in lives), dict(zip(found, lives, strict=True))
        run.close(round_)
    rest: Any = list(stores.redis.scan_iter(f"{keys.run(run.run)}*"))
    assert all(0 < client.ttl(key) <= 1000 for key in rest)
    assert {keys.run(run.run, name) for name in ("shards", "curve", "opened", "arrivals", "late")} <= names
    assert keys.parts(run.run, 1) in names
