"""The two tasks of a node, called as functions without a broker; and who starts to join the parts of a batch."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aggregators import by_name
from cluster import blobs, catalog, celery_app, keys, settings
from cluster.job import Job
from cluster.ledger import parts
from cluster.ledger.lease import Lease, Split
from cluster.ledger.records import Trigger
from cluster.ledger.row import RunPolicy
from cluster.messaging import publish
from cluster.names import Partial
from cluster.option import Option
from cluster.stores import Stores
from cluster.wire import AGGREGATE, MAP, AggregateMessage, ChunkEntry, MapMessage
from cluster.worker.tasks import Delivery, Node, Retry, aggregate, map_chunks
from tests.kit.played_run import CONFIG, JOB, POLICY, Run, finding, lacking, on
from tests.kit.programs import Worker, emptied
from tests.kit.waiting import wait_until

ALONE, IN_CHORD = Delivery("lengths", on("n1")), Delivery("lengths", on("n1"), in_chord=True)


class Sent:
    """As much of an app as publishing needs: it notes what is sent."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any], str]] = []
        self.limits: list[tuple[int, int]] = []

    def send_task(self, task: str, arguments: tuple[dict[str, Any]], **options: Any) -> None:
        self.messages.append((task, arguments[0], options["queue"]))
        self.limits.append((options["soft_time_limit"], options["time_limit"]))


def node(stores: Stores, job: Job = JOB) -> tuple[Node, Sent]:
    sent = Sent()
    found = Node(sent, CONFIG, finding(job))
    found.stores = stores
    return found, sent


def joins(run: Run, number: int, level: int = 0) -> tuple[str, dict[str, Any], str]:
    """The message that has the parts of a batch joined."""
    return AGGREGATE, {"run": run.run, "level": level, "number": number}, keys.queue("lengths")


@pytest.mark.parametrize(
    ("trigger", "came", "starts"),
    [("chord", IN_CHORD, False), ("chord", ALONE, True), ("ledger", ALONE, True), ("ledger", IN_CHORD, True)],
)
def test_the_commit_that_completes_a_batch_starts_to_join(
    trigger: Trigger, came: Delivery, starts: bool, stores: Stores
) -> None:
    policy = POLICY._replace(soft_time_limit_s=5, time_limit_s=7)
    run = Run(stores, batches=2, batch_chunks=2, trigger=trigger, policy=policy)
    here, sent = node(stores)
    assert map_chunks(here, MapMessage(run=run.run, chunks=[2]), came) == "settled now"
    assert sent.messages == []
    assert map_chunks(here, MapMessage(run=run.run, chunks=[3]), came) == "settled now"
    assert sent.messages == ([joins(run, 1)] if starts else [])
    assert sent.limits == [policy.limits] * starts  # those of the run, whatever the message named
    assert map_chunks(here, MapMessage(run=run.run, chunks=[3]), came) == "settled"
    assert len(sent.messages) == starts


def test_a_family_that_is_complete_starts_the_next_level(stores: Stores) -> None:
    run = Run(stores, batches=16, batch_chunks=1)
    here, sent = node(stores)
    for chunk in range(16):
        run.do(chunk)
        assert aggregate(here, AggregateMessage(run=run.run, level=0, number=chunk), ALONE) == "aggregated now"
    assert sent.messages == [joins(run, 0, level=1)]
    assert aggregate(here, AggregateMessage(run=run.run, level=1, number=0), ALONE) == "aggregated now"


