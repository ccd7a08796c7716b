"""Chunks, alone and several in a message, as a node does them against a real ledger: what happens once, counts once."""

from __future__ import annotations

import dataclasses

import pytest
import redis

from cluster import keys
from cluster.ledger.records import MOST_KILLS, Attempts
from cluster.option import Option
from cluster.stores import Stores
from cluster.wire import AggregateMessage, MapMessage
from cluster.worker import aggregate_parts, map_chunk
from tests.kit.played_run import CONFIG, JOB, POLICY, Run, finding, lacking, lengths, on


@pytest.fixture(autouse=True)
def nothing_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a test is held up."""
    monkeypatch.setattr(map_chunk, "LONG_S", 60.0)


def test_chunks_that_travel_together_are_settled_each_by_itself(stores: Stores) -> None:
    run = Run(stores, batches=2, batch_chunks=3)
    run.do(1)
    assert run.do(0, 1, 2, 3, 99) == "1 settled, 1 unknown, 3 settled now"
    assert sorted(stores.ledger.chunks.unsettled(run.run)) == [4, 5]
    assert (run.status.items_done, run.status.duplicates, run.status.nodes) == (4, 1, {"worker@n1": 4})
    assert stores.ledger.chunks.running(run.run) == []
    assert run.do(4, 5) == "2 settled now"
    run.end_split(6, 2)
    assert (run.aggregate(0, 0), run.aggregate(0, 1)) == ("aggregated now", "aggregated now")
    assert run.result() == {f"item {at}": str(at) for at in range(6)}


def test_who_settles_the_last_chunk_of_a_batch_hears_of_it(stores: Stores) -> None:
    run = Run(stores, batches=2, batch_chunks=2)
    complete: list[tuple[int, str]] = []
    for chunks in ([1], [2, 3], [2], [0]):
        message = MapMessage(run=run.run, chunks=chunks)
        map_chunk.run(message, finding(JOB), stores, CONFIG, on("n1"), on_complete=lambda *told: complete.append(told))
    assert complete == [(1, "chord"), (0, "chord")]


def test_what_ended_a_process_is_done_by_itself_so_that_its_neighbours_are_not_blamed(stores: Stores) -> None:
    run = Run(stores, batch_chunks=3)
    for _ in range(MOST_KILLS - 1):
        run.claims([1], "n1")
        stores.ledger.chunks.end_attempt(run.run, 1, "killed", on("n1"), "signal 9")
    states = {chunk: claim.state for chunk, claim in run.claims([0, 1, 2], "n1").of.items()}
    assert states == {0: "claimed", 1: "apart", 2: "claimed"}
    for chunk in range(3):
        stores.ledger.chunks.end_attempt(run.run, chunk, "killed", on("n1"), "signal 9")
    attempts = {chunk: run.claim(chunk, "n1").attempts for chunk in range(3)}
    assert stores.redis.hgetall(keys.run(run.run, "attempts")) == {
        b"0": b"0 1 0",
        b"1": b"0 2 0",
        b"2": b"0 1 0",
    }
    assert attempts == {0: Attempts(killed=1), 1: Attempts(killed=2), 2: Attempts(killed=1)}
    assert run.do(0, 1, 2) == "3 settled now"
    assert run.status.failures == []


def test_of_chunks_that_travel_together_those_that_fail_come_again(stores: Stores) -> None:
    run = Run(stores, batch_chunks=3, fail="item 1")
    assert run.do(0, 1, 2) == map_chunk.TryAgain(1.0, "RuntimeError: item 1", (1,))
    assert stores.ledger.chunks.unsettled(run.run) == [1]
    assert run.do(1) == map_chunk.TryAgain(2.0, "RuntimeError: item 1", (1,))


def test_a_part_that_is_none_fails_its_own_chunk_only(stores: Stores) -> None:
    run = Run(stores, batch_chunks=3, fail="no failures told")
    ended = run.do(0, 1, 2)
    assert isinstance(ended, map_chunk.TryAgain)
    assert (ended.chunks, ended.reason[:9]) == ((1,), "TypeError")
    assert stores.ledger.chunks.unsettled(run.run) == [1]


def test_what_failed_is_done_after_its_neighbours(stores: Stores) -> None:
    run = Run(stores, batch_chunks=3)
    run.claims([0], "n1")
    stores.ledger.chunks.end_attempt(run.run, 0, "failed", on("n1"), "for this test")
    states = {chunk: claim.state for chunk, claim in run.claims([0, 1, 2], "n1").of.items()}
    assert states == {0: "apart", 1: "claimed", 2: "claimed"}


def test_a_node_gives_up_only_what_is_still_its_own(stores: Stores) -> None:
    run = Run(stores, batch_chunks=3)
    run.claims([0, 1, 2], "n1")
    run.claims([1], "n2")
    stores.ledger.chunks.release(run.run, on("n1"), 0, 1)
    assert {found.chunk: found.worker.node for found in stores.ledger.chunks.running(run.run)} == {
        1: "worker@n2",
        2: "worker@n1",
    }


def test_what_a_long_chunk_would_keep_waiting_is_left_to_others(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(stores, batch_chunks=3)
    monkeypatch.setattr(map_chunk, "LONG_S", -1.0)
    assert run.do(0, 1, 2) == map_chunk.TryAgain(0.0, map_chunk.LEFT, (1,), (2,))
    assert sorted(stores.ledger.chunks.unsettled(run.run)) == [1, 2]
    assert stores.ledger.chunks.running(run.run) == []
    assert run.status.retries == 0


@pytest.mark.parametrize("data", [[b"x"], [b""], []])
def test_bytes_that_stand_in_the_ledger_are_verified_as_well(data: list[bytes], stores: Stores) -> None:
    run = Run(stores)
    entry = run.upload(1, 0).model_copy(update={"data": data})
    stores.redis.hset(keys.run(run.run, "chunks"), "1", entry.pack())
    ended = run.do(1)
    if data == [b"x"]:
        assert ended == "settled now"
    else:
        assert isinstance(ended, map_chunk.TryAgain)
        assert "came back as" in ended.reason or "shorter" in ended.reason


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
    run.aggregate(0, 0)
    assert run.result() == {"item 0": "0"}
    [failure] = run.status.failures
    assert failure.item == "item 1"
    assert ("gone" if damage == "lose" else "came back as") in failure.reason


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
    assert map_chunk.run(message, finding(JOB), stores, CONFIG, on("n1")) == "unknown"
    assert run.status.chunks_settled == 0


def test_a_chunk_that_fails_is_tried_again_with_growing_delay_then_given_up(stores: Stores) -> None:
    run = Run(stores, fail="broken")
    first, second, third = run.do(1), run.do(1), run.do(1)
    assert [first, second] == [
        map_chunk.TryAgain(1.0, "RuntimeError: broken", (1,)),
        map_chunk.TryAgain(2.0, "RuntimeError: broken", (1,)),
    ]
    assert third == "given up (settled now)"
    assert run.status.failures[0].model_dump() == {"item": "item 1", "reason": "RuntimeError: broken"}
    assert run.events()[-4:] == [("failed", "1")] * 3 + [("dead-lettered", "1")]


def test_a_chunk_that_ends_its_process_each_time_is_given_up(stores: Stores) -> None:
    run = Run(stores)
    for node in ("n1", "n2", "n3"):
        assert run.claim(0, node).state == "claimed"
        assert stores.ledger.chunks.end_attempt(run.run, 0, "killed", on(node), "signal 9")
    assert run.do(0, node="n4") == "given up (settled now)"
    assert run.status.failures[0].reason == "its process was ended 3 times, most likely because memory ran out"


def test_a_part_that_cannot_travel_is_not_tried_again(stores: Stores) -> None:
    run = Run(stores, fail="unpackable")
    assert run.do(0) == "given up (settled now)"
    assert "cannot be packed" in run.status.failures[0].reason


def test_a_part_with_other_names_is_a_failed_attempt(stores: Stores) -> None:
    run = Run(stores, fail="other names")
    ended = run.do(0)
    assert isinstance(ended, map_chunk.TryAgain)
    assert "it names 'item 99', which is none of its items" in ended.reason
    assert run.events()[-1] == ("failed", "0")


def test_a_part_over_what_its_job_allows_is_given_up(stores: Stores) -> None:
    run = Run(stores)
    entry = run.upload(0, 0).model_copy(update={"part_bytes": 5})
    stores.redis.hset(keys.run(run.run, "chunks"), "0", entry.pack())
    assert run.do(0) == "given up (settled now)"
    assert "the limit is 5" in run.status.failures[0].reason


def test_a_damaged_chunk_entry_is_given_up_by_its_number(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    client.hset(keys.run(run.run, "chunks"), "0", b"nonsense")
    assert run.do(0) == "given up (settled now)"
    assert run.status.failures[0].item == "chunk 0"


def test_a_time_limit_over_the_owners_is_left_to_others(stores: Stores) -> None:
    config = CONFIG.model_copy(update={"max_time_limit_s": 100})
    run = Run(stores, policy=POLICY._replace(soft_time_limit_s=101, time_limit_s=131))
    message = MapMessage(run=run.run, chunks=[0])
    ended = map_chunk.run(message, finding(JOB), stores, config, on("small"))
    assert isinstance(ended, map_chunk.TryAgain)
    assert (ended.delay_s, ended.chunks) == (map_chunk.ELSEWHERE_S, (0,))
    assert run.status.rejections == {
        "worker@small": "rejects chunks that may take over 100 s (CLUSTER_MAX_TIME_LIMIT_S); this run allows 101 s"
    }
    assert run.events()[-1] == ("rejected", "")
    assert (run.status.retries, stores.ledger.chunks.running(run.run)) == (0, [])
    able = CONFIG.model_copy(update={"max_time_limit_s": 101})
    assert map_chunk.run(message, finding(JOB), stores, able, on("small")) == "settled now"


@pytest.mark.parametrize(("asked", "rejects"), [(64, True), (3, True), (2, False)])
def test_a_picture_over_the_owners_limit_is_left_to_others(asked: int, rejects: bool, stores: Stores) -> None:
    job = dataclasses.replace(
        JOB,
        task=lambda chunk, max_megapixels=64: lengths(chunk),
        options=(Option("max_megapixels", int, 64, "for this test"),),
        megapixels=lambda data: [1.0, 3.0 * len(data)],
    )
    config = CONFIG.model_copy(update={"max_megapixels": 2})
    run = Run(stores, max_megapixels=asked)
    alone, large = ([0], [1])
    ended = map_chunk.run(MapMessage(run=run.run, chunks=alone), finding(job), stores, config, on("small"))
    assert ended == "settled now"
    ended = map_chunk.run(MapMessage(run=run.run, chunks=large), finding(job), stores, config, on("small"))
    if rejects:
        assert isinstance(ended, map_chunk.TryAgain)
        assert "rejects pictures of over 2 megapixels (CLUSTER_MAX_MEGAPIXELS); this run has one of 3" in ended.reason
        assert (run.status.retries, stores.ledger.chunks.running(run.run)) == (0, [])
        ended = map_chunk.run(MapMessage(run=run.run, chunks=large), finding(job), stores, CONFIG, on("n2"))
        assert ended == "settled now"
    else:
        assert ended == "settled now"  # the task rejects it by itself: no picture of more is decoded


def test_a_node_without_the_job_leaves_its_chunks_and_parts_to_others(stores: Stores) -> None:
    run = Run(stores, batch_chunks=1)
    missing = lacking("does not have the job lengths")
    ended = map_chunk.run(MapMessage(run=run.run, chunks=[0]), missing, stores, CONFIG, on("n2"))
    assert ended == map_chunk.TryAgain(map_chunk.ELSEWHERE_S, "does not have the job lengths", (0,))
    assert run.do(0) == "settled now"
    message = AggregateMessage(run=run.run, level=0, number=0)
    assert aggregate_parts.run(message, missing, stores, CONFIG, on("n2")) == aggregate_parts.Rejected(
        "does not have the job lengths"
    )
    assert stores.ledger.chunks.running(run.run) == []
    assert run.aggregate(0, 0) == "aggregated now"
    assert run.status.rejections == {"worker@n2": "does not have the job lengths"}
