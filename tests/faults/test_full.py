"""Redis is full while a run is going on: nothing is lost, nobody spins, and all goes on once it has room."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import redis
from redis.exceptions import OutOfMemoryError

from cluster import catalog, celery_app, keys, redis_client, settings
from cluster.ledger.row import RunPolicy
from cluster.messaging import publish
from cluster.stores import Stores
from tests.kit import faults
from tests.kit.programs import RedisServer, Worker, admin, start_cluster
from tests.kit.waiting import wait_until

MiB = 2**20
LIMIT_BYTES = 16 * MiB


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", "--maxmemory", str(LIMIT_BYTES)) as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> redis.Redis:
    return admin(server.url)


def fill(client: redis.Redis) -> None:
    """With what can be taken out again, and by so much that what others free makes no room."""
    for _ in range(8):
        client.rpush("junk", b"x" * MiB)
    client.config_set("maxmemory", redis_client.memory(client)[0] - 4 * MiB)
    with pytest.raises(OutOfMemoryError):
        client.rpush("junk", b"x")


def test_how_full_it_is_can_be_asked(client: redis.Redis) -> None:
    used, limit = redis_client.memory(client)
    assert limit == LIMIT_BYTES
    assert 0 < used < limit
    assert not redis_client.is_full(client)
    fill(client)
    assert redis_client.is_full(client)
    client.config_set("maxmemory", 0)
    assert redis_client.memory(client)[1] is None
    assert not redis_client.is_full(client)


def test_a_full_redis_takes_acknowledgements(server: RedisServer, client: redis.Redis) -> None:
    with closing(celery_app.build(settings.load(broker_url=server.url))) as app, app.connection() as connection:
        publish.publish_chunk(app, "measure", "measure-1", 0, RunPolicy().limits)
        message = connection.SimpleQueue(keys.queue("measure")).get(timeout=5)
        assert client.hlen("unacked") == 1
        fill(client)
        message.ack()
        assert client.hlen("unacked") == 0
        assert client.zcard("unacked_index") == 0


def test_what_cannot_be_put_back_into_a_full_redis_is_put_back_once_it_has_room(
    server: RedisServer, client: redis.Redis
) -> None:
    with closing(celery_app.build(settings.load(broker_url=server.url))) as app, app.connection() as connection:
        publish.publish_chunk(app, "measure", "measure-1", 0, RunPolicy().limits)
        message = connection.SimpleQueue(keys.queue("measure")).get(timeout=5)
        fill(client)
        message.reject_log_error(None, connection.connection_errors, requeue=True)
        message.channel.qos.restore_strays()
        assert (client.llen(keys.queue("measure")), client.hlen("unacked")) == (0, 1)
        client.unlink("junk")
        message.channel.qos.restore_strays()
        assert (client.llen(keys.queue("measure")), client.hlen("unacked")) == (1, 0)


def test_an_acknowledgement_that_redis_does_not_hear_of_in_time_takes_no_slot_away(
    server: RedisServer, client: redis.Redis
) -> None:
    config = settings.load(broker_url=f"{server.url}?socket_timeout=0.3")
    with closing(celery_app.build(config)) as app, app.connection() as connection:
        publish.publish_chunk(app, "measure", "measure-1", 0, RunPolicy().limits)
        message = connection.SimpleQueue(keys.queue("measure")).get(timeout=5)
        qos = message.channel.qos
        message.channel.basic_qos(0, 1, False)
        assert not qos.can_consume()
        server.process.send_signal(signal.SIGSTOP)
        try:
            message.ack_log_error(None, connection.connection_errors)
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert qos.can_consume()
        qos.restore_strays()
        assert client.hlen("unacked") == 0


def test_what_is_published_while_redis_is_full_arrives_once(server: RedisServer, client: redis.Redis) -> None:
    fill(client)
    with closing(celery_app.build(settings.load(broker_url=server.url))) as app, ThreadPoolExecutor() as others:
        messages = [range(1), range(1, 3)]
        publishing = others.submit(publish.publish_batch, app, "measure", "measure-1", 0, messages, RunPolicy())
        time.sleep(1.5)
        assert not publishing.done()
        client.unlink("junk")
        publishing.result(timeout=30)
    assert client.llen(keys.run("measure-1", "outbox")) == 2


def cpu_s(worker: Worker) -> float:
    main = psutil.Process(worker.process.pid)
    return sum(sum(process.cpu_times()[:2]) for process in [main, *main.children()])


def test_a_run_outlasts_a_full_redis(server: RedisServer, client: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for at in range(60):
        (tmp_path / "in" / f"{at:03}.txt").write_text(f"some words {at}")
    stores = Stores.connect(settings.load(broker_url=server.url), patient=False)
    with Worker("one", server.url, tmp_path, "-c", "2") as worker:
        with start_cluster(
            "submit", "--job", "measure", "--seconds", "0.2", tmp_path / "in", "--broker", server.url,
            settings={"CLUSTER_MAX_IN_FLIGHT_CHUNKS": "16"},
        ) as process:  # fmt: skip
            wait_until(
                "the run has begun", lambda: (found := stores.ledger.runs.latest(1)) and found[0].chunks_settled > 3
            )
            fill(client)
            time.sleep(2)
            before = cpu_s(worker)
            time.sleep(5)
            assert cpu_s(worker) - before < 1.5, worker.text()
            wait_until("the node is online", lambda: [node.state for node in stores.nodes.nodes()] == ["online"])
            assert process.poll() is None
            client.unlink("junk")
            emptied = time.monotonic()
            out, err = process.communicate(timeout=60)
            took_s = time.monotonic() - emptied
        text = worker.text()
        assert process.returncode == 0, err
        assert json.loads(out) == catalog.get("measure").run_locally(tmp_path / "in")
        assert took_s < 60 * 0.2 / 2 + 20
        wait_until("no message is left", lambda: not faults.messages(client, "measure"))
        assert (text.count("is full"), text.count("takes writes again")) == (1, 1), text
        assert err.count("is full") <= 1
        assert "Unrecoverable" not in text
