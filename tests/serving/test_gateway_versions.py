"""Which version of a model answers: the current one, a named one, a canary, a shadow; a pin leaves no gap."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
import redis

from cluster import settings
from cluster.bundles.content import Content
from cluster.gateway.board import choose
from cluster.gateway.server import Running
from cluster.names import Target
from cluster.services import messages
from cluster.services.messages import Answer, Request
from cluster.services.tokens import Tokens
from cluster.stores import Stores
from tests.kit.asking import Asking, error_of
from tests.kit.played_replica import Answering, PlayedReplica, enter
from tests.kit.programs import admin
from tests.kit.waiting import wait_until


@pytest.fixture
def client(broker: str) -> Iterator[redis.Redis]:
    with admin(broker) as client:
        client.flushdb()
        yield client


@pytest.fixture
def asking(broker: str, client: redis.Redis) -> Iterator[Asking]:
    running = Running(settings.load(broker_url=broker), port=0)
    with running as gateway, Asking(gateway.url, Tokens(client).new("tests")) as asking:
        yield asking


@pytest.fixture
def stores(broker: str, client: redis.Redis) -> Stores:
    """With versions 1 to 3 of the model "office"; 1 is pinned."""
    stores = Stores.connect(settings.load(broker_url=broker))
    for tag in (b"one", b"two", b"three"):
        stores.models.bundles.push("office", Content("tagged", {"tag.txt": tag}), "a test")
    stores.models.bundles.pin("office", 1)
    return stores


def saying(text: str) -> Answering:
    def answering(requests: Sequence[Request]) -> list[Answer]:
        return [Answer(one.id, messages.OK, b'{"label":"%s"}' % text.encode()) for one in requests]

    return answering


def said(asking: Asking, model: str = "office", **headers: str) -> tuple[int | None, str]:
    found = asking.predict(model, b"x", **headers)
    assert found.status_code == 200, found.text
    answer = found.json()
    return answer["version"], answer["items"]["item"]["label"]


def until_answered(asking: Asking, model: str = "office") -> None:
    wait_until("answered", lambda: asking.predict(model, b"x").status_code == 200)


@pytest.mark.usefixtures("stores")
def test_a_named_version_answers_besides_the_current_one(asking: Asking, client: redis.Redis) -> None:
    enter(client, "office", model="office", replicas=2)
    one, two = Target("office", 1), Target("office", 2)
    with PlayedReplica(client, one, answering=saying("one")), PlayedReplica(client, two, answering=saying("two")):
        until_answered(asking)
        assert said(asking) == (1, "one")
        until_answered(asking, "office:2")
        assert said(asking, "office:2") == (2, "two")
        assert asking.predict("office:3", b"x").status_code == 503  # it is asked for
        missing = asking.predict("office:9", b"x")
        assert (missing.status_code, error_of(missing)) == (404, "there is no version 9 of office")


def test_a_pin_changes_the_version_once_a_replica_has_it(asking: Asking, client: redis.Redis, stores: Stores) -> None:
    enter(client, "office", model="office", replicas=2)
    with PlayedReplica(client, Target("office", 1), answering=saying("one")):
        until_answered(asking)
        answers: list[tuple[int | None, str]] = []
        ended = threading.Event()

        def load() -> None:
            while not ended.is_set():
                answers.append(said(asking))

        loading = threading.Thread(target=load)
        loading.start()
        stores.models.bundles.pin("office", 2)
        wait_until("asked after the pin", lambda: len(answers) > 20)
        assert set(answers) == {(1, "one")}
        with PlayedReplica(client, Target("office", 2), answering=saying("two")):
            wait_until("changed", lambda: answers[-1] == (2, "two"), 10)
            ended.set()
            loading.join()
    assert set(answers) == {(1, "one"), (2, "two")}
    assert answers == sorted(answers)


@pytest.mark.usefixtures("stores")
def test_a_canary_gets_its_share_and_keeps_its_keys(asking: Asking, client: redis.Redis) -> None:
    enter(client, "office", model="office", replicas=2, canary={2: 0.25})
    one, two = Target("office", 1), Target("office", 2)
    with PlayedReplica(client, one, answering=saying("one")), PlayedReplica(client, two, answering=saying("two")):
        until_answered(asking)
        by_key = {n: said(asking, **{"X-Cluster-Key": f"person-{n}"})[0] for n in range(200)}
        assert 25 <= list(by_key.values()).count(2) <= 75
        assert all(said(asking, **{"X-Cluster-Key": f"person-{n}"})[0] == by_key[n] for n in range(20))


@pytest.mark.usefixtures("stores")
def test_a_shadow_is_compared_and_delays_nobody(asking: Asking, client: redis.Redis) -> None:
    enter(client, "office", model="office", replicas=2, shadow=3)
    one, three = Target("office", 1), Target("office", 3)
    silent = threading.Event()

    def answering(requests: Sequence[Request]) -> Sequence[Answer]:
        return [] if silent.is_set() else saying("three")(requests)

    with PlayedReplica(client, one, answering=saying("one")), PlayedReplica(client, three, answering=answering):
        until_answered(asking)
        wait_until("compared", lambda: said(asking) == (1, "one") and 'result="different"' in metrics(asking))
        silent.set()
        assert said(asking) == (1, "one")


def metrics(asking: Asking) -> str:
    return asking.http.get("/metrics").text


@pytest.mark.parametrize(
    ("wanted", "ready", "before", "chosen"),
    [
        (2, {1: 1, 2: 1}, 1, 2), (2, {1: 1}, 1, 1), (2, {}, 1, 2), (2, {1: 2, 4: 1}, None, 1),
        (2, {9: 3, 1: 1}, None, 1),
        (2, {9: 1}, None, 9), (None, {}, None, None), (None, {None: 1}, None, None),
    ],
)  # fmt: skip
def test_requests_go_on_to_the_version_that_is_ready(
    wanted: int | None, ready: dict[int | None, int], before: int | None, chosen: int | None
) -> None:
    assert choose(wanted, ready, before, {9}) == chosen
