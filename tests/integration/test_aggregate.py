"""Batches that are joined, and what was joined joined again, against a real ledger."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import msgpack
import pytest
import redis
import zstandard

from cluster import celery_app, errors, keys, settings, wire
from cluster.ledger.records import FAN_IN, MOST_KILLS
from cluster.names import Partial
from cluster.stores import Stores
from cluster.wire import AggregateMessage, MapMessage
from cluster.worker import aggregate_parts, map_chunk, tasks
from tests.kit.played_run import CONFIG, JOB, POLICY, Run, finding, on


def test_a_batch_is_aggregated_once_and_only_when_all_of_it_is_there(stores: Stores) -> None:
    run = Run(stores)
    run.do(0)
    assert run.aggregate(0, 0) == "incomplete"
    run.do(1)
    assert run.end_split(2, 1) == "running"
    assert run.aggregate(0, 0) == "aggregated now"
    assert run.aggregate(0, 0) == "done"
    assert run.status.state == "done"
    assert run.result() == {"item 0": "0", "item 1": "1"}


def test_a_run_whose_last_partial_came_before_the_end_of_its_input_ends_with_it(stores: Stores) -> None:
    run = Run(stores)
    run.do(0), run.do(1)
    assert run.aggregate(0, 0) == "aggregated now"
    assert run.status.state == "running"
    assert run.end_split(2, 1) == "done"


def test_partials_are_aggregated_when_a_family_is_complete_and_the_result_stays_in_order(stores: Stores) -> None:
    run = Run(stores, batches=FAN_IN + 1, batch_chunks=1)
    for chunk in reversed(range(FAN_IN + 1)):
        run.do(chunk)
        ended = run.aggregate(0, chunk)
    assert ended == AggregateMessage(run=run.run, level=1, number=0)
    assert run.aggregate(1, 0) == "aggregated now"
    assert run.aggregate(1, 0) == "aggregated"
    assert run.aggregate(0, 3) == "aggregated"
    assert [(level, number) for level, number, _ in stores.ledger.partials.of_result(run.run)] == [(1, 0), (0, FAN_IN)]
    run.end_split(FAN_IN + 1, FAN_IN + 1)
    assert list(run.result()) == [f"item {chunk}" for chunk in range(FAN_IN + 1)]


def test_whatever_an_aggregator_raises_ends_the_run_with_a_reason(
    stores: Stores, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, tasks.log.name)  # processes of pytest cannot tell each other such text

    def aggregate(_: Iterable[Any]) -> Any:
        raise RuntimeError(f"odd \udcff {'x' * 1000}")

    run = Run(stores, policy=POLICY._replace(max_attempts=2))
    run.do(0, 1)
    config = settings.load(broker_url=redis_url)
    with closing(celery_app.build(config)) as app:
        node = tasks.Node(app, config, finding(dataclasses.replace(JOB, aggregate=aggregate)))
        message, came = AggregateMessage(run=run.run, level=0, number=0), tasks.Delivery("lengths", on("n1"))
        assert tasks.aggregate(node, message, came) == tasks.Retry(POLICY.retry_delay_s)
        assert tasks.aggregate(node, message, came) == "failed"
    assert run.status.state == "failed"
    assert run.status.error.startswith(r"joining parts failed: RuntimeError: odd \udcff xxx")


def test_large_parts_go_through_the_store_and_leave_nothing_there(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores, batches=FAN_IN, batch_chunks=2, policy=POLICY._replace(inline_bytes=0))
    for chunk in range(FAN_IN * 2):
        map_chunk.run(MapMessage(run=run.run, chunks=[chunk]), finding(JOB), stores, CONFIG, on("n1"))
    for batch in range(FAN_IN):
        ended = aggregate_parts.run(
            AggregateMessage(run=run.run, level=0, number=batch), finding(JOB), stores, CONFIG, on("n1")
        )
    assert isinstance(ended, AggregateMessage)
    assert aggregate_parts.run(ended, finding(JOB), stores, CONFIG, on("n1")) == "aggregated now"
    assert [key.decode() for key in client.scan_iter(keys.blobs(f"runs/{run.run}/*"))] == [
        keys.blobs(keys.partial_scope(run.run, 1, 0))
    ]
    run.end_split(FAN_IN * 2, FAN_IN)
    assert len(run.result()) == FAN_IN * 2


def test_a_partial_under_way_is_not_begun_again_until_it_is_known_to_have_ended(stores: Stores) -> None:
    run = Run(stores)
    run.do(0), run.do(1)
    for _ in range(MOST_KILLS):
        found = stores.ledger.partials.inputs(run.run, 0, 0, on("n1"))
        assert found.state == "ready"
        assert run.aggregate(0, 0) == "busy"
        stores.ledger.chunks.end_attempt(run.run, Partial(0, 0), "killed", on("n1"), "signal 9")
    assert run.aggregate(0, 0) == "failed"
    assert run.status.error == f"joining parts was begun {MOST_KILLS} times and never ended"


def test_a_part_that_is_gone_fails_the_run_and_not_the_answer(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    run.do(0), run.do(1)
    client.hdel(keys.parts(run.run, 0), "1")
    assert run.aggregate(0, 0) == "failed"
    assert (run.status.state, run.status.error) == ("failed", "parts of batch 0 are gone from Redis")


def test_a_batch_of_which_nothing_was_left_partials_to_nothing(stores: Stores) -> None:
    run = Run(stores, fail="unpackable")
    run.do(0), run.do(1)
    run.end_split(2, 1)
    assert run.aggregate(0, 0) == "aggregated now"
    assert run.status.state == "done"
    assert run.result() == {}
    assert run.status.items_failed == 2


def test_partials_of_which_one_was_forgotten_are_not_joined(stores: Stores) -> None:
    """Redis lost its last moments while a node joined them."""
    run = Run(stores, batches=FAN_IN, batch_chunks=1)
    for chunk in range(FAN_IN):
        run.do(chunk)
        run.aggregate(0, chunk)
    inputs = stores.ledger.partials.inputs(run.run, 1, 0, on("n1"))
    stores.redis.hdel(keys.run(run.run, "partials"), "0:7")
    assert stores.ledger.partials.commit(run.run, 1, 0, inputs.entries, b"i") == "aggregated"
    assert len(stores.ledger.partials.of_result(run.run)) == FAN_IN - 1


def test_a_batch_that_has_other_chunks_by_now_is_not_aggregated(stores: Stores) -> None:
    run = Run(stores, batch_chunks=3)
    run.do(0, 1, 2)
    inputs = stores.ledger.partials.inputs(run.run, 0, 0, on("n1"))
    assert list(inputs.entries) == ["0", "1", "2"]
    stores.redis.hset(keys.run(run.run, "batches"), "0", "0 2 chord")
    assert stores.ledger.partials.commit(run.run, 0, 0, inputs.entries, b"i") == "aggregated"
    stores.redis.hset(keys.run(run.run, "batches"), "0", "0 3 chord")
    assert stores.ledger.partials.commit(run.run, 0, 0, inputs.entries, b"i") == "aggregated now"


MANY = 2**25
BOMB = b"\1" + zstandard.ZstdCompressor().compress(b"\xdd" + MANY.to_bytes(4, "big") + b"\x90" * MANY)
FORGED = {
    "a bomb": (b"i" + BOMB, "the limit is"),
    "a bomb of elements": (b"i\0\xdd" + (2**21).to_bytes(4, "big") + b"\x80" * 2**21, "array_len"),
    "no part": (b"nonsense", "not an address"),
    "an address of another kind": (b"b" + msgpack.packb([1, "many"]), "not an address"),
    "an address of too much": (b"b" + msgpack.packb(["0" * 64, 2**40]), "the limit is"),
    "no mapping": (b"i" + wire.pack(7), "maps no items"),
    "the name of another chunk": (b"i" + wire.pack({"item 0": "forged"}), "'item 0', which is none of its items"),
}


@pytest.mark.parametrize("how", FORGED)
def test_forged_parts_cost_their_own_items_only(how: str, stores: Stores, client: redis.Redis) -> None:
    forged, why = FORGED[how]
    run = Run(stores, batch_chunks=3)
    run.do(0), run.do(1), run.do(2)
    client.hset(keys.parts(run.run, 0), "1", forged)
    run.end_split(3, 1)
    assert run.aggregate(0, 0) == "aggregated now"
    assert (run.status.state, run.status.items_done) == ("done", 2)
    assert run.result() == {"item 0": "0", "item 2": "2"}
    [failure] = run.status.failures
    assert failure.item == "item 1"
    assert why in failure.reason
    assert run.events()[-2:] == [("dead-lettered", "1"), ("done", "")]
    assert not client.exists(keys.run(run.run, "expected"))


def test_parts_nobody_can_join_are_left_out(stores: Stores, client: redis.Redis) -> None:
    """The job has no check of its own: its aggregator tells which part it is."""
    job = dataclasses.replace(JOB, aggregate=lambda parts: {name: it for part in parts for name, it in part.items()})
    run = Run(stores)
    run.do(0), run.do(1)
    client.hset(keys.parts(run.run, 0), "0", b"i" + wire.pack("text"))
    message = AggregateMessage(run=run.run, level=0, number=0)
    assert aggregate_parts.run(message, finding(job), stores, CONFIG, on("n1")) == "aggregated now"
    [failure] = run.status.failures
    assert (failure.item, "AttributeError" in failure.reason) == ("item 0", True)


def test_parts_whose_blobs_are_gone_are_missing_in_the_end(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores, policy=POLICY._replace(inline_bytes=0))
    for chunk in (0, 1):
        map_chunk.run(MapMessage(run=run.run, chunks=[chunk]), finding(JOB), stores, CONFIG, on("n1"))
    scope = keys.blobs(keys.parts_scope(run.run, 0))
    [gone, _] = client.hkeys(scope)
    client.hdel(scope, gone)
    message = AggregateMessage(run=run.run, level=0, number=0)
    for _ in range(POLICY.max_attempts - 1):
        with pytest.raises(errors.BlobMissing):
            aggregate_parts.run(message, finding(JOB), stores, CONFIG, on("n1"))
        stores.ledger.chunks.end_attempt(run.run, Partial(0, 0), "failed", on("n1"), "for this test")
    assert aggregate_parts.run(message, finding(JOB), stores, CONFIG, on("n1")) == "aggregated now"
    assert run.status.items_failed == 1


def test_forged_partials_are_not_joined_and_named_by_the_result(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores, batches=FAN_IN, batch_chunks=1, policy=POLICY._replace(max_part_bytes=2**20))
    for chunk in range(FAN_IN):
        run.do(chunk)
        run.aggregate(0, chunk)
    client.hset(keys.run(run.run, "partials"), "0:7", b"i" + BOMB)
    assert run.aggregate(1, 0) == "large enough"
    run.end_split(FAN_IN, FAN_IN)
    assert run.status.state == "done"
    with pytest.raises(errors.RunFailed, match=r"damaged: the part 0:7 is not of the job lengths: .* limit is"):
        run.result()


def test_partials_that_contradict_each_other_stay_unjoined(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores, batches=FAN_IN, batch_chunks=1)
    for chunk in range(FAN_IN):
        run.do(chunk)
        run.aggregate(0, chunk)
    client.hset(keys.run(run.run, "partials"), "0:7", b"i" + wire.pack({"item 6": "forged"}))
    for _ in range(POLICY.max_attempts - 1):  # it may be the node's fault
        with pytest.raises(ValueError, match="item 6"):
            run.aggregate(1, 0)
        stores.ledger.chunks.end_attempt(run.run, Partial(1, 0), "failed", on("n1"), "cannot be joined")
    assert run.aggregate(1, 0) == "large enough"
    run.end_split(FAN_IN, FAN_IN)
    assert run.status.state == "done"


@pytest.mark.parametrize("name", ["nonsense", "99:0", "0:-1"])
def test_a_partial_of_another_name_is_an_error(name: str, stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    client.hset(keys.run(run.run, "partials"), name, b"i")
    with pytest.raises(errors.RunFailed, match="damaged"):
        run.result()


@pytest.mark.parametrize(("what", "key", "value"), [
    ("started_at", "", b"yesterday"), ("options", "", b"{"), ("state", "", b"\xff"), ("n1", "nodes", b"many"),
])  # fmt: skip
def test_a_forged_row_of_a_run_is_one_clear_error(
    what: str, key: str, value: bytes, stores: Stores, client: redis.Redis
) -> None:
    run = Run(stores)
    client.hset(keys.run(run.run, key), what, value)
    with pytest.raises(errors.RunFailed, match="cannot be read"):
        assert run.status


@pytest.mark.parametrize("damage", ["lost", "twice"])
def test_a_result_that_is_not_whole_is_an_error(damage: str, stores: Stores) -> None:
    run = Run(stores, batches=2, batch_chunks=1)
    run.do(0), run.do(1)
    run.aggregate(0, 0), run.aggregate(0, 1)
    run.end_split(2, 2)
    partials = keys.run(run.run, "partials")
    if damage == "lost":
        stores.redis.hdel(partials, "0:1")
    else:
        stores.redis.hset(partials, "1:0", b"i")
    with pytest.raises(errors.RunFailed, match=f"{1 if damage == 'lost' else FAN_IN + 2} of its 2 batches"):
        run.result()
