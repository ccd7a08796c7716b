"""The ledger and the blobs in a real Redis: what happens once, happens once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from cluster import errors, keys, redis_client
from cluster.blobs.redis import RedisBlobs
from cluster.coordinator import split
from cluster.coordinator.cancel import cancel
from cluster.job import Job
from cluster.ledger import parts
from cluster.ledger.lease import Busy, Lease, Split
from cluster.ledger.records import MOST_LOSSES, Attempts, Commit
from cluster.names import Partial
from cluster.stores import Stores
from cluster.wire import ChunkEntry, MapMessage
from cluster.worker import map_chunk
from splitters import Chunk
from tasks import Part
from tests.kit import blob_laws
from tests.kit.played_run import CONFIG, JOB, POLICY, Run, finding, lacking, on
from tests.kit.programs import admin
from tests.kit.waiting import wait_until


@pytest.mark.parametrize("law", blob_laws.LAWS, ids=lambda law: law.__name__)
def test_the_store_in_redis_keeps_the(law: blob_laws.Law, client: redis.Redis) -> None:
    law(RedisBlobs(client))


def test_blobs_expire(client: redis.Redis) -> None:
    RedisBlobs(client).put("runs/expire/in/0", [b"x"], keep_s=60)
    ttl: Any = client.ttl(keys.blobs("runs/expire/in/0"))
    assert 0 < ttl <= 60


def test_a_chunk_done_twice_counts_once(stores: Stores) -> None:
    run = Run(stores)
    assert run.do(0, node="n1") == "settled now"
    assert run.do(0, node="n2") == "settled"
    assert run.status.items_done == 1
    assert run.status.nodes == {"worker@n1": 1}
    assert run.status.duplicates == 1


def test_of_two_nodes_on_the_same_chunk_the_first_commit_wins(stores: Stores) -> None:
    run = Run(stores)
    entry = ChunkEntry.unpack(run.claim(0, "slow").entry)
    assert run.do(0, node="fast") == "settled now"
    late = parts.place(stores.blobs, "unused", b"\0\x80", POLICY)
    committed = stores.ledger.chunks.commit(run.run, [Commit(0, entry, late, {"item 0": "late"})], on("slow"))
    assert committed == ({0: "settled"}, {})
    assert run.status.nodes == {"worker@fast": 1}
    assert run.status.failures == []
    assert run.status.duplicates == 1


def test_a_lost_node_counts_only_against_what_it_had_begun_and_nobody_has_since(stores: Stores) -> None:
    run = Run(stores)
    assert stores.ledger.chunks.end_attempt(run.run, 0, "lost", on("n1"), "gone") is None
    run.claim(0, "n1")
    run.claim(0, "n2")
    assert stores.ledger.chunks.end_attempt(run.run, 0, "lost", on("n1"), "gone") is None
    assert stores.ledger.chunks.end_attempt(run.run, 0, "lost", on("n2"), "gone") == Attempts(lost=1)
    for _ in range(MOST_LOSSES - 1):
        run.claim(0, "n3")
        stores.ledger.chunks.end_attempt(run.run, 0, "lost", on("n3"), "gone")
    assert run.do(0) == "given up (settled now)"
    assert run.status.failures[0].reason.endswith(f"was lost, or handed it back, {MOST_LOSSES} times")


def test_a_run_of_another_version_of_the_job_is_rejected_and_the_run_says_so(stores: Stores) -> None:
    run = Run(stores)
    message, why = MapMessage(run=run.run, chunks=[0]), "has another version of the job: 0; the run needs none"
    for _ in range(2):
        ended = map_chunk.run(message, lacking(why), stores, CONFIG, on("old"))
        assert ended == map_chunk.TryAgain(map_chunk.ELSEWHERE_S, why, (0,))
    assert run.status.rejections == {"worker@old": why}
    assert stores.ledger.chunks.running(run.run) == []
    assert run.events().count(("rejected", "")) == 1
    assert run.do(0) == "settled now"


def test_a_speculative_copy_is_for_another_node_and_there_is_only_one(stores: Stores) -> None:
    run = Run(stores)
    run.claim(0, "slow")
    assert run.lease.speculate(0, "worker@slow", "it is slow")
    assert not run.lease.speculate(0, "worker@slow", "it is slow")
    assert run.claim(0, "slow").state == "elsewhere"
    assert run.do(0, node="fast") == "settled now"
    assert not run.lease.speculate(0, "worker@slow", "it is settled")


def test_the_node_with_the_speculative_copy_may_ask_for_it_again(stores: Stores) -> None:
    run = Run(stores)
    run.claim(0, "slow")
    run.lease.speculate(0, "worker@slow", "it is slow")
    assert [run.claim(0, "fast").state for _ in range(2)] == ["claimed", "claimed"]


def test_a_slow_node_may_do_a_chunk_itself_once_it_cannot_be_at_it_any_more(stores: Stores) -> None:
    run = Run(stores)
    run.claim(0, "slow")
    run.lease.speculate(0, "worker@slow", "it is slow")
    claims = keys.run(run.run, "claims")
    claim: Any = stores.redis.hget(claims, "0")
    since_ms, _, who = claim.decode().partition(" ")
    stores.redis.hset(claims, "0", f"{int(since_ms) - 61_000} {who}")
    assert run.claim(0, "slow").state == "claimed"


def test_a_chunk_is_settled_in_the_batch_in_which_it_stands_now(stores: Stores) -> None:
    """Redis lost its last moments, and the batches were entered anew, with other chunks."""
    run = Run(stores, batches=2, batch_chunks=2)
    entry = run.upload(2, 0)
    place = parts.place(stores.blobs, "unused", b"\x80", POLICY)
    assert stores.ledger.chunks.commit(run.run, [Commit(2, entry, place)], on("n1")).states == {2: "unknown"}
    gone = entry.model_copy(update={"batch": 7})
    assert stores.ledger.chunks.commit(run.run, [Commit(2, gone, place)], on("n1")).states == {2: "unknown"}
    run.do(0), run.do(1), run.do(2), run.do(3)
    run.end_split(4, 2)
    assert (run.aggregate(0, 0), run.aggregate(0, 1)) == ("aggregated now", "aggregated now")
    assert run.result() == {f"item {chunk}": str(chunk) for chunk in range(4)}


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_a_large_part_that_comes_after_the_end_of_a_run_does_not_stay(state: str, stores: Stores) -> None:
    run = Run(stores, policy=POLICY._replace(inline_bytes=0))

    def late(chunk: Chunk) -> Part[dict[str, str]]:
        cancel(run.run, stores, "by a test", state)
        return Part({chunk[0].name: "too late"})

    job = Job(name="lengths", about="", split=JOB.split, task=late, aggregate=JOB.aggregate)
    assert map_chunk.run(MapMessage(run=run.run, chunks=[0]), finding(job), stores, CONFIG, on("n1")) == state
    assert list(stores.redis.scan_iter(keys.blobs(f"runs/{run.run}/*"))) == []


def test_of_two_coordinators_one_has_the_lease_and_the_other_changes_nothing(stores: Stores) -> None:
    run = Run(stores)
    with pytest.raises(Busy, match="test"):
        Lease.take(stores.ledger, run.run, "master", "supervisor")
    stores.redis.hset(keys.run(run.run), "lease_until_ms", 0)
    master = Lease.take(stores.ledger, run.run, "master", "supervisor")
    assert (run.lease.fence, master.fence) == ("1 test", "2 master")
    assert not run.lease.keep()
    with pytest.raises(Busy):
        run.lease.open_batch(Split(chunks=2, batches=1), [run.upload(2, 1)], {}, 0)
    with pytest.raises(Busy):
        run.end_split(2, 1)
    with pytest.raises(Busy):
        run.lease.redeliver([0], "redelivered", "")
    assert not run.lease.speculate(0, "slow", "")
    assert stores.ledger.runs.stop(run.run, "failed", "by the old one", run.lease.fence) == (False, "running")
    run.lease.release()
    assert run.status.coordinator == "master"
    # Whoever has the input takes the lease from one who has not.
    again = Lease.take(stores.ledger, run.run, "resumed", "splitter")
    assert not master.keep()
    assert again.split() == Split(chunks=2, batches=1, size_bytes=1)
    with pytest.raises(Busy):
        Lease.take(stores.ledger, run.run, "a third", "splitter")
    again.release()
    assert run.status.coordinator is None


def test_a_batch_entered_twice_stands_there_once(stores: Stores) -> None:
    run = Run(stores)
    entry = run.upload(2, 1)
    for _ in range(2):
        after = run.lease.open_batch(Split(chunks=2, batches=1), [entry], {"bad": "why"}, 1)
        assert after == Split(chunks=3, batches=2, size_bytes=2)
    assert run.status.items_failed == 1
    assert sorted(stores.ledger.chunks.unsettled(run.run)) == [0, 1, 2]


def test_a_lease_is_known_by_its_owner_too_where_redis_forgot_that_its_number_was_given(stores: Stores) -> None:
    run = Run(stores)
    one = run.lease
    stores.redis.hset(keys.run(run.run), mapping={"leases": 0, "lease_until_ms": 0})
    two = Lease.take(stores.ledger, run.run, "another", "splitter")
    assert two.fence.split()[0] == one.fence.split()[0] == "1"
    assert two.keep()
    assert not one.keep()


def test_an_owner_whose_first_answer_was_lost_may_take_the_lease_again(stores: Stores) -> None:
    run = Run(stores)
    again = Lease.take(stores.ledger, run.run, "test", "splitter")
    assert again.keep()
    assert not run.lease.keep()


def test_an_attempt_that_is_told_of_twice_counts_once(stores: Stores) -> None:
    run = Run(stores)
    run.claim(0, "n1")
    for _ in range(2):
        assert stores.ledger.chunks.end_attempt(run.run, 0, "killed", on("n1"), "signal 9") == Attempts(killed=1)


def test_what_is_redelivered_is_what_is_still_to_be_done(stores: Stores) -> None:
    run = Run(stores)
    run.claim(1, "n1")
    run.do(0)
    wanted = run.lease.redeliver([0, 1, 7, Partial(0, 0), Partial(0, 9)], "redelivered", "lost")
    assert wanted == [1, Partial(0, 0)]
    assert stores.ledger.chunks.running(run.run) == []


def test_repeats_of_a_message_use_up_no_attempts_of_the_chunk_that_is_being_done(stores: Stores) -> None:
    run = Run(stores)
    for _ in range(10):
        assert run.claim(0, "repeat").attempts == Attempts()
    assert run.do(0) == "settled now"
    assert run.status.failures == []


def test_chunks_are_not_entered_in_a_run_that_is_over(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    cancel(run.run, stores, "by a test")
    assert run.lease.open_batch(Split(chunks=2, batches=1), [run.upload(2, 1)], {}, 0) is None
    assert not client.exists(keys.run(run.run, "chunks"), keys.run(run.run, "batches"), keys.run(run.run, "done"))


def test_the_number_of_items_counted_ahead_does_not_replace_the_true_one(stores: Stores) -> None:
    run = Run(stores)
    run.end_split(2, 1)
    stores.ledger.runs.expect_items(run.run, 99)
    assert run.status.items_total == 2
    stores.ledger.runs.expect_items("nobody", 99)
    with pytest.raises(errors.UnknownRun):
        stores.ledger.runs.status("nobody")


def test_a_cancelled_run_takes_nothing_more_and_drops_its_input(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    run.do(0)
    assert cancel(run.run, stores, "by a test") == (True, "cancelled")
    assert cancel(run.run, stores, "again") == (False, "cancelled")
    assert run.do(1) == "cancelled"
    assert run.aggregate(0, 0) == "cancelled"
    assert run.end_split(2, 1) == "cancelled"
    assert not list(client.scan_iter(keys.blobs(f"runs/{run.run}/in/*")))
    assert run.status.error == "by a test"


def test_every_key_of_a_run_expires(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores, fail="broken")
    run.do(0)
    for _ in range(POLICY.max_attempts):
        run.do(1)
    stores.ledger.chunks.reject(run.run, [0], on("old"), "a test")
    ttls = {key: client.ttl(key) for key in client.scan_iter(f"*{run.run}*")}
    assert ttls
    assert all(ttl > 0 for ttl in ttls.values()), ttls


def test_an_unknown_run_is_an_error(stores: Stores) -> None:
    with pytest.raises(errors.UnknownRun, match="cluster runs"):
        stores.ledger.runs.status("nobody")
    with pytest.raises(errors.RunFailed, match="gone"):
        stores.ledger.runs.progress("nobody")


def test_runs_are_listed_newest_first_without_those_that_expired(stores: Stores, client: redis.Redis) -> None:
    first, second = Run(stores), Run(stores)
    client.zadd(keys.RUNS, {second.run: 2**40, first.run: 2**39})
    assert [run.run for run in stores.ledger.runs.latest(2)] == [second.run, first.run]
    client.delete(keys.run(second.run))
    assert stores.ledger.runs.latest(1)[0].run == first.run
    client.zrem(keys.RUNS, first.run, second.run)


def test_what_a_wrong_address_or_password_means(redis_url: str, tmp_path: Path) -> None:
    with pytest.raises(errors.BrokerUnreachable, match=r"no Redis answers at redis://127.0.0.1:1/0"):
        redis_client.check("redis://127.0.0.1:1/0")
    with pytest.raises(errors.BrokerRefused, match="password") as caught:
        redis_client.check(redis_url.replace("secret", "guess"))
    assert "guess" not in str(caught.value)


def test_input_waits_while_redis_uses_its_share_of_memory(
    client: redis.Redis, redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split, "MEMORY_LOOK_S", 30.0)
    memory = split.Memory(client, 0.5, "a run")
    used, limit = redis_client.memory(client)
    assert limit is None
    assert memory.has_room(2**20)
    assert 0 < redis_client.room(client, 1) < psutil.virtual_memory().total
    try:
        admin(redis_url).config_set("maxmemory", 4 * used)
        memory = split.Memory(client, 0.5, "a run")
        assert memory.has_room(used // 2)
        assert not memory.has_room(used)  # with what was let through just before it is more than half
        assert not memory.has_room(used)
        admin(redis_url).config_set("maxmemory", 20 * used)
        monkeypatch.setattr(split, "MEMORY_LOOK_S", 0.1)
        wait_until("it looks again", lambda: memory.has_room(used))
    finally:
        admin(redis_url).config_set("maxmemory", 0)
    assert [record.message for record in caplog.records] == [
        "run a run: Redis uses 50% of the memory there is; publishing waits for room",
        "run a run: Redis has room again",
    ]
