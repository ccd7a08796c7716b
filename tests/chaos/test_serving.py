"""Services under load while replicas, Redis and versions come and go: no request is lost, none is answered wrongly."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from cluster import client, settings
from cluster.bundles.content import Content
from cluster.services.replicas import Replica, Replicas
from cluster.stores import Stores
from tests.kit.programs import MARK, RedisServer, Worker, cluster
from tests.kit.serving import Answered, Gateway, Load, ok, served
from tests.kit.waiting import wait_until

FIRST_RESEND_S = 0.25
CLIENTS = 64


class Scene(NamedTuple):
    """A cluster of two nodes, and a gateway."""

    redis: RedisServer
    stores: Stores
    gateway: Gateway
    token: str

    def serve(self, model: str | None, replicas: int = 2, **options: object) -> str:
        """Enter a service and wait for all its replicas; gives its name."""
        with client.connect(self.redis.url) as c:
            name = c.serve(model, replicas=replicas, **options).name  # type: ignore[arg-type]
        self.wait_for(name, replicas)
        return name

    def wait_for(self, name: str, replicas: int) -> list[Replica]:
        """Its replicas, once so many are ready and the gateway knows it."""

        def found() -> list[Replica]:
            ready = [one for one in Replicas(self.stores.redis).read([name])[name] if one.state == "ready"]
            path = f"/v2/models/{name}/ready"
            return ready if len(ready) == replicas and self.gateway.request("GET", path).status_code == 200 else []

        return wait_until(f"{replicas} replicas of {name} are ready", found, 60)

    def load(self, name: str, clients: int = CLIENTS, body: object = b"x", **more: object) -> Load:
        """So many clients that ask a service."""
        path = f"/v1/models/{name}/predict"
        return Load(self.gateway.url, path, self.token, body, clients, **more)  # type: ignore[arg-type]


@contextmanager
def opened(folder: Path) -> Iterator[Scene]:
    with ExitStack() as held:
        redis = held.enter_context(RedisServer(folder / "redis", "--appendonly", "yes"))
        token = cluster("token", "new", "test", "--broker", redis.url).stdout.strip()
        workers = [
            Worker(name, redis.url, folder, "-c", "1", CLUSTER_CACHE_DIR=str(folder / name), **{MARK: name})
            for name in ("one", "two")
        ]
        for worker in workers:
            held.enter_context(worker)
        gateway = held.enter_context(served("--broker", redis.url, token=token))
        stores = Stores.connect(settings.load(broker_url=redis.url))
        yield Scene(redis, stores, gateway, token)
        for worker in workers:
            assert "Traceback" not in worker.text()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with opened(tmp_path_factory.mktemp("serving")) as scene:
        yield scene


@pytest.fixture
def office(scene: Scene) -> Iterator[str]:
    """A model with two versions, pinned to the first, whose answers are its tag."""
    bundles = scene.stores.models.bundles
    if "office" not in bundles.names():
        for tag in (b"red", b"blue"):
            bundles.push("office", Content("tagged", {"tag.txt": tag}), "a test")
    bundles.pin("office", 1)
    yield "office"
    with client.connect(scene.redis.url) as c:
        for service in c.services():
            c.service(service.service).stop()
    wait_until("all replicas are gone", lambda: not Replicas(scene.stores.redis).read(["office"])["office"], 30)


def p95_s(answers: list[Answered]) -> float:
    return sorted(one.took_s for one in answers)[int(len(answers) * 0.95)]


def tags(answers: list[Answered]) -> set[str]:
    return {value.partition(" ")[0] for answer in ok(answers) for value in answer["items"].values()}


def test_a_killed_replica_at_full_load_costs_no_request(scene: Scene, office: str) -> None:
    name = scene.serve(office, seconds=0.0)
    with scene.load(name) as load:
        wait_until("load is on", lambda: len(load.answers) > 5000, 60)
        killed = scene.wait_for(name, 2)[0]
        os.kill(killed.pid, signal.SIGKILL)
        at_kill = len(load.answers)
        wait_until("load goes on", lambda: len(load.answers) > at_kill + 5000, 60)
        answers = load.end()
    assert load.codes.keys() == {200}, load.codes
    assert tags(answers) == {"red"}
    resend_s = max(FIRST_RESEND_S, 3 * p95_s(answers[: at_kill or None]))
    assert max(one.took_s for one in answers) <= max(3 * resend_s, 0.5)
    assert killed.id not in {one.id for one in scene.wait_for(name, 2)}  # another one came in its place


def test_overload_is_refused_at_once_and_the_rest_is_in_time(scene: Scene, office: str) -> None:
    """A batch of 32 takes 0.17 s, so a replica answers 190 requests a second."""
    name = scene.serve(office, 1, seconds=0.17, max_waiting=64, deadline_s=5)
    most = 0
    with scene.load(name, 256, pause_s=0.05) as load:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            most = max(most, waiting(scene.gateway, name))
        answers = load.end()
    assert load.codes.keys() == {200, 429}, load.codes
    refused = [one for one in answers if one.status == 429]
    assert all(re.search(rb"(?i)\r\nretry-after: [1-9]", one.headers) for one in refused)
    answered = [one for one in answers if one.status == 200]
    assert len(answered) > 300
    assert max(one.took_s for one in answered) < 5
    assert sorted(one.took_s for one in refused)[len(refused) // 2] < 0.5
    assert 0 < most <= 64


def waiting(gateway: Gateway, name: str) -> int:
    """Requests of a service that wait, by the gateway's metrics."""
    text = gateway.request("GET", "/metrics").text
    found = re.findall(rf'^cluster_waiting{{[^}}]*"{name}"[^}}]*}} (\d+)', text, re.MULTILINE)
    return sum(map(int, found))


