"""Rounds in a real Redis: a round is closed once, and each part counts once or is late."""

from __future__ import annotations

import pytest

from cluster.ledger.lease import OutOfStep
from cluster.stores import Stores
from tests.kit.played_rounds import ABOUT, PlayedRounds, view


def test_rounds_go_on_until_the_last_and_then_the_run_is_done(stores: Stores) -> None:
    run = PlayedRounds(stores, planned=3)
    for round_ in range(3):
        assert run.do(*range(3 * round_, 3 * round_ + 3)) == ["settled now"] * 3
        assert run.close(round_, last=round_ == 2) == ("done" if round_ == 2 else "running")
    assert run.counted == {f"{round_}:{shard}": 1 for round_ in range(3) for shard in range(3)}
    status = run.status
    assert (status.state, status.items_done, status.items_total) == ("done", 3, 3)
    assert (status.chunks_settled, status.chunks_total, status.chunks_published) == (9, 9, 9)
    assert [row["round"] for _, row in stores.ledger.rounds.curve(run.run)] == [0, 1, 2]


def test_what_a_driver_needs_to_go_on_is_in_the_ledger(stores: Stores) -> None:
    run = PlayedRounds(stores)
    ledger = stores.ledger
    assert ledger.rounds.of(run.run) == (-1, 5, {}, [view(0)])
    run.do(0, 1, 2)
    run.close(0)
    assert ledger.rounds.of(run.run) == (0, 5, {"0:0": 1, "0:1": 1, "0:2": 1}, [view(1)])
    shards = ledger.rounds.shards(run.run)
    assert list(shards) == [0, 1, 2, 3]
    assert (shards[0].data, ledger.rounds.shard(run.run, 3)) == ([ABOUT], shards[3])
    assert {batch: row.chunks for batch, row in ledger.partials.open_batches(run.run).items()} == {1: range(3, 6)}


def test_a_round_that_is_not_the_next_one_is_out_of_step(stores: Stores) -> None:
    run = PlayedRounds(stores)
    with pytest.raises(OutOfStep):
        run.close(1, 0)
    with pytest.raises(OutOfStep):
        run.close(0, 1)
    assert run.status.rounds.round == -1


def test_a_late_part_is_dropped_and_counted_once(stores: Stores) -> None:
    run = PlayedRounds(stores)
    late = run.claim(2, "slow")
    run.do(0, 1)
    run.close(0)
    assert (run.status.rounds.late, run.status.rounds.lost) == (1, 1)
    assert [run.commit(2, late, "slow") for _ in range(2)] == ["late", "late"]
    assert (run.status.rounds.late, run.status.rounds.lost, run.status.duplicates) == (1, 0, 1)
    assert run.counted == {"0:0": 1, "0:1": 1}
