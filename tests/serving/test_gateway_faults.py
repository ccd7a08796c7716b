"""What goes wrong around a gateway: lost replicas, full queues, deadlines, a Redis that is away, clients that leave."""

from __future__ import annotations

import concurrent.futures
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from cluster import keys, settings
from cluster.gateway import board, line
from cluster.gateway.problems import Problem
from cluster.gateway.server import Running
from cluster.names import Target
from cluster.services import messages
from cluster.services.desired import Services
from cluster.services.messages import Answer, Request
from cluster.services.tokens import Tokens
from tests.kit.asking import Asking, error_of
from tests.kit.played_replica import PlayedReplica, doubled, enter
from tests.kit.programs import RedisServer, admin
from tests.kit.waiting import wait_until

NET = Target("net")


@pytest.fixture
def client(broker: str) -> Iterator[redis.Redis]:
    """Without services of the tests before."""
    with admin(broker) as client:
        client.flushdb()
        yield client


@pytest.fixture
def asking(broker: str, client: redis.Redis) -> Iterator[Asking]:
    token = Tokens(client).new("tests")
    running = Running(settings.load(broker_url=broker), port=0)
    with running as gateway, Asking(gateway.url, token) as asking:
        yield asking


def until_ready(asking: Asking, model: str = "net") -> None:
    wait_until("ready", lambda: asking.http.get(f"/v2/models/{model}/ready").status_code == 200)


def metric(asking: Asking, name: str) -> float:
    rows = [row for row in asking.http.get("/metrics").text.splitlines() if row.startswith(f"{name}{{")]
    return sum(float(row.rpartition(" ")[2]) for row in rows)


def test_a_service_without_a_replica_says_when_to_ask(asking: Asking, client: redis.Redis) -> None:
    enter(client, "net")
    wait_until("known", lambda: asking.infer("net", [[1]]).status_code != 404)
    found = asking.infer("net", [[1]])
    assert (found.status_code, int(found.headers["retry-after"]) >= 1) == (503, True)
    assert asking.http.get("/v2/health/ready").status_code == 503


def test_what_a_lost_replica_took_is_sent_once_more(asking: Asking, client: redis.Redis) -> None:
    enter(client, "net")
    with PlayedReplica(client, NET) as lost:
        until_ready(asking)
        lost.lose()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            found = pool.submit(asking.infer, "net", [[7.0]])
            wait_until("taken", lambda: lost.taken)
            with PlayedReplica(client, NET) as other:
                answer = found.result()
                assert len(other.taken) == 1 or len(lost.taken) == 2
    assert answer.json()["outputs"][0]["data"] == [7.0]
    assert metric(asking, "cluster_resent_total") == 1


def test_no_answer_within_the_deadline_is_a_504(asking: Asking, client: redis.Redis) -> None:
    enter(client, "net", deadline_ms=200)
    with PlayedReplica(client, NET, answering=lambda requests: []) as replica:
        until_ready(asking)
        began = time.monotonic()
        found = asking.infer("net", [[1]])
        assert found.status_code == 504
        assert 0.2 <= time.monotonic() - began < 3
        assert "deadline" in error_of(found)
        began = time.monotonic()
        assert asking.infer("net", [[1]], parameters={"timeout": 50_000}).status_code == 504
        assert asking.predict("net", b"1", **{"X-Timeout-Ms": "50"}).status_code == 504
        assert len(replica.taken) >= 3
    assert metric(asking, "cluster_late_total") == 3


def slow(requests: Sequence[Request]) -> list[Answer]:
    threading.Event().wait(0.1)
    return doubled(requests)


