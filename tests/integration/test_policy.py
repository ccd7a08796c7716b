"""A run is governed by what its submitter has set, whoever works on it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import redis

from cluster import celery_app, errors, keys, settings
from cluster.client import session
from cluster.job import Job
from cluster.ledger.row import RunPolicy
from cluster.messaging import publish
from cluster.names import Partial
from cluster.stores import Stores
from cluster.wire import MapMessage
from cluster.worker import map_chunk
from splitters import Chunk
from tasks import Part
from tests.kit.played_run import CONFIG, JOB, POLICY, Run, finding, on

HOUR_S = 3600
OTHER = {
    "chunk_time_limit_s": 999, "max_attempts": 1, "retention_s": 30 * 24 * HOUR_S, "max_part_bytes": 5,
    "retry_delay_s": 50, "inline_bytes": 0,
}  # fmt: skip
"""Settings of a machine that are unlike those of a run's submitter."""


@pytest.fixture
def other(redis_url: str) -> settings.Settings:
    return settings.load(broker_url=redis_url, **OTHER)


def failing(job: Job = JOB) -> Job:
    def task(chunk: Chunk) -> Part[dict[str, str]]:
        raise RuntimeError("this once")

    return Job(name=job.name, about="", split=job.split, task=task, aggregate=job.aggregate)


def test_a_submitter_writes_its_settings_into_the_row(redis_url: str, stores: Stores) -> None:
    config = settings.load(broker_url=redis_url, chunk_time_limit_s=5, chunk_time_grace_s=2, max_attempts=2)
    job = Job(name="lengths", about="", split=JOB.split, task=JOB.task, aggregate=JOB.aggregate)
    run = session.Session(config).start(job, {})
    assert stores.ledger.runs.policy(run) == RunPolicy.of(config)
    assert stores.ledger.runs.policy(run)[:3] == (5, 7, 2)


def test_a_node_keeps_a_run_as_long_as_its_submitter_said(
    stores: Stores, other: settings.Settings, client: redis.Redis
) -> None:
    run = Run(stores, policy=POLICY._replace(retention_s=HOUR_S, inline_bytes=0))
    node = Stores.connect(other)
    message = MapMessage(run=run.run, chunks=[0])
    assert map_chunk.run(message, finding(JOB), node, other, on("n1")) == "settled now"
    node.ledger.runs.touch(run.run)
    node.ledger.chunks.reject(run.run, [1], on("n2"), "for this test")
    run.do(1)
    run.aggregate(0, 0)
    mine = [*client.scan_iter(keys.run(f"{run.run}*")), *client.scan_iter(keys.blobs(f"runs/{run.run}/*"))]
    kept: Any = {key: client.ttl(key) for key in mine}
    assert len(kept) > 5
    assert all(0 < ttl_s <= HOUR_S for ttl_s in kept.values()), kept


def test_a_node_of_one_attempt_gives_nothing_up_early(stores: Stores, other: settings.Settings) -> None:
    run = Run(stores)
    message = MapMessage(run=run.run, chunks=[0])
    for attempt in range(POLICY.max_attempts - 1):
        ended = map_chunk.run(message, finding(failing()), Stores.connect(other), other, on("n1"))
        assert isinstance(ended, map_chunk.TryAgain)
        assert ended.delay_s == POLICY.delay_s(attempt + 1)
    assert run.do(0) == "settled now"


def test_a_node_of_many_attempts_makes_no_more(stores: Stores) -> None:
    run = Run(stores, policy=POLICY._replace(max_attempts=1))
    many = CONFIG.model_copy(update={"max_attempts": 9})
    message = MapMessage(run=run.run, chunks=[0])
    assert map_chunk.run(message, finding(failing()), stores, many, on("n1")) == "given up (settled now)"


def test_a_reader_of_smaller_parts_reads_a_finished_run(stores: Stores, other: settings.Settings) -> None:
    run = Run(stores)
    run.do(0), run.do(1)
    run.aggregate(0, 0)
    run.end_split(2, 1)
    reader = Run.__new__(Run)
    reader.run, reader.stores = run.run, Stores.connect(other)
    assert reader.result() == run.result() == {"item 0": "0", "item 1": "1"}


def test_a_node_of_small_parts_takes_those_of_the_run(stores: Stores, other: settings.Settings) -> None:
    run = Run(stores, batch_chunks=1)
    assert map_chunk.run(MapMessage(run=run.run, chunks=[0]), finding(JOB), stores, other, on("n1")) == "settled now"
    assert run.status.failures == []


def test_a_run_allows_only_parts_of_its_size(stores: Stores) -> None:
    run = Run(stores, batch_chunks=1, policy=POLICY._replace(max_part_bytes=5))
    assert run.do(0) == "given up (settled now)"
    assert "the limit is 5" in run.status.failures[0].reason


@pytest.mark.parametrize("unit", [0, Partial(0, 0)])
def test_whoever_publishes_gives_the_submitters_time_limits(
    unit: int | Partial, stores: Stores, other: settings.Settings, client: redis.Redis
) -> None:
    run = Run(stores, policy=POLICY._replace(soft_time_limit_s=5, time_limit_s=7))
    app, requirement = celery_app.build(other), f"lengths@{run.run}"
    policy = Stores.connect(other).ledger.runs.policy(run.run)
    publish.redeliver(app, requirement, run.run, unit, policy.limits)
    publish.publish_batch(app, requirement, run.run, 0, [range(1)], policy)
    sent: Any = [client.lpop(keys.queue(requirement)), client.lpop(keys.run(run.run, "outbox"))]
    assert [orjson.loads(message)["headers"]["timelimit"] for message in sent] == [[7, 5], [7, 5]]


def test_a_short_lived_run_takes_no_other_off_the_list(stores: Stores, client: redis.Redis) -> None:
    old = Run(stores, policy=POLICY._replace(retention_s=30 * 24 * HOUR_S))
    started_s = stores.ledger.runs.now().timestamp() - 3 * HOUR_S
    client.zadd(keys.RUNS, {old.run: started_s, "gone-1": started_s})
    Run(stores, policy=POLICY._replace(retention_s=HOUR_S))
    listed = stores.ledger.runs.listed()
    assert old.run in listed
    assert "gone-1" not in listed
    assert client.ttl(keys.RUNS) > 2 * HOUR_S


def test_a_row_that_lacks_its_policy_has_the_defaults(stores: Stores, client: redis.Redis) -> None:
    run = Run(stores)
    client.hdel(keys.run(run.run), *RunPolicy._fields)
    assert stores.ledger.runs.policy(run.run) == RunPolicy() == RunPolicy.of(settings.Settings())
    assert run.do(0) == "settled now"
    with pytest.raises(errors.UnknownRun):
        stores.ledger.runs.status("gone-1")
