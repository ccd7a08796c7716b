"""Redis goes away while a run is going on: all wait, say so once, and the run ends as if nothing had been."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis

from cluster import catalog, errors, keys, redis_client, redis_outage, settings, wire
from cluster.client import settled
from cluster.messaging import delays
from cluster.stores import Stores
from tests.kit.played_run import JOB, Run
from tests.kit.programs import LOOPBACK, RedisServer, Worker, admin, cluster, start_cluster
from tests.kit.waiting import line_with, wait_until

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
SHARED_MEMORY = Path("/dev/shm")
AWAY, BACK = "does not answer", "is back after"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """In memory where that can be: a disk that others use may take longer for what Redis writes than is waited for."""
    place = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else tmp_path
    with TemporaryDirectory(dir=place) as folder, RedisServer(Path(folder), *DURABLE) as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for at in range(60):
        (tmp_path / "in" / f"{at:03}.txt").write_text(f"some words {at}")
    return tmp_path / "in"


def submit(server: RedisServer, source: Path) -> subprocess.Popen[str]:
    """A run with a chunk for each file, some of which are settled and most are not."""
    process = start_cluster("submit", "--job", "measure", "--seconds", "0.3", source, "--broker", server.url)
    stores = Stores.connect(settings.load(broker_url=server.url), patient=False)

    def begun() -> bool:
        assert process.poll() is None, process.communicate()
        found = stores.ledger.runs.latest(1)
        return bool(found) and stores.ledger.runs.progress(found[0].run).chunks_settled > 3

    wait_until("the run has begun", begun)
    return process


def restart(server: RedisServer) -> None:
    server.kill()
    time.sleep(4)
    server.start()


def freeze(server: RedisServer) -> None:
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(13)
    server.process.send_signal(signal.SIGCONT)


def reset(server: RedisServer) -> None:
    with admin(server.url) as client:
        for _ in range(5):
            client.client_kill_filter(skipme=True, _type="normal")
            client.client_kill_filter(skipme=True, _type="pubsub")
            time.sleep(0.3)


def demote(server: RedisServer) -> None:
    """As where a name leads to another Redis after a failover, which is the master a moment later."""
    with admin(server.url) as client:
        client.replicaof(LOOPBACK, 1)
        time.sleep(2)
        client.replicaof("NO", "ONE")


def keep_busy(server: RedisServer) -> None:
    """By somebody's script."""
    with admin(server.url) as client:
        client.config_set("lua-time-limit", 50)
        client.eval("local t = redis.call('TIME')[1] + 2; while redis.call('TIME')[1] + 0 < t do end", 0)


@pytest.mark.parametrize("refusal", [demote, keep_busy])
def test_a_redis_that_refuses_for_seconds_costs_no_slot(
    refusal: Callable[[RedisServer], None], server: RedisServer, source: Path
) -> None:
    for path in sorted(source.iterdir())[16:]:
        path.unlink()
    with Worker("one", server.url, source.parent, "-c", "2") as one:
        with submit(server, source) as process:
            refusal(server)
            out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert json.loads(out) == catalog.get("measure").run_locally(source)
        assert "; waiting" in one.text()  # the submitter may have asked for nothing meanwhile
        for text in (err, one.text()):
            assert text.count("; waiting") == len(re.findall("(takes writes again|is back) after", text)) <= 1, text
            assert AWAY not in text
            assert "Traceback" not in text
            assert "Unrecoverable" not in text
        nodes = Stores.connect(settings.load(broker_url=server.url), patient=False).nodes
        wait_until("no slot is filled", lambda: [(node.state, node.busy) for node in nodes.nodes()] == [("online", 0)])


FAULTY = """
from celery.worker.request import Request
from cluster import app
from cluster.worker import consumer

consumer.STRAYS_S = 0.3
left = ["on_failure", "acknowledge", "reject"]


def breaking(name):
    method = getattr(Request, name)

    def broken(self, *arguments, **named):
        if name in left:
            left.remove(name)
            raise LookupError("nobody thought of this in " + name)
        return method(self, *arguments, **named)

    setattr(Request, name, broken)


for name in tuple(left):
    breaking(name)
"""


def test_an_exception_in_the_pools_callbacks_fills_no_slot(server: RedisServer, source: Path) -> None:
    folder = source.parent
    (folder / "faulty.py").write_text(FAULTY)
    (folder / "trace").touch()
    for name in ("000.txt", "001.txt"):
        (source / name).write_text("kill once")
    arguments = ("--job", "measure", "--trace", folder / "trace", source)
    with (
        Worker("one", server.url, folder, "-c", "1", app="faulty") as worker,
        start_cluster("submit", *arguments, "--broker", server.url) as process,
    ):
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert len(json.loads(out)) == 60
        for name in ("on_failure", "acknowledge", "reject"):
            assert f"nobody thought of this in {name}" in worker.text()


@pytest.mark.parametrize(
    ("outage", "most"),
    # Each connection of a program may notice each reset by itself.
    [(restart, 1), pytest.param(freeze, 1, marks=pytest.mark.slow), (reset, 20)],
)
def test_a_run_outlasts(outage: Callable[[RedisServer], None], most: int, server: RedisServer, source: Path) -> None:
    """That Redis is away is said ``most`` times at most, and as often that it is back."""
    folder = source.parent
    with Worker("one", server.url, folder, "-c", "2") as one, Worker("two", server.url, folder, "-c", "2") as two:
        with submit(server, source) as process:
            outage(server)
            out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        assert json.loads(out) == catalog.get("measure").run_locally(source)
        assert AWAY in err
        for text in (err, one.text(), two.text()):
            # A worker may be in one long wait for an answer while Redis is frozen, and have nothing to say.
            assert text.count(AWAY) == text.count(BACK) <= most, text
            assert "Traceback" not in text
            assert "Unrecoverable" not in text
            assert "secret" not in text


