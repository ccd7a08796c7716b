"""A Redis that answers and cannot serve a cluster is named, and never called away."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from cluster import cli, errors, keys, redis_check, redis_client
from tests.kit import programs
from tests.kit.programs import LOOPBACK, RedisServer, cluster


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def admin(server: RedisServer) -> Iterator[redis.Redis]:
    with programs.admin(server.url) as client:
        yield client


def test_a_replica_is_named_with_its_master(server: RedisServer, admin: redis.Redis) -> None:
    admin.replicaof(LOOPBACK, 7)
    try:
        told = cluster("doctor", "--broker", server.url)
        assert told.returncode == errors.BrokerError.exit_code
        assert f"is a read-only replica; give the address of its master, {LOOPBACK}:7" in told.stdout
    finally:
        admin.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    ("rules", "lacks"),
    [
        ("~* &* +@all -@scripting", "+@scripting"),
        ("~other:* &* +@all", "~*"),
        ("~* resetchannels +@all", "&*"),
        ("~* &* +@all -info", "info"),
    ],
)
def test_what_a_user_may_not_do_is_named(rules: str, lacks: str, server: RedisServer, admin: redis.Redis) -> None:
    admin.execute_command("ACL", "SETUSER", "clerk", "reset", "on", ">pass", *rules.split())  # type: ignore[no-untyped-call]
    with pytest.raises(errors.BrokerDenied, match=lacks.replace("*", r"\*").replace("+", r"\+")):
        redis_client.check(f"redis://clerk:pass@{LOOPBACK}:{server.port}/0")


def test_a_redis_that_may_drop_keys_is_warned_of(
    server: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    admin.config_set("maxmemory", "1gb")
    admin.config_set("maxmemory-policy", "allkeys-lru")
    for _ in range(2):
        redis_client.check(server.url)
    assert caplog.text.count("maxmemory-policy allkeys-lru") == 1
    admin.config_set("maxmemory", 0)


def test_a_look_at_permissions_takes_no_messages(server: RedisServer, admin: redis.Redis) -> None:
    for job in ("probe", "ocr"):
        admin.lpush(keys.queue(job), "a message")
    redis_client.check(server.url)
    assert [admin.llen(keys.queue(job)) for job in ("probe", "ocr")] == [1, 1]
    admin.delete(keys.queue("probe"), keys.queue("ocr"))


def test_a_redis_cluster_is_named() -> None:
    client: Any = SimpleNamespace(info=lambda: {"redis_version": "7.0.15", "redis_mode": "cluster", "role": "master"})
    with pytest.raises(errors.BrokerRefused, match="Redis Cluster mode"):
        redis_check.see(client, "here")


def test_a_limit_of_open_files_is_raised_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(20, 4096), (20, 50)]
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits.pop(0))
    monkeypatch.setattr(resource, "setrlimit", lambda which, to: set_to.append(to))
    redis_check.see_files(124, "a worker of 6 slots")
    assert set_to == [(124, 4096)]
    with pytest.raises(errors.JobUnavailable, match="a worker of 6 slots needs 124 open files, and the limit is 50"):
        redis_check.see_files(124, "a worker of 6 slots")


def test_what_redis_answered_is_never_called_away(admin: redis.Redis) -> None:
    admin.zadd(keys.RUNS, {"x": 1})
    with pytest.raises(redis.ResponseError) as caught:
        admin.incr(keys.RUNS)
    assert cli._told_of_redis(caught.value).startswith("Redis refuses: WRONGTYPE")
    admin.delete(keys.RUNS)
