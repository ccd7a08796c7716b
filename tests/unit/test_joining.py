"""The command by which another machine joins, and whether it could reach the cluster."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from cluster import addresses, settings
from cluster.client import joining

HERE = "127.0.0.1"
HUB = "192.0.2.7"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port of this machine where something listens; other machines would find it at ``HUB``."""
    with socket.socket() as listening:
        listening.bind((HERE, 0))
        listening.listen()
        connect = socket.create_connection
        monkeypatch.setattr(addresses, "reachable", lambda host: HUB)
        monkeypatch.setattr(socket, "create_connection", lambda address, timeout: connect((HERE, address[1]), timeout))
        yield listening.getsockname()[1]


def test_the_password_is_hidden_until_asked_for() -> None:
    config = settings.load(broker_url=f"redis://:secret@{HUB}:6380/0")
    assert joining.joining(config).line == f"CLUSTER_BROKER_URL='redis://:***@{HUB}:6380/0' cluster worker"
    asked = joining.joining(config, with_password=True)
    assert asked.line == f"CLUSTER_BROKER_URL='redis://:secret@{HUB}:6380/0' cluster worker"
    assert (asked.has_password, asked.problem) == (True, "")


def test_a_redis_that_listens_elsewhere_too_is_named_by_an_address_that_others_reach(port: int) -> None:
    assert joining.reached_from_elsewhere(f"redis://:a%40b@{HERE}:{port}/0") == f"redis://:a%40b@{HUB}:{port}/0"
    assert joining.reached_from_elsewhere(f"redis://localhost:{port}") == f"redis://{HUB}:{port}"


def test_a_redis_that_only_this_machine_reaches_is_told(port: int) -> None:
    with socket.socket() as free:
        free.bind((HERE, 0))
        closed = free.getsockname()[1]
    found = joining.joining(settings.load(broker_url=f"redis://{HERE}:{closed}/0"))
    assert found.problem.startswith(f"the Redis of this cluster is at {HERE}:{closed}, which only this machine reaches")
    assert joining.reached_from_elsewhere(f"sentinel://{HERE}:{port}/0") == ""


def test_loopback_is_told_by_address_and_by_name() -> None:
    assert [joining.is_loopback(host) for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost")] == [True] * 4
    assert [joining.is_loopback(host) for host in (HUB, "no.such.host.invalid")] == [False] * 2
