"""The gateway between HTTP and replicas that are played: answers, codes, tokens."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import redis

from cluster import keys, settings
from cluster.client import services
from cluster.gateway import paths, tensors
from cluster.gateway.app import App
from cluster.gateway.auth import Auth
from cluster.gateway.board import Board
from cluster.gateway.server import Running
from cluster.names import Target
from cluster.services import traffic
from cluster.services.desired import Services
from cluster.services.tokens import Tokens
from tests.kit.asking import Asking, error_of
from tests.kit.played_replica import PlayedReplica, enter
from tests.kit.programs import admin
from tests.kit.waiting import wait_until

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


def test_the_gateway_tells_the_cluster_of_its_requests(served: tuple[redis.Redis, Asking]) -> None:
    client, asking = served
    asking.predict("net", b"12345")
    [found] = wait_until("it has told", lambda: services.status(client, "net").traffic)
    assert (found.version, found.gateways) == (None, 1)
    before = found.answers
    asking.predict("net", b"12345")
    wait_until("it tells of one more", lambda: services.status(client, "net").traffic[0].answers > before)
    assert services.status(client, "net").traffic[0].p95_ms


def test_what_others_write_among_the_rows_of_gateways_goes(served: tuple[redis.Redis, Asking]) -> None:
    client, _ = served
    old = traffic.row(0, [traffic.Row(service="net", per_s=1, answers=1)])
    client.hset(keys.TRAFFIC, mapping={"x" * 16: b"{}", "0" * 16: old, "1" * 16: b"[", "2" * 16: b'{"at_ms": "a"}'})
    assert set(traffic.read(client)).isdisjoint({"0" * 16, "1" * 16, "2" * 16})
    assert not client.hmget(keys.TRAFFIC, "x" * 16, "0" * 16)[0]


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2",
        "/v2/models/net",
        "/v2/models/net/infer",
        "/v1/models/net/predict",
        "/metrics",
        "/openapi.json",
        "/v2/models/net/versions/x/infer",
        "/v1/models/NO/predict",
    ],
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


def test_paths_that_lead_nowhere_are_not_kept() -> None:
    app = App(cast(Any, None), Auth())
    for number in range(3):
        app._route(f"/{number}")
    app._route("/v2/models/net/infer")
    assert list(app._paths) == ["/v2/models/net/infer"]


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


def test_the_openapi_document_has_every_route(asking: Asking) -> None:
    found = asking.http.get("/openapi.json").json()
    named = set()
    for path, methods in found["paths"].items():
        route = paths.read(path.replace("{model}", "net").replace("{version}", "1"))
        named.add(route.what)
        assert {method.upper() for method in methods if method != "parameters"} <= set(paths.METHODS[route.what])
    assert named == set(paths.METHODS)


def test_references_of_the_document_lead_somewhere(asking: Asking) -> None:
    document = asking.http.get("/openapi.json").json()
    for reference in re.findall(r'"\$ref":"#/([^"]+)"', asking.http.get("/openapi.json").text):
        there = document
        for step in reference.split("/"):
            there = there[step]


def test_metrics_count_requests_by_service_and_code(asking: Asking) -> None:
    def count() -> int:
        found = re.search(r'cluster_requests_total\{service="net",version="",code="200"\} (\d+)', metrics())
        return int(found[1]) if found else 0

    def metrics() -> str:
        answer = asking.http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return answer.text

    before = count()
    assert asking.infer("net", [[1]]).status_code == 200
    assert count() == before + 1
    text = metrics()
    assert re.search(r'cluster_latency_seconds_bucket\{service="net",version="",le="\+Inf"\} [1-9]', text)
    assert 'cluster_replicas_ready{service="net",version=""} 1' in text
    for row in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) .+|[a-z_]+\{.*\} [0-9.e-]+", row), row


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/v2", 405), ("GET", "/v2/models/net/infer", 405), ("POST", "/metrics", 405),
        ("GET", "/v3", 404),
        ("GET", "/v2/models/net/versions/x", 400), ("GET", "/v2/models/net/versions/0", 400),
        ("GET", "/v2/models/N", 404),
        ("GET", "/v2/models/net/versions/4", 404), ("GET", "/v2/models/net", 200), ("GET", "/v1/models", 200),
        ("GET", "/v2/models/net/ready", 200),
        ("GET", "/v2/models/net/versions/4/ready", 404),
        ("GET", "//v2/models/net", 404), ("HEAD", "/v2", 200), ("GET", "/%ff", 404),
    ],
)  # fmt: skip
def test_paths_and_methods_have_their_codes(asking: Asking, method: str, path: str, status: int) -> None:
    assert asking.http.request(method, f"{asking.http.base_url}{path}").status_code == status


def test_health_names_no_service_to_those_without_a_token(served: tuple[redis.Redis, Asking]) -> None:
    client, asking = served
    enter(client, "mergers")
    try:
        asked = asking.http.build_request("GET", "/v2/health/ready")
        del asked.headers["authorization"]
        wait_until("it is known", lambda: asking.http.send(asked).status_code == 503)
        assert "mergers" not in asking.http.send(asked).text
    finally:
        Services(client).remove("mergers")


def test_what_waits_for_a_service_that_is_stopped_is_told_so(served: tuple[redis.Redis, Asking]) -> None:
    client, asking = served
    enter(client, "brief")
    with PlayedReplica(client, Target("brief")) as replica, ThreadPoolExecutor(1) as pool:
        wait_until("ready", lambda: asking.infer("brief", [[1]]).status_code == 200)
        replica.lose()
        waiting = pool.submit(asking.infer, "brief", [[2]])
        wait_until("it is taken", lambda: len(replica.taken) > 1)
        Services(client).remove("brief")
        found = waiting.result()
    assert (found.status_code, error_of(found)) == (404, "brief was stopped (cluster services stop) and not answered")


@pytest.mark.parametrize(("rows", "aside"), [(1, False), (100_000, True)])
def test_others_are_answered_while_a_large_request_is_read(
    asking: Asking, monkeypatch: pytest.MonkeyPatch, rows: int, aside: bool
) -> None:
    read: list[str] = []
    of_tensors = tensors.read

    def seen(*given: Any) -> Any:
        read.append(threading.current_thread().name)
        return of_tensors(*given)

    monkeypatch.setattr(tensors, "read", seen)
    assert len(asking.infer("net", [[1.5]] * rows).json()["outputs"][0]["data"]) == rows
    assert [name != "gateway" for name in read] == [aside]


def test_a_look_without_news_asks_redis_once(
    broker: str, served: tuple[redis.Redis, Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = served
    board = Board(settings.load(broker_url=broker))
    board.look()
    asked: list[int] = []
    of_pipeline = redis.client.Pipeline.execute

    def counted(self: Any, *given: Any) -> Any:
        asked.append(len(self.command_stack))
        return of_pipeline(self, *given)

    monkeypatch.setattr(redis.client.Pipeline, "execute", counted)
    monkeypatch.setattr(board._stores.redis, "execute_command", None)
    before = board.state
    board.look()
    assert (board.state.problem, list(board.state.services)) == ("", list(before.services))
    assert len(asked) == 1
    monkeypatch.undo()
    enter(client, "newer")
    board.look()
    assert "newer" in board.state.services
    Services(client).remove("newer")
    board._stores.redis.close()
