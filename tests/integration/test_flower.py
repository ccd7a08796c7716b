"""Flower, as ``celery -A cluster flower``, shows the nodes, and the tasks under their job's name."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.embedded import redis_server
from tests.kit.programs import LOOPBACK, RedisServer, Worker, cluster, environment
from tests.kit.waiting import wait_until

pytest.importorskip("flower")


class Flower:
    """A real Flower on a free port, with a password."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._log = folder / "flower.log"
        self._port = redis_server.free_port(LOOPBACK)

    def __enter__(self) -> Flower:
        command = [sys.executable, "-m", "celery", "-A", "cluster", "flower", f"--address={LOOPBACK}"]
        command += [f"--port={self._port}"]
        with self._log.open("wb") as log:
            env = environment(CLUSTER_BROKER_URL=self._url, FLOWER_BASIC_AUTH="user:secret")
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._log.parent, env=env)
        wait_until("Flower answers", lambda: self.get("/healthcheck"))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def get(self, path: str, user: str = "user:secret") -> str:
        """The page, "" while it is not there, or not for this user."""
        request = urllib.request.Request(f"http://{LOOPBACK}:{self._port}{path}")
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return str(answer.read().decode())
        except (OSError, http.client.HTTPException):
            return ""

    def api(self, path: str) -> dict[str, Any]:
        """What the API gives."""
        found: dict[str, Any] = json.loads(self.get(path) or "{}")
        return found


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    with RedisServer(tmp_path / "redis") as server:
        yield server.url


def test_flower_shows_the_nodes_and_the_tasks_of_a_run(broker: str, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for at in range(4):
        (source / f"{at}.txt").write_text("some words")
    with Worker("seen", broker, tmp_path, "-c", "1"), Flower(broker, tmp_path) as flower:
        wait_until("the node is seen", lambda: "seen@test" in flower.api("/api/workers?refresh=1"))
        done = cluster("submit", "--job", "measure", source, "--broker", broker)
        assert done.returncode == 0, done.stderr
        wait_until("its tasks are seen", lambda: finished(flower) == {"cluster.measure", "cluster.measure.aggregate"})
        assert flower.get("/api/workers", "user:guess") == ""
        assert 'task="cluster.measure"' in flower.get("/metrics")
        # Flower counts a node as online from the first heartbeat that it hears itself, up to 2 s later.
        online = 'flower_worker_online{worker="seen@test"} 1.0'
        wait_until("the node is online", lambda: online in flower.get("/metrics"))


def test_flower_comes_back_with_redis(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "redis", "--appendonly", "yes") as server,
        Worker("seen", server.url, tmp_path, "-c", "1") as worker,
        Flower(server.url, tmp_path) as flower,
    ):
        wait_until("the node is seen", lambda: "seen@test" in flower.api("/api/workers?refresh=1"))
        server.kill()
        wait_until("the node waits", lambda: "does not answer" in worker.text())
        server.start()
        wait_until("the node is back", lambda: "is back after" in worker.text())
        (tmp_path / "in").mkdir()
        for at in range(4):
            (tmp_path / "in" / f"{at}.txt").write_text("some words")

        def seen_again() -> bool:
            # Flower's own pauses grow to some seconds; what happens meanwhile it does not hear.
            done = cluster("submit", "--job", "measure", tmp_path / "in", "--broker", server.url)
            assert done.returncode == 0, done.stderr
            return bool(finished(flower))

        wait_until("tasks are seen again", seen_again, timeout_s=40)


def finished(flower: Flower) -> set[str]:
    """The names of the tasks that ended well."""
    return {task["name"] for task in flower.api("/api/tasks").values() if task["state"] == "SUCCESS"}
