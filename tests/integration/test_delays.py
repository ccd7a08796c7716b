"""Messages that are to come again after a while, by a clock that all nodes share."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import redis
from celery import Celery
from celery.exceptions import Retry

from cluster import keys, settings
from cluster.ledger.row import Limits, RunPolicy
from cluster.messaging import delays, publish, queues
from cluster.names import Partial
from cluster.stores import Stores
from cluster.wire import AGGREGATE, MAP, task_id
from cluster.worker import tasks
from tests.kit.waiting import wait_until


@pytest.fixture
def app(app: Celery, redis_url: str) -> Celery:
    tasks.register(app, settings.load(broker_url=redis_url))
    return app


@pytest.fixture
def run(client: redis.Redis) -> Iterator[str]:
    name = f"measure-{secrets.token_hex(4)}"
    yield name
    delays.drop(client, {name})


def fail_once(app: Celery, run: str, queue: str, delay_s: float) -> None:
    """What a node does with a message whose chunk failed."""
    task = app.tasks[MAP]
    task.push_request(
        id=f"{run}.0", args=({"run": run, "chunks": [0]},), kwargs={}, called_directly=False,
        delivery_info={"exchange": "", "routing_key": queue}, chord={"task": AGGREGATE}, retries=2,
    )  # fmt: skip
    try:
        with pytest.raises(Retry):
            raise tasks.again(task, delay_s)
    finally:
        task.pop_request()


def delayed(client: redis.Redis, run: str) -> list[tuple[Any, float]]:
    """The delayed messages of a run, each with the milliseconds until it is due."""
    rows: Any = client.zrange(keys.DELAYED, 0, -1, withscores=True)
    now: Any = client.time()
    found = [(*delays.messages([row]), score - now[0] * 1000) for row, score in rows]
    return [(orjson.loads(message), ms) for message, ms in found if task_id(message).startswith(run)]


def test_a_retry_waits_by_no_clock_of_a_node(app: Celery, run: str, client: redis.Redis) -> None:
    queue = f"cluster.test-{run}"
    fail_once(app, run, queue, 30)
    assert client.lrange(queue, 0, -1) == []
    [(message, ms)] = delayed(client, run)
    assert ms == pytest.approx(30_000, abs=5_000)
    assert message["headers"]["eta"] is None
    assert message["headers"]["retries"] == 3


def test_a_delayed_message_comes_in_front_when_due(app: Celery, run: str, client: redis.Redis) -> None:
    queue = f"cluster.test-{run}"
    client.lpush(queue, "waits already")
    fail_once(app, run, queue, 0.05)

    def arrived() -> bool:
        delays.release(client)
        return client.llen(queue) == 2

    wait_until("the message is in its queue", arrived, 5)
    first: Any = client.rpop(queue)
    assert task_id(first) == f"{run}.0"
    client.delete(queue)


def test_a_chunk_that_is_redelivered_comes_in_front(app: Celery, run: str, client: redis.Redis) -> None:
    requirement = f"measure.{run}"  # a queue of its own
    client.lpush(keys.queue(requirement), "waits already")
    publish.publish_chunk(app, requirement, run, 7, RunPolicy().limits)
    first: Any = client.rpop(keys.queue(requirement))
    assert task_id(first) == f"{run}.7"
    client.delete(keys.queue(requirement))


def test_delays_far_ahead_of_the_clock_are_over(run: str, client: redis.Redis) -> None:
    queue = f"cluster.test-{run}"
    client.zadd(keys.DELAYED, {f"{queue}\nfor an hour": (time.time() + 3600) * 1000})
    wait_until("the message is in its queue", lambda: delays.release(client) >= 0 and client.llen(queue) == 1, 5)
    client.delete(queue)


def test_forged_delays_hold_up_no_other(run: str, client: redis.Redis) -> None:
    queue, other = f"cluster.test-{run}", f"cluster.test-{run}-hash"
    client.hset(other, "a", "b")
    client.zadd(keys.DELAYED, {"no queue": 1, f"{other}\nx": 1, f"{queue}\ngood": 2})
    delays.release(client)
    assert client.lrange(queue, 0, -1) == [b"good"]
    client.delete(queue, other)


def test_delayed_messages_are_neither_lost_nor_left(app: Celery, run: str, client: redis.Redis, stores: Stores) -> None:
    queue = f"cluster.test-{run}"
    fail_once(app, run, queue, 30)
    assert f"{run}.0" in queues.messages(stores, run, queue)
    queues.unsend(stores, queue, {run})
    assert delayed(client, run) == []


def test_what_others_publish_keeps_the_submitters_time_limits(
    app: Celery, run: str, client: redis.Redis, stores: Stores
) -> None:
    stores.ledger.runs.create(run, "measure", "", {}, "test", policy=RunPolicy(soft_time_limit_s=5, time_limit_s=7))
    requirement = f"measure@test-{run}"
    publish.redeliver(app, requirement, run, 0, stores.ledger.runs.policy(run).limits)
    publish.redeliver(app, requirement, run, Partial(0, 0), stores.ledger.runs.policy(run).limits)
    messages: Any = client.lrange(keys.queue(requirement), 0, -1)
    assert [orjson.loads(message)["headers"]["timelimit"] for message in messages] == [[7, 5], [7, 5]]
    client.delete(keys.queue(requirement))
    client.hset(keys.run(run), "time_limit_s", "forged")
    assert stores.ledger.runs.policy(run).limits == Limits(5, RunPolicy().time_limit_s)
