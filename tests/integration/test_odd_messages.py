"""Messages that are not in order, or with which nodes are lost: they stop nobody, and cost no chunk."""

from __future__ import annotations

import base64
import functools
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from cluster import celery_app, keys, settings
from cluster.coordinator.failure_detector import FailureDetector
from cluster.ledger.row import RunPolicy
from cluster.messaging import held, messages, publish
from cluster.messaging.transport import Connected, QoS
from cluster.nodes.registry import Incarnation
from cluster.stores import Stores
from tests.kit import looking
from tests.kit.nodes import a_report
from tests.kit.programs import Worker, cluster, emptied, start_cluster
from tests.kit.waiting import wait_until

QUEUE = keys.queue("measure")


@pytest.fixture
def stores(broker: str) -> Stores:
    return emptied(broker)


@pytest.fixture
def app(broker: str) -> Iterator[Celery]:
    with closing(celery_app.build(settings.load(broker_url=broker))) as app:
        yield app


def published(app: Celery, stores: Stores, run: str = "measure-1") -> dict[str, Any]:
    """A message of ours, taken from its queue again."""
    publish.publish_chunk(app, "measure", run, 0, RunPolicy().limits)
    taken: Any = stores.redis.rpop(QUEUE)
    found: dict[str, Any] = json.loads(taken)
    return found


def hold(stores: Stores, incarnation: str, raw: Any, tag: str = "tag") -> None:
    """Note a message as held by an incarnation of a node."""
    stores.redis.hset(keys.unacked(incarnation), tag, raw if isinstance(raw, bytes) else json.dumps(raw))
    stores.redis.zadd(keys.unacked(incarnation) + ":index", {tag: time.time()})


def test_odd_messages_of_any_kind_end_no_worker(broker: str, tmp_path: Path, app: Celery, stores: Stores) -> None:
    client, good = stores.redis, published(app, stores)
    nested = base64.b64encode(b"[" * 30_000).decode()
    odd = [
        b"[" * 200_000,
        b"[" * 60_000,
        b"not JSON",
        {**good, "headers": {**good["headers"], "timelimit": ["x", "y"]}},
        {**good, "headers": {**good["headers"], "compression": "application/x-lzma"}},
        {**good, "headers": {**good["headers"], "expires": "soon"}},
        {**good, "headers": {**good["headers"], "task": "cluster.measure"}},
        {**good, "body": nested},
    ]
    raw = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in odd]
    with Worker("one", broker, tmp_path, "-c", "1") as worker:
        [incarnation] = wait_until("the node is known", stores.nodes.incarnations)
        hold(stores, incarnation.id, b"[" * 200_000, "nested")
        hold(stores, incarnation.id, [{**good, "properties": "none"}, "", QUEUE], "odd")
        client.rpush(QUEUE, *raw)
        for odd_one in (b"[" * 200_000, json.dumps({**good, "body": nested})):
            client.publish("/0.celeryev/worker.heartbeat", odd_one)  # no worker hears events
            # It listens a moment after it says that it is ready.
            wait_until("the node hears it", functools.partial(client.publish, "/0.celery.pidbox", odd_one))
        expected = len(raw) + 2 + 2
        wait_until("all are rejected", lambda: worker.text().count("a message is rejected") == expected)
        assert not stores.nodes.held(incarnation.id)
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.txt").write_text("some words")
        done = cluster("submit", "--job", "measure", tmp_path / "in", "--broker", broker)
        assert done.returncode == 0, done.stderr
        wait_until("the row tells it", lambda: [node.rejected for node in stores.nodes.nodes()] == [expected])
        told = cluster("nodes", "--broker", broker).stdout
        assert worker.process.poll() is None
    assert f"one@test has rejected {expected} malformed messages" in told
    assert "Traceback" not in worker.text()
    assert "cluster.measure is a task of an older version of cluster" in worker.text()


def test_odd_replies_hold_up_nobody_who_asks(app: Celery, stores: Stores) -> None:
    name, rejected = f"asker{messages.REPLIES}", Connected.rejected
    with app.connection_for_write() as connection:
        connection.SimpleQueue(name).put({"one@test": {"ok": "pong"}})
        stores.redis.rpush(name, b"[" * 200_000, json.dumps(published(app, stores)))
        assert connection.SimpleQueue(name, no_ack=True).get(timeout=5).payload == {"one@test": {"ok": "pong"}}
    assert Connected.rejected == rejected + 2