def test_a_pinned_version_is_served_soon_and_no_request_fails(scene: Scene, office: str) -> None:
    name = scene.serve(office, seconds=0.0)
    with scene.load(name, 16) as load:
        wait_until("load is on", lambda: len(load.answers) > 500, 60)
        pinned = time.monotonic()
        assert cluster("models", "pin", f"{office}:2", "--broker", scene.redis.url).returncode == 0
        done = time.monotonic()
        wait_until("the new version is served", lambda: tags(load.answers[-16:]) == {"blue"}, 30)
        answers = load.end()
    assert load.codes.keys() == {200}, load.codes
    first = next(one for one in answers if tags([one]) == {"blue"})
    assert first.at_s + first.took_s - done <= 2.0
    assert tags([one for one in answers if one.at_s + one.took_s < pinned]) == {"red"}
    assert {answer["version"] for answer in ok(answers[-16:])} == {2}


def test_requests_are_refused_while_redis_is_away_and_answered_after(scene: Scene, office: str) -> None:
    name = scene.serve(office, seconds=0.0)
    before = {one.pid for one in scene.wait_for(name, 2)}
    with scene.load(name, 8, pause_s=0.05) as load:
        wait_until("load is on", lambda: len(load.answers) > 50, 60)
        scene.redis.kill()
        time.sleep(10)
        away = [one for one in list(load.answers) if one.at_s > time.monotonic() - 6]
        scene.redis.start()
        back = time.monotonic()
        wait_until("it answers again", lambda: load.answers[-1].status == 200, 30)
        answers = load.end()
    assert {one.status for one in away} == {503}
    assert all(b"retry-after" in one.headers.lower() for one in away)
    assert set(load.codes) == {200, 503}
    first = next(one for one in answers if one.at_s > back and one.status == 200)
    assert first.at_s - back < 10
    assert {one.pid for one in scene.wait_for(name, 2)} == before  # they have waited


def test_two_gateways_give_each_client_its_own_answers(scene: Scene) -> None:
    name = scene.serve(None, job="measure")
    with served("--broker", scene.redis.url, token=scene.token) as other:
        wait_until("both know it", lambda: other.request("GET", f"/v2/models/{name}/ready").status_code == 200)
        loads = [
            Load(gateway.url, f"/v1/models/{name}/predict", scene.token, lambda number: b"x" * number, 8, most=1000)
            for gateway in (scene.gateway, other)
        ]
        with loads[0], loads[1]:
            for load in loads:
                load.join(60)
    for load in loads:
        assert load.codes == {200: 1000}
        assert sorted(int(answer["items"]["item"]) for answer in ok(load.answers)) == list(range(1, 1001))
    with client.connect(scene.redis.url) as c:
        c.service(name).stop()


