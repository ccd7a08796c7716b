"""The second half of a round in the ledger: chunks that only nodes of a place may claim."""

from __future__ import annotations

import pytest
import redis

from cluster import errors, keys
from cluster.ledger.lease import Busy, Lease, OutOfStep
from cluster.ledger.records import Commit
from cluster.stores import Stores
from cluster.wire import ChunkEntry, Note, TurnEntry
from tests.kit.played_rounds import Kept, PlayedRounds, on, view

PLACE = "e" * 12


def joining(round_: int) -> ChunkEntry:
    turn = TurnEntry(
        round=round_, shard=0, shards=3, kind="train", seconds=None, base=f"base {round_}", views=[view(round_)],
        notes=[Note(0, "c" * 64, 5)],
    )  # fmt: skip
    return ChunkEntry(names=["join"], refs=[], last=[False], batch=round_, turn=turn)


def enter(played: PlayedRounds, round_: int = 0, first: int = 3, lease: Lease | None = None) -> None:
    (lease or played.lease).enter_joins(round_, round_, first, played.counted, {PLACE: joining(round_)})


def join(played: PlayedRounds, chunk: int) -> str:
    chunks = played.stores.ledger.chunks
    claim = chunks.claim(played.run, [chunk], on("n1"), "", [PLACE]).of[chunk]
    assert claim.state == "claimed"
    entry = ChunkEntry.unpack(claim.entry)
    assert entry == joining(0)
    return chunks.commit(played.run, [Commit(chunk, entry, b"")], on("n1")).states[chunk]


def test_a_second_half_is_part_of_its_round(stores: Stores) -> None:
    played = PlayedRounds(stores)
    played.do(0, 1, 2)
    enter(played)
    assert join(played, 3) == "settled now"
    assert sorted(stores.ledger.rounds.parts(played.run, 0)) == [0, 1, 2, 3]
    assert stores.ledger.rounds.settled(played.run, 0, [3]) == 1
    assert played.close(0, parts={**played.read(0), 3: {}}) == "running"
    assert played.do(4, 5, 6) == ["settled now"] * 3
    progress = stores.ledger.runs.progress(played.run)
    assert (progress.batches_complete, progress.batches_aggregated) == (2, 1)


def test_a_second_half_that_is_entered_twice_is_entered_once(stores: Stores, client: redis.Redis) -> None:
    played = PlayedRounds(stores)
    played.do(0, 1, 2)
    enter(played)
    kept = Kept.of(client, played.run)
    enter(played)
    assert Kept.of(client, played.run) == kept


def test_only_who_has_the_lease_enters_a_second_half(stores: Stores, client: redis.Redis) -> None:
    played = PlayedRounds(stores)
    old = played.take_over()
    kept = Kept.of(client, played.run)
    with pytest.raises(Busy):
        enter(played, lease=old)
    assert Kept.of(client, played.run) == kept


@pytest.mark.parametrize(("round_", "first"), [(1, 3), (0, 4)])
def test_a_second_half_of_another_round_is_out_of_step(round_: int, first: int, stores: Stores) -> None:
    played = PlayedRounds(stores)
    with pytest.raises(OutOfStep):
        enter(played, round_, first)


def test_a_run_that_was_stopped_has_no_second_half(stores: Stores) -> None:
    played = PlayedRounds(stores)
    stores.ledger.runs.stop(played.run, "cancelled", "by a test")
    with pytest.raises(errors.RunOver):
        enter(played)


def test_a_join_that_is_missing_when_its_round_is_closed_is_late(stores: Stores) -> None:
    played = PlayedRounds(stores)
    played.do(0, 1, 2)
    enter(played)
    assert played.close(0) == "running"
    assert stores.ledger.rounds.late(played.run) == {3}
    assert not stores.redis.exists(keys.run(played.run, "places"))
    assert played.do(4, 5, 6) == ["settled now"] * 3
    progress = stores.ledger.runs.progress(played.run)
    assert (progress.batches_complete, progress.batches_aggregated) == (2, 1)


def test_a_chunk_with_a_place_waits_for_nodes_of_it(stores: Stores) -> None:
    played = PlayedRounds(stores)
    enter(played)
    chunks = stores.ledger.chunks
    assert chunks.claim(played.run, [3], on("far"), "", ["f" * 12]).of[3].state == "other place"
    assert stores.redis.smembers(keys.run(played.run, "queued")) == {b"3"}  # so it counts as waiting
    assert chunks.claim(played.run, [0], on("far"), "", ["f" * 12]).of[0].state == "claimed"
    assert (chunks.waiting(played.run, []), chunks.waiting(played.run)) == ({1, 2}, {1, 2, 3})
    assert chunks.waiting(played.run, [PLACE]) == {1, 2, 3}


def test_a_round_that_counts_other_chunks_is_not_closed(stores: Stores) -> None:
    played = PlayedRounds(stores)
    played.do(0, 1, 2)
    with pytest.raises(OutOfStep):
        played.close(0, first=4)
    assert played.close(0, first=3) == "running"