def test_a_message_with_which_two_nodes_were_lost_goes_to_no_third(app: Celery, stores: Stores) -> None:
    client = stores.redis
    note = [published(app, stores), "", QUEUE]
    hold(stores, "first", note)
    assert held.restore(app, "first") == []
    taken: Any = client.rpop(QUEUE)
    hold(stores, "second", [json.loads(taken), "", QUEUE])
    [dropped] = held.restore(app, "second")
    assert (dropped.id, dropped.lost) == ("measure-1.0", 2)
    assert (client.llen(QUEUE), stores.nodes.held("second")) == (0, [])


def test_a_worker_that_an_error_ends_leaves_its_messages_to_the_failure_detector(
    app: Celery, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own putting back would count no loss, and the message end one worker after another."""
    client = stores.redis
    publish.publish_chunk(app, "measure", "measure-1", 0, RunPolicy().limits)
    with app.connection_for_write(transport_options=held.options(app.conf, "ending")) as connection:
        connection.SimpleQueue(QUEUE).get(timeout=5)
        monkeypatch.setattr(QoS, "ended_badly", True)
    assert (client.llen(QUEUE), len(stores.nodes.held("ending"))) == (0, 1)
    held.restore(app, "ending")
    taken: Any = client.rpop(QUEUE)
    assert json.loads(taken)["headers"]["lost"] == 1


@pytest.mark.slow
def test_a_run_outlives_two_nodes_that_are_lost_with_its_chunk(broker: str, tmp_path: Path, stores: Stores) -> None:
    (tmp_path / "a.txt").write_text("some words")
    with start_cluster("submit", "--job", "wait", "--seconds", "3", tmp_path / "a.txt", "--broker", broker) as submit:
        run = wait_until("the run has begun", lambda: looking.published(stores, 1))

        def at_work() -> set[str]:
            return {found.worker.node for found in stores.ledger.chunks.running(run)}

        with Worker("one", broker, tmp_path, "-c", "1"):
            wait_until("the first works", lambda: at_work() == {"one@test"})
        with Worker("two", broker, tmp_path, "-c", "1"):
            wait_until("the second works", lambda: at_work() == {"two@test"})
        with Worker("three", broker, tmp_path, "-c", "1"):
            _, err = submit.communicate(timeout=60)
    assert submit.returncode == 0, err
    assert f"message {run}.0 is dropped: 2 nodes were lost while they held it; its work is published anew" in err
    assert stores.ledger.runs.status(run).nodes == {"three@test": 1}


def test_what_a_living_node_puts_back_does_not_count_as_lost(app: Celery, stores: Stores) -> None:
    client = stores.redis
    note: list[Any] = [published(app, stores), "", QUEUE]
    for _ in range(3):
        hold(stores, "alive", note)
        with app.connection_for_write(transport_options=held.options(app.conf, "alive")) as connection:
            connection.default_channel.qos.restore_strays()
        taken: Any = client.rpop(QUEUE)
        note = [json.loads(taken), "", QUEUE]
    assert note[0]["headers"]["lost"] == 0


def test_odd_words_beside_the_messages_hold_up_nobody(app: Celery, stores: Stores) -> None:
    client = stores.redis
    for key in (keys.REVISION, keys.LOSSES):
        client.set(key, "many")
    client.hset(keys.INCARNATIONS, b"\xff", b"\xff")
    client.hset(keys.DESIRED, "one@test", b"incarnation \xff")
    hold(stores, "lost", b'{"headers": {"id": ' + b"[" * 900 + b"]" * 900 + b"}}")
    report = a_report()
    assert stores.nodes.heartbeat("one@test", "incarnation", "here", report) == ("", 0, "")
    assert stores.nodes.losses() == 0
    assert [one.id for one in stores.nodes.incarnations()] == ["incarnation"]
    FailureDetector(app, stores)._give_back(Incarnation("lost", "pc1", "0", "left"), "left")
    assert stores.nodes.held("lost") == []


def test_a_dropped_message_of_a_running_run_is_published_anew(
    app: Celery, stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    client = stores.redis
    stores.ledger.runs.create("measure-1", "measure", "", {}, "test")
    for run in ("measure-1", "measure-none"):
        odd = published(app, stores, run)
        odd["headers"] |= {"lost": 1, "argsrepr": "this ends workers"}
        hold(stores, "gone", [odd, "", QUEUE], run)
    FailureDetector(app, stores)._give_back(Incarnation("gone", "pc1", "0", "here"), "its connections are gone")
    [anew] = client.lrange(QUEUE, 0, -1)
    assert json.loads(anew)["headers"]["id"] == "measure-1.0"
    assert b"this ends workers" not in anew
    assert "message measure-1.0 is dropped: 2 nodes were lost while they held it; its work is" in caplog.text
    assert "message measure-none.0 is dropped: 2 nodes were lost while they held it\n" in caplog.text
