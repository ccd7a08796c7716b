"""Services and the leases of their replicas in a real Redis."""

from __future__ import annotations

import logging
import uuid

import pytest
import redis

from cluster import errors, keys, names, redis_client
from cluster.services import replicas, targets
from cluster.services.desired import Service, Services
from cluster.services.replicas import Replicas, Row
from cluster.stores import Stores
from tests.kit.waiting import wait_until

ROW = Row(node="worker@a", pid=1, ready=["x:1"])


@pytest.fixture
def service(client: redis.Redis) -> str:
    name = f"s-{uuid.uuid4().hex[:8]}"
    Services(client).put(Service(name=name, job="ocr", replicas=2))
    return name


def ids(count: int) -> list[str]:
    return [str(names.Replica.begun(1_700_000_000_000 + at)) for at in range(count)]


def test_services_stay_are_scaled_and_go(client: redis.Redis, service: str) -> None:
    services = Services(client)
    before = client.get(keys.REVISION)
    assert services.scale(service, 5) == services.get(service)
    assert client.get(keys.REVISION) != before
    assert client.ttl(keys.SERVICES) == -1
    assert service in [one.name for one in services.all()]
    assert services.remove(service)
    assert not services.remove(service)
    assert services.get(service) is None
    with pytest.raises(errors.UsageError, match="no service"):
        services.scale(service, 1)


@pytest.mark.parametrize(
    "fields",
    [{"name": "A"}, {"name": ""}, {"replicas": -1}, {"max_waiting": 0}, {"deadline_ms": 1}, {"model": "A:b"},
     {"model": "a:3.1a2b3c4d"}, {"canary": {0: 0.5}}, {"canary": {4: 1.5}}, {"shadow": 0}, {"job": "a/b"}],
)  # fmt: skip
def test_a_service_with_a_wrong_field_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Service.model_validate({"name": "s", "job": "ocr"} | fields)


def test_rows_that_are_no_services_are_left_out(
    client: redis.Redis, service: str, caplog: pytest.LogCaptureFixture
) -> None:
    client.hset(keys.SERVICES, mapping={"broken": b"{", "other": Service(name="x", job="ocr").model_dump_json()})
    with caplog.at_level(logging.WARNING):
        assert service in [one.name for one in Services(client).all()]
    client.hdel(keys.SERVICES, "broken", "other")
    assert "'broken' cannot be read" in caplog.text
    assert "says that it is x" in caplog.text


def test_no_more_leases_are_taken_than_wanted(client: redis.Redis, service: str) -> None:
    all_ = Replicas(client)
    first, second, third = ids(3)
    assert [all_.take(service, one, ROW).state for one in (first, second, third)] == ["held", "held", "full"]
    assert [one.id for one in all_.read([service])[service]] == [first, second]
    all_.release(service, first)
    assert all_.take(service, third, ROW).state == "held"


def test_of_too_many_replicas_the_newest_are_over(client: redis.Redis, service: str) -> None:
    all_ = Replicas(client)
    first, second = ids(2)
    assert [all_.take(service, one, ROW).state for one in (second, first)] == ["held", "held"]
    Services(client).scale(service, 1)
    assert [all_.keep(service, one, ROW).state for one in (first, second)] == ["held", "over"]
    assert [one.id for one in all_.read([service])[service]] == [first]
    Services(client).remove(service)
    assert all_.keep(service, first, ROW).state == "gone"
    assert not client.exists(keys.leases(service), keys.replicas(service))


def test_a_lease_that_is_not_kept_runs_out(client: redis.Redis, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "LEASE_MS", 100)
    all_ = Replicas(client)
    first, *others = ids(3)
    all_.take(service, first, ROW)
    wait_until("it runs out", lambda: not all_.read([service])[service])
    monkeypatch.undo()
    assert [all_.take(service, one, ROW).state for one in others] == ["held", "held"]
    assert all_.keep(service, first, ROW).state == "held"  # the oldest: of the others one is over
    assert all_.keep(service, others[1], ROW).state == "over"


def test_a_replica_without_a_connection_is_dropped(redis_url: str, client: redis.Redis, service: str) -> None:
    all_ = Replicas(client)
    there, gone = ids(2)
    for one in (there, gone):
        all_.take(service, one, ROW)
    with redis_client.connect(redis_url, name=names.replica_connection(there)) as its:
        its.ping()
        assert [one.id for one in all_.drop_vanished(all_.read([service]))] == [gone]
    assert [one.id for one in all_.read([service])[service]] == [there]


def test_problems_of_nodes_are_told_and_taken_back(client: redis.Redis, service: str) -> None:
    all_ = Replicas(client)
    all_.tell_problem(service, "worker@a", "no room")
    assert all_.problems(service) == {"worker@a": "no room"}
    assert 0 < client.ttl(keys.problems(service)) <= replicas.PROBLEM_S
    all_.tell_problem(service, "worker@a", "")
    assert all_.problems(service) == {}


def test_rows_that_no_replica_wrote_are_left_out(client: redis.Redis, service: str) -> None:
    good, bad = ids(2)
    all_ = Replicas(client)
    all_.take(service, good, ROW)
    client.zadd(keys.leases(service), {bad.encode(): 2**52, b"\xff": 2**52, b"x": 2**52})
    client.hset(keys.replicas(service), mapping={bad: b'{"node": 5}', b"\xff": ROW.model_dump_json(), "x": b""})
    assert [one.id for one in all_.read([service])[service]] == [good]


def test_versions_that_are_asked_for_are_served_a_while(stores: Stores, service: str) -> None:
    assert targets.versions(Service(name=service, job="ocr"), stores) == [None]
    assert targets.versions(Service(name=service, job="onnx", model="no-such-model"), stores) == []
    before = stores.redis.get(keys.REVISION)
    targets.ask(stores.redis, service, 3)
    assert stores.redis.get(keys.REVISION) != before
    assert targets._asked(stores.redis, service) == [3]
    assert 0 < stores.redis.pttl(keys.asked(service)) <= targets.ASKED_S * 1000


def test_a_change_beside_another_one_loses_neither(client: redis.Redis, service: str) -> None:
    """A deadline is set while somebody scales."""
    services, seen = Services(client), []

    def later(before: Service | None) -> Service:
        assert before is not None
        seen.append(before.replicas)
        if len(seen) == 1:
            services.scale(service, 7)
        return before.model_copy(update={"deadline_ms": 1234})

    services.change(service, later)
    found = services.get(service)
    assert found is not None
    assert (found.replicas, found.deadline_ms, seen[1:]) == (7, 1234, [7])
