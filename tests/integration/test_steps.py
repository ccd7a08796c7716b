"""What each step of the ledger guards and counts, in a real Redis."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from cluster import errors, keys
from cluster.ledger.lease import LEASE_S, Busy, Lease, Split
from cluster.ledger.records import MOST_KILLS, MOST_LOSSES, Claims, Commit, Piece
from cluster.names import Partial
from cluster.stores import Stores
from tests.kit.played_run import POLICY, Run, on


def test_a_commit_counts_what_was_done_how_long_it_took_and_where(stores: Stores) -> None:
    run = Run(stores, batches=2, batch_chunks=2)

    def commit(*done: tuple[int, float], node: str) -> None:
        parts_of = [Commit(chunk, run.upload(chunk, chunk // 2), b"i\x80", seconds=took) for chunk, took in done]
        stores.ledger.chunks.commit(run.run, parts_of, on(node))

    def counted() -> list[int]:
        fields = "chunks_settled", "items_settled", "bytes_settled", "batches_complete", "chunk_us", "duplicates"
        row = stores.ledger.runs.row(run.run, *fields)
        return [getattr(row, field) for field in fields]

    commit((1, 2.0), node="a")
    assert counted() == [1, 1, 1, 0, 2_000_000, 0]
    commit((0, 6.0), node="a")
    assert counted() == [2, 2, 1, 1, 2_500_000, 0]  # an eighth of the way, as one of eight chunks
    commit((2, 1.0), (3, 3.0), (1, 9.0), node="b")
    assert counted() == [4, 4, 6, 2, 2_375_000, 1]
    commit((2, 1.0), (3, 3.0), node="a")
    assert counted() == [4, 4, 6, 2, 2_375_000, 3]
    assert stores.ledger.chunks.pace(run.run) == {"worker@a": 4.0, "worker@b": 2.0}
    assert run.events().count(("first-part", "")) == 2


def test_a_chunk_that_raised_too_often_is_given_up_by_the_next_node(stores: Stores) -> None:
    """The node on which it raised last has ended before it could."""
    run = Run(stores)
    for left in reversed(range(POLICY.max_attempts)):
        assert run.claim(0, "n1").state == "claimed"
        stores.ledger.chunks.end_attempt(run.run, 0, "failed", on("n1"), "it broke")
        assert (run.claim(0, "n2").state == "exhausted") == (left == 0)
        stores.ledger.chunks.release(run.run, on("n2"), 0)
    assert run.do(0, node="n2") == "given up (settled now)"
    assert run.status.failures[0].reason == "it broke"
    assert run.status.retries == run.events().count(("failed", "0")) == POLICY.max_attempts


@pytest.mark.parametrize("ended", ["cancelled", "gone"])
def test_no_step_changes_a_run_that_is_over(ended: str, stores: Stores, client: redis.Redis) -> None:
    run, ledger = Run(stores, batches=2), stores.ledger
    entry = run.upload(1, 0)
    run.do(0), run.do(2), run.do(3)
    run.claim(1, "n1")
    if ended == "gone":
        ledger.runs.forget([run.run])
    else:
        assert ledger.runs.stop(run.run, "cancelled", "by a test") == (True, "cancelled")
    state = "unknown" if ended == "gone" else ended

    def dumped() -> dict[Any, Any]:
        return {key: client.dump(key) for key in client.scan_iter(f"*{run.run}*")}

    before = dumped()
    assert run.claim(1, "n2").state == state
    assert ledger.chunks.end_attempt(run.run, 1, "failed", on("n1"), "it broke") is None
    assert ledger.chunks.commit(run.run, [Commit(1, entry, b"i\x80")], on("n1")) == ({1: state}, {})
    assert ledger.chunks.enter_piece(run.run, 1, 0, Piece(), on("n1")) == -1
    assert ledger.chunks.begin_items(run.run, 1, on("n1"), "it broke") == -1
    assert ledger.partials.inputs(run.run, 0, 1, on("n1")).state == state
    assert ledger.partials.commit(run.run, 0, 1, ["2", "3"], b"i\x80") == state
    assert run.lease.redeliver([1], "redelivered", "it was lost") == []
    assert not run.lease.speculate(1, "worker@n1", "it is slow")
    assert not run.lease.keep()
    assert run.lease.open_batch(Split(chunks=4, batches=2), [entry], {}, 0) is None
    assert ledger.runs.stop(run.run, "failed", "again") == (False, state)
    with pytest.raises(errors.RunOver, match=state):
        Lease.take(ledger, run.run, "another", "splitter")
    assert dumped() == before


def test_a_settled_chunk_has_no_further_attempt(stores: Stores) -> None:
    run = Run(stores)
    run.claim(0, "n1")
    run.do(0, node="n2")
    assert stores.ledger.chunks.end_attempt(run.run, 0, "failed", on("n1"), "it broke") is None
    assert run.status.retries == 0


def test_a_claim_by_the_queue_of_another_capability_begins_nothing(stores: Stores) -> None:
    run = Run(stores)
    chunks = stores.ledger.chunks
    assert chunks.claim(run.run, [0], on("n1"), "faces") == Claims("other capability")
    assert chunks.running(run.run) == []
    assert chunks.claim(run.run, [0], on("n1"), "lengths").of[0].state == "claimed"


def test_a_lease_that_is_kept_lasts_anew(stores: Stores) -> None:
    run = Run(stores)
    stores.redis.hset(keys.run(run.run), "lease_until_ms", 1)
    assert run.lease.keep()
    with pytest.raises(Busy, match="test"):
        Lease.take(stores.ledger, run.run, "another", "splitter")
    row = stores.ledger.runs.row(run.run, "lease_until_ms")
    assert row is not None
    assert row.lease_until_ms / 1000 - stores.ledger.runs.now().timestamp() == pytest.approx(LEASE_S, abs=2)


def test_a_batch_is_joined_once_by_who_serves_the_run(stores: Stores, client: redis.Redis) -> None:
    run, partials = Run(stores), stores.ledger.partials
    assert partials.inputs(run.run, 0, 0, on("n1")).state == "incomplete"
    run.do(0), run.do(1)
    assert partials.inputs(run.run, 0, 0, on("n1"), "faces").state == "other capability"
    assert partials.inputs(run.run, 0, 0, on("n1"), "lengths").state == "ready"
    assert partials.inputs(run.run, 0, 0, on("n2")).state == "busy"
    stores.ledger.chunks.release(run.run, on("n1"), Partial(0, 0))
    assert run.aggregate(0, 0) == "aggregated now"
    assert partials.inputs(run.run, 0, 0, on("n2")).state == "aggregated"
    assert client.exists(keys.parts(run.run, 0), keys.run(run.run, "expected"), keys.run(run.run, "claims")) == 0


@pytest.mark.parametrize(
    ("how", "most"), [("failed", POLICY.max_attempts), ("killed", MOST_KILLS), ("lost", MOST_LOSSES)]
)
def test_a_batch_that_was_begun_too_often_is_not_begun_again(how: str, most: int, stores: Stores) -> None:
    run, ledger = Run(stores), stores.ledger
    run.do(0), run.do(1)
    for _ in range(most):
        assert ledger.partials.inputs(run.run, 0, 0, on("n1")).state == "ready"
        ledger.chunks.end_attempt(run.run, Partial(0, 0), how, on("n1"), "it broke")
    found = ledger.partials.inputs(run.run, 0, 0, on("n1"))
    assert (found.state, sum(found.attempts)) == ("exhausted", most)
