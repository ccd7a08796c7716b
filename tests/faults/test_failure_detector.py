"""What a detector knows of nodes that were lost before it began."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest
import redis
from celery import Celery

from cluster import keys, names, redis_client
from cluster.coordinator.failure_detector import CALM_S, STEADY_S, FailureDetector
from cluster.nodes.registry import SILENT_S
from cluster.stores import Stores
from tests.kit.waiting import wait_until


@pytest.fixture
def incarnation(client: redis.Redis) -> Iterator[str]:
    client.delete(keys.DETECTOR)
    name = secrets.token_hex(4)
    yield name
    client.hdel(keys.INCARNATIONS, name)


def heard(client: redis.Redis, incarnation: str, ago_s: float) -> None:
    """The node of this incarnation was heard of then."""
    seconds, _ = client.time()
    client.hset(keys.INCARNATIONS, incarnation, f"{seconds - ago_s:.6f} here pc1")


def loss_s(detector: FailureDetector, incarnation: str) -> float:
    """How long a detector that begins now takes to find it lost."""
    began = time.monotonic()

    def look() -> bool:
        detector.look()
        return incarnation in detector._lost

    wait_until("it is found lost", look, 2 * SILENT_S)
    return time.monotonic() - began


def test_a_new_detector_misses_a_connection_at_once(
    app: Celery, stores: Stores, client: redis.Redis, incarnation: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    heard(client, incarnation, 0)
    monkeypatch.setattr(stores.nodes, "uptime_s", lambda: STEADY_S + 1)
    assert loss_s(FailureDetector(app, stores), incarnation) < CALM_S
    assert "node pc1 is lost: its connections are gone" in caplog.messages  # it held nothing


def test_a_new_detector_waits_for_nodes_of_a_new_redis(
    app: Celery, stores: Stores, client: redis.Redis, incarnation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard(client, incarnation, 0)
    monkeypatch.setattr(stores.nodes, "uptime_s", lambda: 1)
    assert loss_s(FailureDetector(app, stores), incarnation) >= CALM_S


def test_a_new_detector_knows_how_long_a_node_is_silent(
    app: Celery, stores: Stores, client: redis.Redis, redis_url: str, incarnation: str
) -> None:
    with redis_client.connect(redis_url, name=names.connection(incarnation)) as connected:
        connected.ping()
        heard(client, incarnation, SILENT_S + 1)
        assert CALM_S <= loss_s(FailureDetector(app, stores), incarnation) < SILENT_S


@pytest.mark.parametrize("seen", ["nonsense", "nan", "1e999"])
def test_a_row_without_a_moment_is_taken_for_fresh(
    seen: str, app: Celery, stores: Stores, client: redis.Redis, redis_url: str, incarnation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("cluster.coordinator.failure_detector.CALM_S", 0.0)  # each look judges
    with redis_client.connect(redis_url, name=names.connection(incarnation)) as connected:
        connected.ping()
        client.hset(keys.INCARNATIONS, incarnation, f"{seen} here pc1")
        detector = FailureDetector(app, stores)
        for _ in range(2):
            detector.look()
            assert incarnation not in detector._lost
