"""Redis goes away while a run is going on: all wait, say so once, and the run ends as if nothing had been."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import catalog, redis_client, runs, settings
from tests.kit.programs import RedisServer, Worker, start_cluster
from tests.kit.waiting import wait_until

DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec")
AWAY, BACK = "does not answer", "is back after"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", *DURABLE) as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for at in range(60):
        (tmp_path / "in" / f"{at:03}.txt").write_text(f"some words {at}")
    return tmp_path / "in"


def submit(server: RedisServer, source: Path) -> subprocess.Popen[str]:
    """A run of 60 chunks, some of which are settled and most are not."""
    process = start_cluster("submit", "--job", "measure", "--seconds", "0.3", source, "--broker", server.url)
    stores = runs.connect(settings.load(broker_url=server.url), patient=False)

    def begun() -> bool:
        assert process.poll() is None, process.communicate()
        found = stores.ledger.runs(1)
        return bool(found) and stores.ledger.progress(found[0].run).chunks_settled > 3

    wait_until("the run has begun", begun)
    return process


def restart(server: RedisServer) -> None:
    server.kill()
    time.sleep(8)
    server.start()


def freeze(server: RedisServer) -> None:
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(20)
    server.process.send_signal(signal.SIGCONT)


def reset(server: RedisServer) -> None:
    with redis_client.connect(server.url, patient=False) as client:
        for _ in range(5):
            client.client_kill_filter(skipme=True, _type="normal")
            client.client_kill_filter(skipme=True, _type="pubsub")
            time.sleep(0.3)


@pytest.mark.parametrize(("outage", "said"), [(restart, 1), (freeze, 1), (reset, 0)])
def test_a_run_outlasts(outage: Callable[[RedisServer], None], said: int, server: RedisServer, source: Path) -> None:
    folder = source.parent
    with Worker("one", server.url, folder, "-c", "2") as one, Worker("two", server.url, folder, "-c", "2") as two:
        with submit(server, source) as process:
            outage(server)
            out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        assert json.loads(out) == catalog.get("measure").run_locally(source)
        for text in (err, one.text(), two.text()):
            if said:
                assert (text.count(AWAY), text.count(BACK)) == (1, 1), text
            assert "Traceback" not in text
            assert "Unrecoverable" not in text
            assert "secret" not in text
