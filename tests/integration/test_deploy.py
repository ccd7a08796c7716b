"""The Redis of deploy/redis.conf is one that `cluster` can use."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
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
    for name in ("cluster/runs/lua/settle.lua", "tasks/ocr/cleaning.py", "splitters/py.typed", "aggregators/counts.py"):
        assert (tmp_path / "installed" / name).is_file()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