def test_that_a_frozen_redis_takes_a_connection_does_not_mean_that_it_is_back(
    server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    news = redis_outage.Outage("this Redis")
    news.say_away(TimeoutError("for this test"))
    monkeypatch.setattr(redis_outage, "UNAWARE_S", 0.0)
    server.process.send_signal(signal.SIGSTOP)
    patience = redis_outage.Patience(news)
    where: dict[str, Any] = {"host": LOOPBACK, "port": server.port, "password": server.password}
    pool = redis.ConnectionPool(**where, socket_timeout=0.5, retry=patience)
    connection = pool.make_connection()
    with pytest.raises(redis.TimeoutError):
        connection.connect_check_health()  # type: ignore[attr-defined]
    assert "is back" not in caplog.text
    server.process.send_signal(signal.SIGCONT)
    patience.call_with_retry(connection.connect, lambda error: None)
    assert "is back" not in caplog.text
    redis.Redis(connection_pool=pool).ping()
    assert "is back" in caplog.text


def chunk_0_is_delayed(server: RedisServer) -> bool:
    with redis_client.connect(server.url, patient=False) as client:
        rows: Any = client.zrange(keys.DELAYED, 0, -1)
    return any(wire.task_id(message).endswith(".0") for message in delays.messages(rows))


def test_a_chunk_that_waits_for_its_next_attempt_outlasts_an_outage(server: RedisServer, source: Path) -> None:
    trace = source.parent / "trace"
    trace.touch()
    (source / "000.txt").write_text("fail once")
    with Worker("one", server.url, source.parent, "-c", "2"):
        arguments = ("--job", "measure", "--trace", trace, source)
        late = {"CLUSTER_RETRY_DELAY_S": "5"}
        with start_cluster("submit", *arguments, "--broker", server.url, settings=late) as process:
            wait_until("it has failed", lambda: trace.read_text())
            wait_until("it waits", lambda: chunk_0_is_delayed(server))
            server.kill()
            time.sleep(2)
            server.start()
            out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (source / "000.txt").write_text("9 letters")
    assert json.loads(out) == catalog.get("measure").run_locally(source)


@pytest.mark.parametrize("pause_s", [0.0, 1.0])  # while its threads notice one by one, and when all wait
def test_ctrl_c_ends_a_submitter_that_waits(pause_s: float, server: RedisServer, source: Path) -> None:
    with Worker("one", server.url, source.parent, "-c", "2"), submit(server, source) as process:
        server.kill()
        assert process.stderr is not None
        line_with(AWAY, process.stderr)
        time.sleep(pause_s)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == errors.INTERRUPTED_EXIT_CODE
    assert "; waiting" not in err  # it was said once


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_command_that_asks_once_fails_at_once(number: signal.Signals, server: RedisServer) -> None:
    server.process.send_signal(number)
    began = time.monotonic()
    done = cluster("runs", "--broker", server.url)
    assert time.monotonic() - began < 30
    assert done.returncode == errors.BrokerError.exit_code
    assert "no Redis answers" in done.stderr
    assert "secret" not in done.stderr


def test_a_worker_that_waits_for_redis_stops_when_told(server: RedisServer, tmp_path: Path) -> None:
    with Worker("one", server.url, tmp_path, "-c", "1") as worker:
        server.kill()
        wait_until("it waits", lambda: AWAY in worker.text())
        worker.process.terminate()
        worker.process.wait(timeout=10)


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (signal.SIGKILL, signal.SIGTERM),
        pytest.param(signal.SIGKILL, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGSTOP, signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_busy_worker_without_redis_stops_and_loses_nothing(
    gone: signal.Signals, told: signal.Signals, server: RedisServer, source: Path
) -> None:
    for path in sorted(source.iterdir())[12:]:
        path.unlink()
    with Worker("one", server.url, source.parent, "-c", "2") as one, submit(server, source) as process:
        server.process.send_signal(gone)
        wait_until("it waits", lambda: AWAY in one.text())
        one.process.send_signal(told)
        one.process.wait(timeout=30)
        assert "Traceback" not in one.text()
        if gone == signal.SIGKILL:
            server.kill()
            server.start()
        else:
            server.process.send_signal(signal.SIGCONT)
        with Worker("two", server.url, source.parent, "-c", "2"):
            out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert json.loads(out) == catalog.get("measure").run_locally(source)


def test_parts_that_come_live_go_on_after_a_restart_each_once(server: RedisServer) -> None:
    stores = Stores.connect(settings.load(broker_url=server.url))
    run, given = Run(stores, batches=2), list[str]()

    def follow() -> None:
        for part in settled.follow(run.run, JOB, stores):
            given.extend(part)

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    run.do(0, 2)
    wait_until("both are given", lambda: sorted(given) == ["item 0", "item 2"])
    server.kill()
    server.start()
    run.do(1, 3)
    assert [run.aggregate(0, batch) for batch in (0, 1)] == ["aggregated now"] * 2
    run.end_split(4, 2)
    following.join(30)
    stores.redis.close()
    assert sorted(given) == [f"item {chunk}" for chunk in range(4)]
