"""The ledger and the blobs in a real Redis: what happens once, happens once."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from cluster import errors, keys, redis_client, settings
from cluster.blobs.redis import RedisBlobs
from cluster.job import Job, Option
from cluster.runs import FAN_IN, Stores, coordinate, fold, map_chunk, parts
from cluster.runs.lease import Busy, Lease, Split
from cluster.runs.records import MOST_KILLS, MOST_LOSSES, Attempts, Claim, Claims, Done, Worker
from cluster.wire import ChunkEntry, FoldMessage, MapMessage
from splitters import Chunk
from tasks import Part
from tests.kit import blob_laws
from tests.kit.waiting import wait_until


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis_client.connect(redis_url)


@pytest.mark.parametrize("law", blob_laws.LAWS, ids=lambda law: law.__name__)
def test_the_store_in_redis_keeps_the(law: blob_laws.Law, client: redis.Redis) -> None:
    law(RedisBlobs(client, 60))


def test_blobs_expire(client: redis.Redis) -> None:
    RedisBlobs(client, 60).put("runs/expire/in/0", [b"x"])
    ttl: Any = client.ttl(keys.blobs("runs/expire/in/0"))
    assert 0 < ttl <= 60


def lengths(chunk: Chunk, *, fail: str = "") -> Part[dict[str, str]]:
    if fail == "no failures told" and chunk[0].name == "item 1":
        return Part({}, None)  # type: ignore[arg-type]
    if fail == "unpackable":
        return Part({"it": object()})  # type: ignore[dict-item]
    if fail and not (fail.startswith(("item", "no failures")) and fail != chunk[0].name):
        raise RuntimeError(fail)
    return Part({item.name: str(len(item.data)) for item in chunk})


JOB = Job(
    name="lengths",
    about="for this test",
    split=lambda source, chunk_size=1: iter(()),
    task=lengths,
    aggregate=lambda found: {name: text for part in found for name, text in part.items()},
    options=(Option("fail", str, "", "why to fail"),),
)
CONFIG = settings.Settings(max_attempts=3, retry_delay_s=1)


def on(node: str) -> Worker:
    return Worker(f"worker@{node}", f"start-of-{node}")


class Run:
    """A run whose chunks are entered and not published: the test plays the node."""

    def __init__(self, stores: Stores, windows: int = 1, window_chunks: int = 2, **options: Any) -> None:
        self.run = f"test-{secrets.token_hex(4)}"
        self.stores = stores
        self.window_chunks = window_chunks
        stores.ledger.create(self.run, "lengths", "", options, "test")
        self.lease = Lease.take(stores.ledger, self.run, "test", "splitter")
        for window in range(windows):
            chunks = range(window * window_chunks, (window + 1) * window_chunks)
            entries = [self.upload(chunk, window) for chunk in chunks]
            self.lease.open_window(Split(chunks=chunks[0], windows=window), entries, {}, 0)

    def upload(self, chunk: int, window: int) -> ChunkEntry:
        refs = self.stores.blobs.put(keys.input_scope(self.run, chunk), [b"x" * chunk])
        return ChunkEntry(names=[f"item {chunk}"], refs=[tuple(ref) for ref in refs], last=[True], window=window)

    def do(self, chunk: int, node: str = "n1") -> map_chunk.TryAgain | str:
        message = MapMessage(run=self.run, chunks=[chunk])
        return map_chunk.run(message, JOB, self.stores, CONFIG, on(node))

    def claim(self, chunk: int, node: str, version: str = "") -> Claim:
        claims = self.claims([chunk], node, version)
        return claims.of.get(chunk, Claim(claims.state))

    def claims(self, chunks: list[int], node: str, version: str = "") -> Claims:
        return self.stores.ledger.claim(self.run, chunks, "lengths", version, on(node), max_attempts=3)

    def fold(self, level: int, number: int) -> FoldMessage | str:
        message = FoldMessage(run=self.run, level=level, number=number)
        return fold.run(message, JOB, self.stores, CONFIG, on("n1"))

    def end_split(self, chunks: int, windows: int) -> str:
        self.lease.end_split(Split(chunks=chunks, windows=windows, items=chunks), {}, 0)
        return str(self.status.state)

    def events(self) -> list[tuple[str, str]]:
        return [(event.event, event.chunk) for event in self.stores.ledger.events(self.run)]

    def result(self) -> Any:
        return JOB.result(parts.of_run(self.run, self.stores, 2**20), {})

    @property
    def status(self) -> Any:
        return self.stores.ledger.status(self.run)


def test_a_chunk_done_twice_counts_once(stores: Stores) -> None:
    run = Run(stores)
    assert run.do(0, "n1") == "settled now"
    assert run.do(0, "n2") == "settled"
    assert run.status.items_done == 1
    assert run.status.nodes == {"worker@n1": 1}
    assert run.status.duplicates == 1


def test_of_two_nodes_on_the_same_chunk_the_first_commit_wins(stores: Stores) -> None:
    run = Run(stores)
    entry = ChunkEntry.unpack(run.claim(0, "slow").entry)
    assert run.do(0, "fast") == "settled now"
    late = parts.place(stores.blobs, "unused", b"\0\x80", 100)
    committed = stores.ledger.commit(run.run, [Done(0, entry, late, {"item 0": "late"})], on("slow"))
    assert committed == ({0: "settled"}, [])
    assert run.status.nodes == {"worker@fast": 1}
    assert run.status.failures == []


def span(run: Run, *chunks: int, node: str = "n1") -> map_chunk.TryAgain | str:
    return map_chunk.run(MapMessage(run=run.run, chunks=list(chunks)), JOB, run.stores, CONFIG, on(node))


def test_chunks_that_travel_together_are_settled_each_by_itself(stores: Stores) -> None:
    run = Run(stores, windows=2, window_chunks=3)
    run.do(1)
    assert span(run, 0, 1, 2, 3, 99) == "1 settled, 1 unknown, 3 settled now"
    assert sorted(stores.ledger.unsettled(run.run)) == [4, 5]
    assert (run.status.items_done, run.status.duplicates, run.status.nodes) == (4, 1, {"worker@n1": 4})
    assert stores.ledger.running(run.run) == []
    assert span(run, 4, 5) == "2 settled now"
    run.end_split(6, 2)
    assert (run.fold(0, 0), run.fold(0, 1)) == ("folded now", "folded now")
    assert run.result() == {f"item {at}": str(at) for at in range(6)}


def test_who_settles_the_last_chunk_of_a_window_hears_of_it(stores: Stores) -> None:
    run = Run(stores, windows=2, window_chunks=2)
    complete: list[int] = []
    for chunks in ([1], [2, 3], [2], [0]):
        message = MapMessage(run=run.run, chunks=chunks)
        map_chunk.run(message, JOB, stores, CONFIG, on("n1"), on_complete=complete.append)
    assert complete == [1, 0]


def test_what_ended_a_process_is_done_by_itself_so_that_its_neighbours_are_not_blamed(stores: Stores) -> None:
    run = Run(stores, window_chunks=3)
    for _ in range(MOST_KILLS - 1):
        run.claims([1], "n1")
        stores.ledger.end_attempt(run.run, "1", "killed", on("n1"), "signal 9")
    states = {chunk: claim.state for chunk, claim in run.claims([0, 1, 2], "n1").of.items()}
    assert states == {0: "claimed", 1: "apart", 2: "claimed"}
    for chunk in range(3):
        stores.ledger.end_attempt(run.run, str(chunk), "killed", on("n1"), "signal 9")
    attempts = {chunk: run.claim(chunk, "n1").attempts for chunk in range(3)}
    assert stores.ledger.redis.hgetall(keys.run(run.run, "attempts")) == {
        b"0": b"0 1 0",
        b"1": b"0 2 0",
        b"2": b"0 1 0",
    }
    assert attempts == dict.fromkeys(range(3), Attempts())
    assert span(run, 0, 1, 2) == "3 settled now"
    assert run.status.failures == []


def test_of_chunks_that_travel_together_those_that_fail_come_again(stores: Stores) -> None:
    run = Run(stores, window_chunks=3, fail="item 1")
    assert span(run, 0, 1, 2) == map_chunk.TryAgain(1.0, "RuntimeError: item 1", (1,))
    assert stores.ledger.unsettled(run.run) == [1]
    assert span(run, 1) == map_chunk.TryAgain(2.0, "RuntimeError: item 1", (1,))


def test_a_part_that_is_none_fails_its_own_chunk_only(stores: Stores) -> None:
    run = Run(stores, window_chunks=3, fail="no failures told")
    ended = span(run, 0, 1, 2)
    assert isinstance(ended, map_chunk.TryAgain)
    assert (ended.chunks, ended.reason[:9]) == ((1,), "TypeError")
    assert stores.ledger.unsettled(run.run) == [1]


def test_what_failed_is_done_after_its_neighbours(stores: Stores) -> None:
    run = Run(stores, window_chunks=3)
    run.claims([0], "n1")
    stores.ledger.end_attempt(run.run, "0", "failed", on("n1"), "for this test")
    states = {chunk: claim.state for chunk, claim in run.claims([0, 1, 2], "n1").of.items()}
    assert states == {0: "apart", 1: "claimed", 2: "claimed"}


def test_a_node_gives_up_only_what_is_still_its_own(stores: Stores) -> None:
    run = Run(stores, window_chunks=3)
    run.claims([0, 1, 2], "n1")
    run.claims([1], "n2")
    stores.ledger.let_go(run.run, on("n1"), 0, 1)
    assert {found.chunk: found.worker.node for found in stores.ledger.running(run.run)} == {
        1: "worker@n2",
        2: "worker@n1",
    }


def test_what_a_long_chunk_would_keep_waiting_is_left_to_others(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(stores, window_chunks=3)
    monkeypatch.setattr(map_chunk, "LONG_S", -1.0)
    assert span(run, 0, 1, 2) == map_chunk.TryAgain(0.0, map_chunk.LEFT, (1,), (2,))
    assert sorted(stores.ledger.unsettled(run.run)) == [1, 2]
    assert stores.ledger.running(run.run) == []
    assert run.status.retries == 0


@pytest.mark.parametrize("data", [[b"x"], [b""], []])
def test_bytes_that_stand_in_the_ledger_are_verified_as_well(data: list[bytes], stores: Stores) -> None:
    run = Run(stores)
    entry = run.upload(1, 0).model_copy(update={"data": data})
    stores.ledger.redis.hset(keys.run(run.run, "chunks"), "1", entry.pack())
    ended = run.do(1)
    if data == [b"x"]:
        assert ended == "settled now"
    else:
        assert isinstance(ended, map_chunk.TryAgain)
        assert "came back as" in ended.reason or "shorter" in ended.reason


def test_the_input_of_a_chunk_goes_when_it_is_settled(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    assert client.exists(keys.blobs(keys.input_scope(run.run, 0)))
    run.do(0)
    assert not client.exists(keys.blobs(keys.input_scope(run.run, 0)))


@pytest.mark.parametrize("field", ["run", "chunks"])
def test_a_message_about_what_does_not_exist_does_nothing(field: str, stores: Stores) -> None:
    run = Run(stores)
    message = MapMessage.model_validate(
        {"run": run.run, "chunks": [0], **({"run": "nobody"} if field == "run" else {"chunks": [99]})}
    )
    assert map_chunk.run(message, JOB, stores, CONFIG, on("n1")) == "unknown"
    assert run.status.chunks_settled == 0


def test_a_chunk_that_fails_is_tried_again_with_growing_delay_then_set_aside(stores: Stores) -> None:
    run = Run(stores, fail="broken")
    first, second, third = run.do(1), run.do(1), run.do(1)
    assert [first, second] == [
        map_chunk.TryAgain(1.0, "RuntimeError: broken", (1,)),
        map_chunk.TryAgain(2.0, "RuntimeError: broken", (1,)),
    ]
    assert third == "set aside (settled now)"
    assert run.status.failures[0].model_dump() == {"item": "item 1", "reason": "RuntimeError: broken"}
    assert run.events()[-4:] == [("failed", "1")] * 3 + [("set-aside", "1")]


def test_a_chunk_that_ends_its_process_each_time_is_set_aside(stores: Stores) -> None:
    run = Run(stores)
    for node in ("n1", "n2", "n3"):
        assert run.claim(0, node).state == "claimed"
        assert stores.ledger.end_attempt(run.run, "0", "killed", on(node), "signal 9")
    assert run.do(0, "n4") == "set aside (settled now)"
    assert run.status.failures[0].reason == "its process was ended 3 times, most likely because memory ran out"


def test_a_lost_node_counts_only_against_what_it_had_begun_and_nobody_has_since(stores: Stores) -> None:
    run = Run(stores)
    assert stores.ledger.end_attempt(run.run, "0", "lost", on("n1"), "gone") is None
    run.claim(0, "n1")
    run.claim(0, "n2")
    assert stores.ledger.end_attempt(run.run, "0", "lost", on("n1"), "gone") is None
    assert stores.ledger.end_attempt(run.run, "0", "lost", on("n2"), "gone") == Attempts(lost=1)
    for _ in range(MOST_LOSSES - 1):
        run.claim(0, "n3")
        stores.ledger.end_attempt(run.run, "0", "lost", on("n3"), "gone")
    assert run.do(0) == "set aside (settled now)"
    assert run.status.failures[0].reason.endswith(f"was lost, or handed it back, {MOST_LOSSES} times")


def test_a_run_of_another_version_of_the_job_is_refused_and_the_run_says_so(stores: Stores) -> None:
    run = Run(stores)
    for _ in range(2):
        assert run.claim(0, "old", version="0").state == "other version"
    assert run.status.refusals == {"worker@old": "has another version of the job: 0; the run needs "}
    assert run.events().count(("refused", "")) == 1
    assert run.do(0) == "settled now"


def test_a_second_copy_is_for_another_node_and_there_is_only_one(stores: Stores) -> None:
    run = Run(stores)
    run.claim(0, "slow")
    assert run.lease.copy(0, "worker@slow", "it is slow")
    assert not run.lease.copy(0, "worker@slow", "it is slow")
    assert run.claim(0, "slow").state == "elsewhere"
    assert run.do(0, "fast") == "settled now"
    assert not run.lease.copy(0, "worker@slow", "it is settled")


def test_of_two_coordinators_one_has_the_lease_and_the_other_changes_nothing(stores: Stores) -> None:
    run = Run(stores)
    with pytest.raises(Busy, match="test"):
        Lease.take(stores.ledger, run.run, "master", "supervisor")
    stores.ledger.redis.hset(keys.run(run.run), "lease_until_ms", 0)
    master = Lease.take(stores.ledger, run.run, "master", "supervisor")
    assert (run.lease.fence, master.fence) == ("1 test", "2 master")
    assert not run.lease.keep()
    with pytest.raises(Busy):
        run.lease.open_window(Split(chunks=2, windows=1), [run.upload(2, 1)], {}, 0)
    with pytest.raises(Busy):
        run.end_split(2, 1)
    with pytest.raises(Busy):
        run.lease.publish_again(["0"], "published-again", "")
    assert not run.lease.copy(0, "slow", "")
    assert stores.ledger.stop(run.run, "failed", "by the old one", run.lease.fence) == (False, "running")
    run.lease.release()
    assert run.status.coordinator == "master"
    # Whoever has the input takes the lease from one who has not.
    again = Lease.take(stores.ledger, run.run, "resumed", "splitter")
    assert not master.keep()
    assert again.split() == Split(chunks=2, windows=1, size_bytes=1)
    with pytest.raises(Busy):
        Lease.take(stores.ledger, run.run, "a third", "splitter")
    again.release()
    assert run.status.coordinator is None


def test_a_window_entered_twice_stands_there_once(stores: Stores) -> None:
    run = Run(stores)
    entry = run.upload(2, 1)
    for _ in range(2):
        after = run.lease.open_window(Split(chunks=2, windows=1), [entry], {"bad": "why"}, 1)
        assert after == Split(chunks=3, windows=2, size_bytes=2)
    assert run.status.items_failed == 1
    assert sorted(stores.ledger.unsettled(run.run)) == [0, 1, 2]


def test_a_lease_is_known_by_its_owner_too_where_redis_forgot_that_its_number_was_given(stores: Stores) -> None:
    run = Run(stores)
    one = run.lease
    stores.ledger.redis.hset(keys.run(run.run), mapping={"leases": 0, "lease_until_ms": 0})
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
        assert stores.ledger.end_attempt(run.run, "0", "killed", on("n1"), "signal 9") == Attempts(killed=1)


def test_what_is_published_again_is_what_is_still_to_be_done(stores: Stores) -> None:
    run = Run(stores)
    run.claim(1, "n1")
    run.do(0)
    wanted = run.lease.publish_again(["0", "1", "7", "fold 0:0", "fold 0:9"], "published-again", "lost")
    assert wanted == ["1", "fold 0:0"]
    assert stores.ledger.running(run.run) == []


def test_repeats_of_a_message_use_up_no_attempts_of_the_chunk_that_is_being_done(stores: Stores) -> None:
    run = Run(stores)
    for _ in range(10):
        assert run.claim(0, "repeat").attempts == Attempts()
    assert run.do(0) == "settled now"
    assert run.status.failures == []


def test_a_part_that_cannot_travel_is_not_tried_again(stores: Stores) -> None:
    run = Run(stores, fail="unpackable")
    assert run.do(0) == "set aside (settled now)"
    assert "cannot be packed" in run.status.failures[0].reason


def test_a_damaged_chunk_entry_is_set_aside_by_its_number(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    client.hset(keys.run(run.run, "chunks"), "0", b"nonsense")
    assert run.do(0) == "set aside (settled now)"
    assert run.status.failures[0].item == "chunk 0"


def test_a_message_of_another_job_is_refused(stores: Stores) -> None:
    run = Run(stores)
    other = Job(name="other", about="", split=JOB.split, task=lengths, aggregate=JOB.aggregate)
    assert map_chunk.run(MapMessage(run=run.run, chunks=[0]), other, stores, CONFIG, on("n1")) == "other job"
    message = FoldMessage(run=run.run, level=0, number=0)
    assert fold.run(message, other, stores, CONFIG, on("n1")) == "other job"
    assert run.do(0) == "settled now"


@pytest.mark.parametrize("damage", ["flip", "cut", "lose"])
def test_bytes_that_were_tampered_with_are_named_and_never_used(
    damage: str, stores: Stores, client: redis.Redis
) -> None:
    run = Run(stores)
    scope = keys.blobs(keys.input_scope(run.run, 1))
    [(sha256, data)] = client.hgetall(scope).items()
    if damage == "lose":
        client.hdel(scope, sha256)
    else:
        client.hset(scope, sha256, b"y" if damage == "flip" else data[:-1])
    run.do(0)
    assert isinstance(run.do(1), map_chunk.TryAgain)
    assert isinstance(run.do(1), map_chunk.TryAgain)
    assert run.do(1) == "settled now"
    run.end_split(2, 1)
    run.fold(0, 0)
    assert run.result() == {"item 0": "0"}
    [failure] = run.status.failures
    assert failure.item == "item 1"
    assert ("gone" if damage == "lose" else "came back as") in failure.reason


def test_a_window_is_folded_once_and_only_when_all_of_it_is_there(stores: Stores) -> None:
    run = Run(stores)
    run.do(0)
    assert run.fold(0, 0) == "incomplete"
    run.do(1)
    assert run.end_split(2, 1) == "running"
    assert run.fold(0, 0) == "folded now"
    assert run.fold(0, 0) == "done"
    assert run.status.state == "done"
    assert run.result() == {"item 0": "0", "item 1": "1"}


def test_a_run_whose_last_fold_came_before_the_end_of_its_input_ends_with_it(stores: Stores) -> None:
    run = Run(stores)
    run.do(0), run.do(1)
    assert run.fold(0, 0) == "folded now"
    assert run.status.state == "running"
    assert run.end_split(2, 1) == "done"


def test_folds_are_folded_when_a_family_is_complete_and_the_result_stays_in_order(stores: Stores) -> None:
    run = Run(stores, windows=FAN_IN + 1, window_chunks=1)
    for chunk in reversed(range(FAN_IN + 1)):
        run.do(chunk)
        ended = run.fold(0, chunk)
    assert ended == FoldMessage(run=run.run, level=1, number=0)
    assert run.fold(1, 0) == "folded now"
    assert run.fold(1, 0) == "folded"
    assert run.fold(0, 3) == "folded"
    assert [(level, number) for level, number, _ in stores.ledger.folds(run.run)] == [(1, 0), (0, FAN_IN)]
    run.end_split(FAN_IN + 1, FAN_IN + 1)
    assert list(run.result()) == [f"item {chunk}" for chunk in range(FAN_IN + 1)]


def test_large_parts_go_through_the_store_and_leave_nothing_there(stores: Stores, client: redis.Redis) -> None:
    config = CONFIG.model_copy(update={"inline_bytes": 0})
    run = Run(stores, windows=FAN_IN, window_chunks=2)
    for chunk in range(FAN_IN * 2):
        map_chunk.run(MapMessage(run=run.run, chunks=[chunk]), JOB, stores, config, on("n1"))
    for window in range(FAN_IN):
        ended = fold.run(FoldMessage(run=run.run, level=0, number=window), JOB, stores, config, on("n1"))
    assert isinstance(ended, FoldMessage)
    assert fold.run(ended, JOB, stores, config, on("n1")) == "folded now"
    assert [key.decode() for key in client.scan_iter(keys.blobs(f"runs/{run.run}/*"))] == [
        keys.blobs(keys.fold_scope(run.run, 1, 0))
    ]
    assert len(run.result()) == FAN_IN * 2


def test_a_fold_under_way_is_not_begun_again_until_it_is_known_to_have_ended(stores: Stores) -> None:
    run = Run(stores)
    run.do(0), run.do(1)
    for _ in range(MOST_KILLS):
        found = stores.ledger.fold_inputs(run.run, 0, 0, "lengths", on("n1"), max_attempts=3, busy_s=60)
        assert found.state == "ready"
        assert run.fold(0, 0) == "busy"
        stores.ledger.end_attempt(run.run, "fold 0:0", "killed", on("n1"), "signal 9")
    assert run.fold(0, 0) == "failed"
    assert run.status.error == f"joining parts was begun {MOST_KILLS} times and never ended"


def test_a_part_that_is_gone_fails_the_run_and_not_the_answer(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    run.do(0), run.do(1)
    client.hdel(keys.parts(run.run, 0), "1")
    assert run.fold(0, 0) == "failed"
    assert (run.status.state, run.status.error) == ("failed", "parts of window 0 are gone from Redis")


def test_chunks_are_not_entered_in_a_run_that_is_over(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    coordinate.cancel(run.run, stores, "by a test")
    assert run.lease.open_window(Split(chunks=2, windows=1), [run.upload(2, 1)], {}, 0) is None
    assert not client.exists(keys.run(run.run, "chunks"), keys.run(run.run, "windows"), keys.run(run.run, "done"))


def test_the_number_of_items_counted_ahead_does_not_replace_the_true_one(stores: Stores) -> None:
    run = Run(stores)
    run.end_split(2, 1)
    stores.ledger.expect_items(run.run, 99)
    assert run.status.items_total == 2
    stores.ledger.expect_items("nobody", 99)
    with pytest.raises(errors.UnknownRun):
        stores.ledger.status("nobody")


def test_a_window_of_which_nothing_was_left_folds_to_nothing(stores: Stores) -> None:
    run = Run(stores, fail="unpackable")
    run.do(0), run.do(1)
    run.end_split(2, 1)
    assert run.fold(0, 0) == "folded now"
    assert run.status.state == "done"
    assert run.result() == {}
    assert run.status.items_failed == 2


def test_a_cancelled_run_takes_nothing_more_and_drops_its_input(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    run.do(0)
    assert coordinate.cancel(run.run, stores, "by a test") == (True, "cancelled")
    assert coordinate.cancel(run.run, stores, "again") == (False, "cancelled")
    assert run.do(1) == "cancelled"
    assert run.fold(0, 0) == "cancelled"
    assert run.end_split(2, 1) == "cancelled"
    assert not list(client.scan_iter(keys.blobs(f"runs/{run.run}/in/*")))
    assert run.status.error == "by a test"


def test_every_key_of_a_run_expires(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores, fail="broken")
    run.do(0)
    for _ in range(CONFIG.max_attempts):
        run.do(1)
    run.claim(0, "old", version="0")
    ttls = {key: client.ttl(key) for key in client.scan_iter(f"*{run.run}*")}
    assert ttls
    assert all(ttl > 0 for ttl in ttls.values()), ttls


def test_an_unknown_run_is_an_error(stores: Stores) -> None:
    with pytest.raises(errors.UnknownRun, match="cluster runs"):
        stores.ledger.status("nobody")
    with pytest.raises(errors.RunFailed, match="gone"):
        stores.ledger.progress("nobody")


def test_runs_are_listed_newest_first_without_those_that_expired(stores: Stores, client: redis.Redis) -> None:
    first, second = Run(stores), Run(stores)
    client.zadd(keys.RUNS, {second.run: 2**40, first.run: 2**39})
    assert [run.run for run in stores.ledger.runs(2)] == [second.run, first.run]
    client.delete(keys.run(second.run))
    assert stores.ledger.runs(1)[0].run == first.run
    client.zrem(keys.RUNS, first.run, second.run)


def test_what_a_wrong_address_or_password_means(redis_url: str, tmp_path: Path) -> None:
    with pytest.raises(errors.BrokerUnreachable, match=r"no Redis answers at redis://127.0.0.1:1/0"):
        redis_client.check("redis://127.0.0.1:1/0")
    with pytest.raises(errors.BrokerRefused, match="password") as caught:
        redis_client.check(redis_url.replace("secret", "guess"))
    assert "guess" not in str(caught.value)


def test_input_waits_while_redis_uses_its_share_of_memory(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    memory = coordinate.Memory(client, 0.5, "a run")
    used, limit = redis_client.memory(client)
    assert limit is None
    assert memory.has_room(2**20)
    assert 0 < redis_client.room(client, 1) < psutil.virtual_memory().total
    try:
        client.config_set("maxmemory", 4 * used)
        memory = coordinate.Memory(client, 0.5, "a run")
        assert memory.has_room(used // 2)
        assert not memory.has_room(used)  # with what was let through just before it is more than half
        assert not memory.has_room(used)
        client.config_set("maxmemory", 20 * used)
        wait_until("it looks again", lambda: memory.has_room(used))
    finally:
        client.config_set("maxmemory", 0)
    assert [record.message for record in caplog.records] == [
        "run a run: Redis uses 50% of the memory there is; publishing waits for room",
        "run a run: Redis has room again",
    ]
