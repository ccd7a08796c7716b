"""The Redis that deploy/start-redis.sh starts is one that `cluster` can use, and no member can misuse."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cluster.embedded import redis_server
from tests.kit.programs import LOOPBACK, ROOT, Worker, cluster, find_program
from tests.kit.waiting import wait_until


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """The URL of what docker-compose.yml starts."""
    if redis_server.version(find_program("redis-server", "redis-server")) < (7,):
        pytest.skip("the redis-server on this machine is older than 7")
    port = redis_server.free_port(LOOPBACK)
    settings = {"CLUSTER_PASSWORD": "secret", "CLUSTER_DATA": str(tmp_path), "REDIS_PORT": str(port)}
    settings |= {"REDIS_CONF": str(ROOT / "deploy/redis.conf")}
    settings |= {"REDIS_COMMANDS": str(ROOT / "cluster/embedded/commands.acl")}
    with (tmp_path / "redis.log").open("wb") as log:
        command = ["sh", str(ROOT / "deploy" / "start-redis.sh"), "hub"]
        server = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
    client = redis.Redis(host=LOOPBACK, port=port, password="secret")
    try:
        wait_until("Redis answers", lambda: answers(client))
        yield f"redis://:secret@{LOOPBACK}:{port}/0"
    finally:
        client.close()
        server.kill()
        server.wait()


def test_a_hub_keeps_runs_and_drops_nothing(hub: str) -> None:
    with redis.Redis.from_url(hub) as client:
        assert client.info("persistence")["aof_enabled"] == 1
        assert client.info("memory")["maxmemory_policy"] == "noeviction"


def test_a_hub_serves_workers_and_a_submitter(hub: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one two two")
    with Worker("a", hub, tmp_path, "-c", "1") as worker:
        done = cluster("submit", "--broker", hub, "--job", "wordcount", tmp_path / "words.txt")
        assert (done.returncode, json.loads(done.stdout)) == (0, {"two": 2, "one": 1}), done.stderr
        assert "NOPERM" not in worker.text()
        assert "permission" not in worker.text()


MISUSE = """
ACL SETUSER default allcommands|BGREWRITEAOF|BGSAVE|CLIENT KILL ID 1|CLIENT PAUSE 1000|CONFIG GET *|CONFIG SET dir /tmp
DEBUG SLEEP 0|FLUSHALL|FLUSHDB|KEYS *|LATENCY RESET|MIGRATE 127.0.0.1 1 key 0 1|MODULE LOAD x.so|MONITOR
REPLICAOF 127.0.0.1 1|RESTORE key 0 x|SAVE|SCRIPT FLUSH|SCRIPT KILL|SHUTDOWN NOSAVE|SLAVEOF 127.0.0.1 1|SLOWLOG RESET
SWAPDB 0 1|SYNC
"""


@pytest.mark.parametrize("command", [line.strip() for line in re.split("[|\n]", MISUSE) if line])
def test_the_clusters_password_does_not_open(command: str, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as member:
        # Redis 7 has DEBUG and MODULE off for everybody.
        with pytest.raises(redis.ResponseError, match=r"no permissions|command not allowed"):
            member.execute_command(*command.split())
        script = member.register_script("return redis.call(unpack(ARGV))")
        with pytest.raises(redis.ResponseError, match=r"can't run this command|not allowed from script"):
            script(args=command.split())


def test_what_the_image_copies_is_enough_to_install(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    for line in (ROOT / "deploy" / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            for name in shlex.split(line)[1:-1]:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, tmp_path / name)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*install, "--target", tmp_path / "installed", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in (
        "cluster/ledger/lua/settle.lua",
        "tasks/ocr/cleaning.py",
        "splitters/py.typed",
        "aggregators/counts.py",
    ):
        assert (tmp_path / "installed" / name).is_file()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