def test_a_full_queue_refuses_at_once_and_keeps_its_limit(asking: Asking, client: redis.Redis) -> None:
    enter(client, "net", max_waiting=8)
    longest = 0
    with PlayedReplica(client, NET, answering=slow, most=1):
        until_ready(asking)
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            asked = [pool.submit(asking.infer, "net", [[1.0]]) for _ in range(32)]
            while not all(one.done() for one in asked):
                longest = max(longest, client.llen(keys.requests("net")))
        codes = [one.result().status_code for one in asked]
    assert set(codes) == {200, 429}
    assert codes.count(200) >= 8
    assert longest <= 8
    refused = next(one.result() for one in asked if one.result().status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert metric(asking, "cluster_refused_total") == codes.count(429)


def test_a_queue_that_was_full_of_others_requests_is_looked_at_again(asking: Asking, client: redis.Redis) -> None:
    enter(client, "net", max_waiting=8)
    replica = PlayedReplica(client, NET)
    replica.tell()
    until_ready(asking)
    client.rpush(keys.requests("net"), *["of another gateway"] * 20)
    assert asking.infer("net", [[1]], parameters={"timeout": 50_000}).status_code == 504
    assert asking.infer("net", [[1]]).status_code == 429
    client.delete(keys.requests("net"))
    with replica:
        wait_until("taken again", lambda: asking.infer("net", [[1]]).status_code == 200, 5)


def test_a_large_payload_goes_with_its_answer(asking: Asking, client: redis.Redis) -> None:
    enter(client, "net")
    with PlayedReplica(client, NET) as replica:
        until_ready(asking)
        assert asking.predict("net", bytes(300_000)).status_code == 200
        [taken] = replica.taken
        wait_until("gone before its deadline", lambda: not client.exists(taken.payload_key), 5)


def test_a_redis_that_was_away_is_used_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", "--appendonly", "yes") as server:
        client = admin(server.url)
        token = Tokens(client).new("tests")
        enter(client, "net")
        running = Running(settings.load(broker_url=server.url), port=0)
        with running as gateway, Asking(gateway.url, token) as asking:
            with PlayedReplica(client, NET):
                until_ready(asking)
            server.process.terminate()
            server.process.wait()
            wait_until("away", lambda: asking.infer("net", [[1]]).status_code == 503)
            found = asking.infer("net", [[1]])
            assert (found.status_code, found.headers["retry-after"]) == (503, "1")
            assert asking.http.get("/v2/health/live").status_code == 200
            assert asking.http.get("/v2/health/ready").status_code == 503
            server.start()
            with PlayedReplica(admin(server.url), NET):
                wait_until("back", lambda: asking.infer("net", [[1]]).status_code == 200)


def test_a_request_whose_client_left_is_forgotten(asking: Asking, client: redis.Redis) -> None:
    enter(client, "net")
    with PlayedReplica(client, NET, answering=lambda requests: []) as replica:
        until_ready(asking)
        with socket.create_connection((asking.http.base_url.host, asking.http.base_url.port)) as leaving:
            token = asking.http.headers["authorization"]
            head = f"host: x\r\nauthorization: {token}\r\ncontent-length: 3\r\n\r\n"
            leaving.sendall(f"POST /v1/models/net/predict HTTP/1.1\r\n{head}abc".encode())
            wait_until("taken", lambda: replica.taken)
            assert metric(asking, "cluster_waiting") == 1
        wait_until("forgotten", lambda: metric(asking, "cluster_waiting") == 0, 5)


def test_two_gateways_answer_each_their_own_clients(asking: Asking, broker: str, client: redis.Redis) -> None:
    enter(client, "net")
    token = Tokens(client).new("other")
    running = Running(settings.load(broker_url=broker), port=0)
    with PlayedReplica(client, NET), running as gateway, Asking(gateway.url, token) as other:
        until_ready(asking)
        until_ready(other)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            numbers = range(100)
            found = pool.map(lambda n: (asking, other)[n % 2].infer("net", [[float(n)]]).json(), numbers)
        assert [one["outputs"][0]["data"] for one in found] == [[float(n)] for n in numbers]


def test_an_unreadable_item_costs_its_neighbours_nothing(asking: Asking, client: redis.Redis) -> None:
    def answering(requests: Sequence[Request]) -> list[Answer]:
        bad = [Answer(one.id, messages.UNREADABLE, problem="no picture") for one in requests if one.name == "bad.jpg"]
        return bad + doubled([one for one in requests if one.name != "bad.jpg"])

    enter(client, "net")
    with PlayedReplica(client, NET, answering=answering):
        until_ready(asking)
        files = [("a", ("good.jpg", b"12")), ("b", ("bad.jpg", b"1"))]
        found = asking.http.post("/v1/models/net/predict", files=files)
        assert found.status_code == 200
        assert found.json()["items"] == {"good.jpg": {"size": 2}}
        assert found.json()["missing"] == {"bad.jpg": "net: no picture"}
        alone = asking.predict("net", b"1", **{"X-Request-Name": "bad.jpg"})
        assert (alone.status_code, error_of(alone)) == (422, "net: no picture")


def test_a_revoked_token_is_refused_within_a_second(asking: Asking, client: redis.Redis) -> None:
    assert asking.http.get("/v2").status_code == 200
    Tokens(client).revoke("tests")
    wait_until("refused", lambda: asking.http.get("/v2").status_code == 401, board.LOOK_S * 20)


def test_the_number_of_replicas_of_a_service_may_be_none(asking: Asking, client: redis.Redis) -> None:
    enter(client, "net", replicas=0)
    wait_until("known", lambda: asking.infer("net", [[1]]).status_code == 503)
    assert "no replica of net is wanted" in error_of(asking.infer("net", [[1]]))
    assert asking.http.get("/v2/health/ready").status_code == 200
    assert Services(client).remove("net")
    wait_until("gone", lambda: asking.infer("net", [[1]]).status_code == 404)


def test_times_between_sending_twice_follow_the_answers() -> None:
    found = line.Line(NET, lambda reply: None)
    assert found.resend_s == line.FIRST_RESEND_S
    for _ in range(line.ENOUGH):
        found.answered(0.001, 0)
    assert found.resend_s == line.LEAST_RESEND_S
    for _ in range(line.RECENT):
        found.answered(0.4, 0)
    assert found.resend_s == pytest.approx(1.2)


def test_a_quiet_gateway_is_not_refused_for_what_a_busy_one_sent() -> None:
    found = line.Line(NET, lambda reply: None)
    found.enter(0.0)
    found.answered(2.0, 0)
    found.leave(2.0)  # one answer in 2 s, as 400 of another gateway were before it
    found.see_length(400)
    found.admit(1, 512, 10.0, 3.0)
    found.enter(3.0)
    found.admit(1, 512, 10.0, 3.0)
    with pytest.raises(Problem, match="401 requests wait"):
        found.admit(1, 401, 10.0, 3.0)
    with pytest.raises(Problem, match="longer than the deadline"):
        found.admit(1, 512, 1.0, 3.0)
