"""The Redis of deploy/redis.conf is one that `cluster` can use."""

from __future__ import annotations

import subprocess
from pathlib import Path

import redis

from cluster.local import redis_server
from tests.kit.programs import LOOPBACK, ROOT, find_redis
from tests.kit.waiting import wait_until


def test_redis_takes_its_configuration_file(tmp_path: Path) -> None:
    port = redis_server.free_port(LOOPBACK)
    command = [find_redis(), str(ROOT / "deploy" / "redis.conf"), "--requirepass", "secret", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--bind", LOOPBACK, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    client = redis.Redis(host=LOOPBACK, port=port, password="secret")
    try:
        wait_until("Redis answers", lambda: answers(client))
        found = client.config_get("*")
        assert found["appendonly"] == "yes"
        assert found["maxmemory-policy"] == "noeviction"
    finally:
        client.close()
        server.kill()
        server.wait()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
