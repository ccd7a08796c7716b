"""Redis behind Sentinel: the master is killed while a run is going on, its replica takes over, the run ends exact."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from cluster import catalog, settings
from cluster.embedded import redis_server
from cluster.stores import Stores
from tests.kit.programs import LOOPBACK, ROOT, Worker, cluster, find_program, start_cluster
from tests.kit.waiting import wait_until

PASSWORD = "secret"
SETTINGS = {"CLUSTER_SENTINEL_PASSWORD": PASSWORD}
ADMIN_PASSWORD = "other"
DEPLOY = ROOT / "deploy"
COMMANDS = ROOT / "cluster" / "embedded" / "commands.acl"


class Watched:
    """A master, a replica and three sentinels, as the script of the deployment starts them."""

    def __init__(self, folder: Path) -> None:
        find_program("redis-sentinel", "redis-sentinel")
        self._folder = folder
        self._stack = ExitStack()
        self.redis_ports = [redis_server.free_port(LOOPBACK) for _ in range(2)]
        self.ports = [redis_server.free_port(LOOPBACK) for _ in range(3)]
        self.url = ";".join(f"sentinel://:{PASSWORD}@{LOOPBACK}:{port}" for port in self.ports) + "/0"

    def __enter__(self) -> Watched:
        with self._stack:
            self.master, _ = [self._start("redis", REDIS_PORT=str(port)) for port in self.redis_ports]
            for port in self.ports:
                self._start("sentinel", SENTINEL_PORT=str(port))
            wait_until("the sentinels know the replica and each other", self._ready)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, what: str, **ports: str) -> subprocess.Popen[bytes]:
        folder = self._folder / "-".join([what, *ports.values()])
        folder.mkdir(parents=True)
        env = {**os.environ, **ports, "CLUSTER_PASSWORD": PASSWORD, "CLUSTER_ADMIN_PASSWORD": ADMIN_PASSWORD}
        env["CLUSTER_HOST"] = LOOPBACK
        env |= {"CLUSTER_FIRST": f"{LOOPBACK}:{self.redis_ports[0]}", "CLUSTER_DATA": str(folder)}
        with (folder / "log").open("wb") as log:
            command = ["sh", str(DEPLOY / "start-redis.sh"), what]
            env |= {"REDIS_CONF": str(DEPLOY / "redis.conf"), "REDIS_COMMANDS": str(COMMANDS)}
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def replica(self) -> redis.Redis:
        """What is the replica at first, as a sentinel sees it."""
        return redis.Redis(LOOPBACK, self.redis_ports[1], username="sentinel", password=ADMIN_PASSWORD)

    def _ready(self) -> bool:
        try:
            for port in self.ports:
                with redis.Redis(LOOPBACK, port, password=PASSWORD) as asked:
                    state = asked.sentinel_masters()["mymaster"]
                    if (state["num-slaves"], state["num-other-sentinels"]) != (1, 2):
                        return False
            with self.replica() as replica:
                info: Any = replica.info("replication")
                return bool(info["master_link_status"] == "up")
        except redis.RedisError:
            return False


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Watched(tmp_path / "redis") as watched:
        yield watched


@pytest.mark.timeout(180)
@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_run_outlasts_its_redis(end: signal.Signals, watched: Watched, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for at in range(60):
        (source / f"{at:03}.txt").write_text(f"some words {at}")
    config = settings.load(broker_url=watched.url, sentinel_password=PASSWORD)
    stores = Stores.connect(config, patient=False)
    started = [Worker(name, watched.url, tmp_path, "-c", "2", **SETTINGS) for name in ("one", "two")]
    with started[0] as one, started[1] as two:
        arguments = ("submit", "--job", "measure", "--seconds", "0.3", source, "--broker", watched.url)
        with start_cluster(*arguments, settings={**SETTINGS, "CLUSTER_INLINE_BYTES": "0"}) as process:
            wait_until(
                "the run has begun", lambda: (found := stores.ledger.runs.latest(1)) and found[0].chunks_settled > 3
            )
            watched.master.send_signal(end)
            out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        assert json.loads(out) == catalog.get("measure").run_locally(source)
        with watched.replica() as replica:
            assert replica.role()[0] == b"master"
        for text in (err, one.text(), two.text()) if end == signal.SIGKILL else ():
            assert (text.count("does not answer"), text.count("is back after")) == (1, 1), text
            assert PASSWORD not in text


@pytest.mark.slow
def test_the_clusters_password_configures_neither_redis_nor_sentinels(watched: Watched) -> None:
    commands = ["CONFIG GET *", "REPLICAOF NO ONE", "SHUTDOWN"]
    commands += ["SENTINEL FAILOVER mymaster", "SENTINEL SET mymaster quorum 1"]
    for port in (*watched.redis_ports, *watched.ports):
        with redis.Redis(LOOPBACK, port, password=PASSWORD) as member:
            assert member.ping()
            for command in commands:
                with pytest.raises(redis.ResponseError, match=r"no permissions|unknown command"):
                    member.execute_command(command)
        for user in ("sentinel", "replica"):
            with pytest.raises(redis.AuthenticationError):
                redis.Redis(LOOPBACK, port, username=user, password=PASSWORD).ping()


def test_a_wrong_name_or_no_sentinel_is_a_clear_error(watched: Watched) -> None:
    done = cluster("runs", "--broker", watched.url, settings={**SETTINGS, "CLUSTER_SENTINEL_MASTER": "other"})
    assert done.returncode == 4
    assert "No master found for 'other'" in done.stderr
    away = f"sentinel://{LOOPBACK}:1;sentinel://{LOOPBACK}:2/0"
    done = cluster("runs", "--broker", away, settings=SETTINGS)
    assert done.returncode == 4
    assert "no Redis answers at sentinel://127.0.0.1:1;sentinel://127.0.0.1:2/0" in done.stderr
    assert PASSWORD not in done.stderr