def test_what_goes_wrong_around_the_chunks_is_a_failed_attempt(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(stores)
    here, _ = node(stores)
    monkeypatch.setattr(publish, "start_aggregate", lambda *arguments: 1 / 0)
    run.do(0)
    assert map_chunks(here, MapMessage(run=run.run, chunks=[1]), ALONE) == Retry(POLICY.retry_delay_s)
    assert run.status.chunks_settled == 2  # what is committed counts


def test_a_node_without_the_job_gives_both_tasks_back(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(stores, batch_chunks=1)
    here, _ = node(stores)
    here.find = lacking("does not have the job lengths")
    message = MapMessage(run=run.run, chunks=[0])
    assert map_chunks(here, message, IN_CHORD) == Retry(1.0, message)
    run.do(0)
    assert aggregate(here, AggregateMessage(run=run.run, level=0, number=0), ALONE) == Retry(1.0)
    assert caplog.text.count(f"run {run.run} is rejected by this node: does not have the job lengths") == 1


def test_an_aggregator_gets_the_options_it_names(stores: Stores) -> None:
    def join(parts: Iterable[dict[str, str]], *, sign: str = "?") -> dict[str, str]:
        joined = by_name.join(parts)
        return {name: sign + value.removeprefix(sign) for name, value in joined.items()}

    options = (*JOB.options, Option("sign", str, "?", "what to write in front"))
    job = dataclasses.replace(JOB, aggregate=join, options=options)
    run = Run(stores, batches=1, batch_chunks=2, sign="#")
    here, _ = node(stores, job)
    map_chunks(here, MapMessage(run=run.run, chunks=[0, 1]), IN_CHORD)
    assert aggregate(here, AggregateMessage(run=run.run, level=0, number=0), ALONE) == "aggregated now"
    run.end_split(2, 1)
    assert list(parts.of_run(run.run, job, stores)) == [{"item 0": "#0", "item 1": "#1"}]


@pytest.mark.parametrize("trigger", ["chord", "ledger"])
def test_both_triggers_bring_a_batch_to_its_end(trigger: Trigger, broker: str, tmp_path: Path) -> None:
    stores, run = emptied(broker), f"measure-{trigger}"
    with closing(celery_app.build(settings.load(broker_url=broker))) as app:
        stores.ledger.runs.create(run, "measure", "", catalog.get("measure").check_options({}), "test")
        lease = Lease.take(stores.ledger, run, "test", "splitter")
        ref = blobs.address(b"x")
        chunks = [ChunkEntry(names=[f"{at}"], refs=[ref], last=[True], batch=0, data=[b"x"]) for at in range(3)]
        lease.open_batch(Split(), chunks, {}, 0, trigger)
        publish.publish_batch(app, "measure", run, 0, [range(1), range(1, 3)], RunPolicy(), trigger)
    queued: Any = stores.redis.lrange(keys.run(run, "outbox"), 0, -1)
    for message in map(json.loads, queued):
        embedded = json.loads(base64.b64decode(message["body"]))[2]
        assert message["headers"]["task"] == MAP
        assert (embedded["chord"] is not None) is (trigger == "chord")
    lease.feed(1, 1)
    lease.end_split(Split(chunks=3, batches=1, items=3), {}, 0)
    with Worker("one", broker, tmp_path, "-c", "1"):
        wait_until("the run is done", lambda: stores.ledger.runs.status(run).state == "done")
    found = stores.ledger.runs.status(run)
    assert (found.items_done, found.duplicates) == (3, 0)
    assert [(level, number) for level, number, _ in stores.ledger.partials.of_result(run)] == [(0, 0)]


def test_joining_that_is_started_again_goes_in_front(broker: str) -> None:
    stores = emptied(broker)
    with closing(celery_app.build(settings.load(broker_url=broker))) as app:
        publish.publish_chunk(app, "measure.2@x", "measure-1", 0, RunPolicy().limits)
        publish.start_aggregate(app, "measure.2@x", "measure-1", Partial(0, 3), RunPolicy().limits)
    queued: Any = stores.redis.lrange(keys.queue("measure.2@x"), 0, -1)
    first, last = (json.loads(message)["headers"] for message in reversed(queued))
    assert (first["id"], first["task"]) == ("measure-1.partial.0.3", AGGREGATE)
    assert (last["id"], last["task"]) == ("measure-1.0", MAP)
    assert (first["shadow"], last["shadow"]) == ("cluster.measure.aggregate", "cluster.measure")