def test_a_canary_gets_its_share(scene: Scene, office: str) -> None:
    name = scene.serve(office, seconds=0.0, canary={2: 0.1})
    both = {f"{name}:1", f"{name}:2"}
    wait_until("all have both", lambda: all(set(one.ready) == both for one in scene.wait_for(name, 2)), 30)
    wait_until("the gateway knows both", lambda: known(scene, name) == ["1", "2"])
    with scene.load(name, 8, most=1000) as load:
        answers = load.join(60)
    assert load.codes == {200: 1000}
    blue = sum(answer["version"] == 2 for answer in ok(answers))
    assert 70 <= blue <= 130
    assert tags([one for one in answers if ok([one])[0]["version"] == 2]) == {"blue"}
    same = {scene.gateway.ask(b"x", name, X_Cluster_Key="ada").json()["version"] for _ in range(20)}
    assert len(same) == 1  # one person stays with a version


def test_a_promoted_canary_gets_all(scene: Scene, office: str) -> None:
    name = scene.serve(office, seconds=0.0, canary={2: 0.1})
    assert cluster("models", "pin", f"{office}:2", "--broker", scene.redis.url).returncode == 0
    wait_until("the pin has reached all", lambda: versions(scene, name) == {2}, 10)


def known(scene: Scene, name: str) -> list[str]:
    """The versions that the gateway can ask for."""
    found: list[str] = scene.gateway.request("GET", f"/v2/models/{name}").json()["versions"]
    return found


def versions(scene: Scene, name: str) -> set[int]:
    return {scene.gateway.ask(b"x", name).json()["version"] for _ in range(20)}


def test_answers_of_a_shadow_are_compared_and_not_given(scene: Scene, office: str) -> None:
    name = scene.serve(office, seconds=0.0, shadow=f"{office}:2")
    both = {f"{name}:1", f"{name}:2"}
    wait_until("all have both", lambda: all(set(one.ready) == both for one in scene.wait_for(name, 2)), 30)
    wait_until("the gateway knows both", lambda: known(scene, name) == ["1", "2"])
    with scene.load(name, 4, most=100) as load:
        answers = load.join(60)
    assert {answer["version"] for answer in ok(answers)} == {1}
    assert tags(answers) == {"red"}

    def told() -> bool:
        text = scene.gateway.request("GET", "/metrics").text
        found = re.findall(r'^cluster_shadow\w*{[^}]*"different"[^}]*} (\d+)', text, re.MULTILINE)
        return sum(map(int, found)) > 50

    wait_until("the metrics tell that they differ", told, 10)


def test_a_killed_node_loses_no_request(tmp_path: Path) -> None:
    """With its worker, its replica goes; the other node answers."""
    with RedisServer(tmp_path / "redis") as redis, ExitStack() as held:
        token = cluster("token", "new", "test", "--broker", redis.url).stdout.strip()
        one = held.enter_context(Worker("one", redis.url, tmp_path, "-c", "1"))
        held.enter_context(Worker("two", redis.url, tmp_path, "-c", "1"))
        gateway = held.enter_context(served("--job", "measure", "--replicas", "2", "--broker", redis.url, token=token))
        stores = Stores.connect(settings.load(broker_url=redis.url))
        scene = Scene(redis, stores, gateway, token)
        assert {replica.node for replica in scene.wait_for("measure", 2)} == {"one@test", "two@test"}
        with scene.load("measure", 16) as load:
            wait_until("load is on", lambda: len(load.answers) > 500, 60)
            one.kill()
            at_kill = len(load.answers)
            wait_until("load goes on", lambda: len(load.answers) > at_kill + 2000, 60)
            load.end()
        assert load.codes.keys() == {200}, load.codes


def test_a_service_that_is_stopped_answers_what_it_took(scene: Scene, office: str) -> None:
    name = scene.serve(office, 1, seconds=0.5)
    with scene.load(name, 4) as load:
        wait_until("load is on", lambda: len(load.answers) > 4, 60)
        with client.connect(scene.redis.url) as c:
            c.service(name).stop()
        with contextlib.suppress(AssertionError):
            wait_until("it is unknown", lambda: load.answers[-1].status == 404, 10)
        answers = load.end()
    assert set(load.codes) <= {200, 404, 503, 504}, load.codes
    assert load.codes[504] <= 4, load.codes  # those that waited
    assert json.loads(answers[-1].body)
