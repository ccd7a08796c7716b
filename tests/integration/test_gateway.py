"""The gateway between HTTP and replicas that are played: answers, codes, tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from cluster import keys, settings
from cluster.gateway.server import Running
from cluster.names import Target
from cluster.services.tokens import Tokens
from tests.kit.asking import Asking, error_of
from tests.kit.played_replica import PlayedReplica, enter
from tests.kit.programs import admin

MODEL = Target("net")


@pytest.fixture(scope="module")
def served(broker: str) -> Iterator[tuple[redis.Redis, Asking]]:
    """A gateway with the service "net", and one replica of it."""
    client = admin(broker)
    enter(client, "net")
    token = Tokens(client).new("tests")
    running = Running(settings.load(broker_url=broker), port=0)
    with PlayedReplica(client, MODEL), running as gateway, Asking(gateway.url, token) as asking:
        yield client, asking
    client.close()


@pytest.fixture
def asking(served: tuple[redis.Redis, Asking]) -> Asking:
    return served[1]


def test_tensors_come_back_with_shape_and_version(asking: Asking) -> None:
    found = asking.infer("net", [[1, 2.5], [3, 4]], id="mine")
    assert found.status_code == 200
    output = {"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.5, 3.0, 4.0]}
    assert found.json() == {"model_name": "net", "model_version": "", "id": "mine", "outputs": [output]}


def test_an_item_comes_back_under_its_name(asking: Asking) -> None:
    found = asking.predict("net", b"12345", **{"X-Request-Name": "party.jpg"}).json()
    assert found["items"] == {"party.jpg": {"size": 5}}
    assert (found["model"], found["version"], found["missing"]) == ("net", None, {})


def test_a_large_item_travels_under_its_own_key(asking: Asking) -> None:
    assert asking.predict("net", bytes(300_000)).json()["items"] == {"item": {"size": 300_000}}


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE")


@pytest.mark.parametrize(
    "path",
    ["/", "/v2", "/v2/models/net", "/v2/models/net/infer", "/v1/models/net/predict", "/metrics", "/openapi.json"],
)
@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic YTpi", "Bearer", "bearer x y"])
def test_every_route_needs_a_token_by_every_method(asking: Asking, path: str, given: str | None) -> None:
    for method in METHODS:
        asked = asking.http.build_request(method, path, headers={"Authorization": given or ""})
        if given is None:
            del asked.headers["authorization"]
        found = asking.http.send(asked)
        assert (method, found.status_code) == (method, 401)
        assert found.headers["www-authenticate"].startswith("Bearer")


def test_health_is_told_without_a_token(asking: Asking) -> None:
    for path in ("live", "ready"):
        asked = asking.http.build_request("GET", f"/v2/health/{path}")
        del asked.headers["authorization"]
        assert asking.http.send(asked).status_code == 200


def test_an_unknown_model_is_named_with_those_there(asking: Asking) -> None:
    found = asking.infer("nix", [[1]])
    assert found.status_code == 404
    assert error_of(found) == "no model 'nix' is served here; there are: net"


def test_no_request_is_kept_in_redis(served: tuple[redis.Redis, Asking]) -> None:
    client, asking = served
    assert asking.infer("net", [[1]]).status_code == 200
    assert not client.exists(keys.requests(str(MODEL)))
