"""Redis behind Sentinel: the master is killed while a run is going on, its replica takes over, the run ends exact."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from cluster import catalog, redis_client, runs, settings
from cluster.local import redis_server
from tests.kit.programs import LOOPBACK, RedisServer, Worker, cluster, start_cluster
from tests.kit.waiting import wait_until

PASSWORD = "asked"
NAMED = {"CLUSTER_SENTINEL_MASTER": "office", "CLUSTER_SENTINEL_PASSWORD": PASSWORD}


class Watched:
    """A master, a replica, and three sentinels that know them as ``office``."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-sentinel")
        if program is None:
            if os.environ.get("CI"):
                raise FileNotFoundError("redis-sentinel")
            pytest.skip("no redis-sentinel on this machine: apt install redis-sentinel")
        self._program = program
        self._folder = folder
        self._stack = ExitStack()
        self.ports = [redis_server.free_port(LOOPBACK) for _ in range(3)]
        self.url = ";".join(f"sentinel://:secret@{LOOPBACK}:{port}" for port in self.ports) + "/0"

    def __enter__(self) -> Watched:
        self._folder.mkdir()
        durable = ("--appendonly", "yes", "--masterauth", "secret")
        self.master = self._stack.enter_context(RedisServer(self._folder / "master", *durable))
        follow = ("--replicaof", f"{LOOPBACK} {self.master.port}")
        self.replica = self._stack.enter_context(RedisServer(self._folder / "replica", *durable, *follow))
        for port in self.ports:
            self._start_sentinel(port)
        wait_until("the sentinels know the replica and each other", self._ready)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_sentinel(self, port: int) -> None:
        folder = self._folder / f"sentinel-{port}"
        folder.mkdir()
        lines = [
            f"port {port}",
            f"bind {LOOPBACK}",
            f'dir "{folder}"',
            f"requirepass {PASSWORD}",
            f"sentinel sentinel-pass {PASSWORD}",
            f"sentinel monitor office {LOOPBACK} {self.master.port} 2",
            "sentinel auth-pass office secret",
            "sentinel down-after-milliseconds office 1000",
            "sentinel failover-timeout office 10000",
        ]
        config = folder / "sentinel.conf"
        config.write_text("\n".join(lines) + "\n")
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([self._program, str(config)], stdout=log, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)

    def _ready(self) -> bool:
        for port in self.ports:
            with redis.Redis(LOOPBACK, port, password=PASSWORD) as asked:
                try:
                    [state] = [state for name, state in asked.sentinel_masters().items() if name == "office"]
                except redis.RedisError:
                    return False
                if (state["num-slaves"], state["num-other-sentinels"]) != (1, 2):
                    return False
        info: Any = redis_client.connect(self.replica.url, patient=False).info("replication")
        return bool(info["master_link_status"] == "up")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Watched(tmp_path / "redis") as watched:
        yield watched


def test_a_run_outlasts_the_death_of_the_master(watched: Watched, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for at in range(60):
        (source / f"{at:03}.txt").write_text(f"some words {at}")
    config = settings.load(broker_url=watched.url, sentinel_master="office", sentinel_password=PASSWORD)
    stores = runs.connect(config, patient=False)
    started = [Worker(name, watched.url, tmp_path, "-c", "2", **NAMED) for name in ("one", "two")]
    with started[0] as one, started[1] as two:
        arguments = ("submit", "--job", "measure", "--seconds", "0.3", source, "--broker", watched.url)
        with start_cluster(*arguments, settings={**NAMED, "CLUSTER_INLINE_PART_BYTES": "0"}) as process:
            wait_until("the run has begun", lambda: (found := stores.ledger.runs(1)) and found[0].chunks_settled > 3)
            watched.master.kill()
            out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        assert json.loads(out) == catalog.get("measure").run_locally(source)
        assert redis_client.connect(watched.replica.url, patient=False).role()[0] == b"master"
        for text in (err, one.text(), two.text()):
            assert (text.count("does not answer"), text.count("is back after")) == (1, 1), text
            assert "secret" not in text
            assert PASSWORD not in text


def test_a_wrong_name_or_no_sentinel_is_a_clear_error(watched: Watched) -> None:
    done = cluster("runs", "--broker", watched.url, settings={**NAMED, "CLUSTER_SENTINEL_MASTER": "other"})
    assert done.returncode == 4
    assert "No master found for 'other'" in done.stderr
    away = f"sentinel://{LOOPBACK}:1;sentinel://{LOOPBACK}:2/0"
    done = cluster("runs", "--broker", away, settings=NAMED)
    assert done.returncode == 4
    assert "no Redis answers at sentinel://127.0.0.1:1;sentinel://127.0.0.1:2/0" in done.stderr
    assert PASSWORD not in done.stderr
