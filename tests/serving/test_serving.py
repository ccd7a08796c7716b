"""Replicas on real nodes answer what a gateway sends; each answer is the job's own for that item."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
from click.testing import CliRunner

from cluster import catalog, keys, redis_client
from cluster.bundles.content import Content, read_folder
from cluster.cli import models
from cluster.client import source
from cluster.nodes import wanted
from cluster.redis_rows import WantedRow
from cluster.services import messages
from cluster.services.desired import Service, Services
from cluster.services.messages import Request, Shape
from cluster.services.replicas import Replica, Replicas
from cluster.stores import Stores
from tests.kit import inputs, onnx_models
from tests.kit.played_gateway import PlayedGateway
from tests.kit.programs import RedisServer, Worker
from tests.kit.waiting import wait_until

FAST = {"CLUSTER_SLOTS": "2"}
Ready = Callable[..., list[Replica]]


@pytest.fixture(scope="module")
def redis_url(broker: str) -> str:
    """One of its own: the services here are not for other tests' nodes."""
    return broker


@pytest.fixture(scope="module")
def node(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("one")
    with Worker("one", redis_url, folder, CLUSTER_CACHE_DIR=str(folder / "cache"), **FAST) as worker:
        yield worker


@pytest.fixture
def gateway(stores: Stores) -> Iterator[PlayedGateway]:
    with PlayedGateway(stores.redis) as played:
        yield played


@pytest.fixture
def ready(stores: Stores) -> Iterator[Ready]:
    """Enter a service, and wait for replicas that are ready; all services are gone afterwards."""
    services, replicas = Services(stores.redis), Replicas(stores.redis)

    def enter(service: Service, *targets: str, count: int = 1, timeout_s: float = 30) -> list[Replica]:
        services.put(service)

        def found() -> list[Replica]:
            there = replicas.read([service.name])[service.name]
            return there if sum(set(targets) <= set(one.ready) for one in there) == count == len(there) else []

        return wait_until(f"{count} serve {targets}", found, timeout_s)

    yield enter
    for service in services.all():
        services.remove(service.name)


def unused() -> str:
    return f"s-{uuid.uuid4().hex[:8]}"


def pushed(stores: Stores, name: str, tag: str) -> str:
    return stores.models.bundles.push(name, Content("tagged", {"tag.txt": tag.encode()}), "a test").manifest.reference


def values(answers: list[messages.Answer]) -> list[object]:
    return [orjson.loads(answer.value) for answer in answers if isinstance(answer.value, bytes) and answer.ok]


def test_texts_are_those_of_a_run_on_this_machine(
    node: Worker, ready: Ready, gateway: PlayedGateway, tmp_path: Path
) -> None:
    items = {path.name: path.read_bytes() for path in sorted(inputs.small("ocr", tmp_path).rglob("*.png"))}
    ready(Service(name="texts", job="ocr"), "texts")
    [*texts, bad] = gateway.ask("texts", *items.items(), ("bad.png", b"no picture"))
    assert dict(zip(items, values(texts), strict=True)) == catalog.OCR.run_locally(source.read(items))
    assert (bad.status, "not a picture" in bad.problem) == (messages.UNREADABLE, True)


def test_labels_are_those_of_a_run_on_this_machine(
    redis_url: str, node: Worker, ready: Ready, gateway: PlayedGateway, stores: Stores, tmp_path: Path
) -> None:
    onnx_models.small(tmp_path / "pictures")
    model = onnx_models.write(tmp_path / "model")
    items = {path.name: path.read_bytes() for path in sorted((tmp_path / "pictures").rglob("*.png"))}
    stores.models.bundles.push("colours", read_folder(Path(model), "onnx", ()), "a test")
    ready(Service(name="colours", job="onnx", model="colours", options={"top": 2}), "colours:1")
    answers = gateway.ask("colours:1", *items.items())
    assert [answer.version for answer in answers] == [1] * len(items)
    assert dict(zip(items, values(answers), strict=True)) == catalog.ONNX.run_locally(
        source.read(items), model=model, top=2
    )
    row = "onnx@" + str(stores.models.manifest("colours:1").reference)
    assert wanted.read(stores)[row] == [WantedRow.of_service("colours")]
    arguments = ["remove", "colours:1", "--broker", redis_url]
    refused = CliRunner().invoke(models.command, arguments)
    assert "colours:1 is in use by the service colours; --force removes it all the same" in str(refused.exception)
    assert "failed" not in str(refused.exception)


def test_tensors_of_many_requests_are_answered_row_by_row(
    node: Worker, ready: Ready, gateway: PlayedGateway, stores: Stores, tmp_path: Path
) -> None:
    np = pytest.importorskip("numpy")
    model = onnx_models.write(tmp_path / "model")
    stores.models.bundles.push("nets", read_folder(Path(model), "onnx", ()), "a test")
    ready(Service(name="nets", job="onnx", model="nets"), "nets:1")
    arrays = [np.random.default_rng(seed).random((1 + seed % 3, 3, 6, 8), np.float32) for seed in range(40)]
    requests = [tensor(array) for array in arrays]
    answers = gateway.ask("nets:1", *requests, tensor(np.zeros((1, 5), np.float32)))
    for array, answer in zip(arrays, answers, strict=False):
        [logits] = answer.value
        assert isinstance(logits, messages.Tensor)
        given = np.frombuffer(logits.data, logits.dtype).reshape(logits.shape)
        expected = array.mean((2, 3)) @ np.array(onnx_models.WEIGHTS).T + onnx_models.BIAS
        assert np.allclose(given, expected, atol=1e-4)
    assert (answers[-1].status, "(3, 6, 8)" in answers[-1].problem) == (messages.UNREADABLE, True)


def tensor(array: Any, name: str = "picture") -> Request:
    return Request(0, "", 0, "tensor", "", array.tobytes(), (Shape(name, str(array.dtype), array.shape),))


def test_one_bad_item_of_a_batch_does_not_hurt_the_others(node: Worker, ready: Ready, gateway: PlayedGateway) -> None:
    ready(Service(name="lengths", job="measure"), "lengths")
    same_name = [("it", b"12345"), ("it", b"fail always"), ("it", b"refuse"), ("it", b"123"), ("large", bytes(400_000))]
    answers = gateway.ask("lengths", *same_name)
    assert [answer.status for answer in answers] == [200, messages.FAILED, messages.UNREADABLE, 200, 200]
    assert values(answers) == ["5", "3", "400000"]
    assert "asked to fail always" in answers[1].problem
    assert answers[2].problem == "asked to refuse"


def test_what_is_past_its_deadline_is_dropped(
    node: Worker, ready: Ready, gateway: PlayedGateway, stores: Stores, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    ready(Service(name="slow", job="measure", options={"seconds": 0.6, "trace": str(trace)}), "slow")
    [first] = gateway.send("slow", ("first", b""))
    wait_until("it is taken", lambda: not stores.redis.exists(keys.requests("slow")))
    gateway.send("slow", ("late", b""), deadline_s=0.2)
    [last] = gateway.send("slow", ("last", b""))
    stores.redis.rpush(keys.requests("slow"), b"no message")
    gateway.wait([first, last])
    assert [line.split()[0] for line in trace.read_text().splitlines()] == ["first", "last"]
    wait_until("the odd message is logged", lambda: "a request for slow is dropped" in node.text())


def test_what_is_sent_again_while_it_is_done_is_done_once(
    node: Worker, ready: Ready, stores: Stores, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    ready(Service(name="once-each", job="measure", options={"seconds": 0.4, "trace": str(trace)}), "once-each")
    with PlayedGateway(stores.redis, resend_s=0.1) as gateway:
        [first] = gateway.send("once-each", ("first", b""))
        gateway.wait([first])
        assert gateway.sent_again == 1
        gateway.ask("once-each", ("last", b""))
    assert [line.split()[0] for line in trace.read_text().splitlines()] == ["first", "last"]


def test_a_replica_that_is_killed_loses_no_request(
    node: Worker, ready: Ready, gateway: PlayedGateway, stores: Stores
) -> None:
    first, second = ready(Service(name="pair", job="measure", replicas=2), "pair", count=2)
    sent: list[int] = []
    killed_at = 0.0
    while len(sent) < 5000:
        sent += gateway.send("pair", *[("it", b"x" * 7)] * 20)
        if len(sent) == 2000:
            os.kill(first.pid, signal.SIGKILL)
            killed_at = time.monotonic()
        gateway.look()
    gateway.wait(sent)
    assert {gateway.answers[id_].value for id_ in sent} == {b'"7"'}
    replicas = Replicas(stores.redis)
    there = wait_until(
        "another takes its place", lambda: [one for one in replicas.read(["pair"])["pair"] if one.ready][1:]
    )
    assert time.monotonic() - killed_at < 10
    assert first.id not in [one.id for one in (second, *there)]


def test_a_pinned_version_is_served_soon_while_the_old_one_goes_on(
    node: Worker, ready: Ready, gateway: PlayedGateway, stores: Stores
) -> None:
    name = unused()
    for tag in ("red", "blue"):
        pushed(stores, name, tag)
    stores.models.bundles.pin(name, 1)
    ready(Service(name=name, job="tagged", model=name, options={"seconds": 0.0}), f"{name}:1")
    stores.models.bundles.pin(name, 2)
    began = time.monotonic()
    said = []
    while f"{name}:2" not in Replicas(stores.redis).read([name])[name][0].ready:
        said += values(gateway.ask(f"{name}:1", ("it", b"")))
        assert time.monotonic() - began < 20
    took_s = time.monotonic() - began
    assert set(said) <= {"red of "}
    assert values(gateway.ask(f"{name}:2", ("it", b""))) == ["blue of "]
    assert values(gateway.ask(f"{name}:1", ("it", b""))) == ["red of "]  # still, for what is on its way
    print(f"{took_s:.2f} s from the pin to the version")
    assert took_s < 10  # on a busy machine; about 1 s on a calm one


def test_a_service_is_scaled_and_ends(node: Worker, ready: Ready, stores: Stores) -> None:
    service = Service(name="some", job="measure")
    [first] = ready(service, "some")
    both = ready(service.model_copy(update={"replicas": 2}), "some", count=2)
    assert both[0].id == first.id
    ready(service, "some", count=1)
    Services(stores.redis).remove("some")
    wait_until("its processes have ended", lambda: not any(psutil.pid_exists(one.pid) for one in both))
    assert not stores.redis.exists(keys.leases("some"), keys.replicas("some"))


def test_a_replica_that_ends_at_once_is_tried_again_and_told_of(node: Worker, ready: Ready, stores: Stores) -> None:
    services, replicas = Services(stores.redis), Replicas(stores.redis)

    def told(service: str, why: str) -> bool:
        return why in str(replicas.problems(service))

    services.put(Service(name="gone", job="tagged", model="no-such-model"))
    services.put(Service(name="unknown", job="no-such-job"))
    services.put(Service(name="odd", job="measure", options={"no_such_option": 1}))
    for name, why in {"gone": "no model", "unknown": "no job", "odd": "no option"}.items():
        wait_until(f"{name} is told of", partial(told, name, why))
    pushed(stores, "no-such-model", "red")
    ready(Service(name="gone", job="tagged", model="no-such-model", options={"seconds": 0.0}), "gone:1")


def test_replicas_of_a_worker_that_is_killed_live_on_elsewhere(
    redis_url: str, stores: Stores, ready: Ready, gateway: PlayedGateway, node: Worker, tmp_path: Path
) -> None:
    with Worker("two", redis_url, tmp_path, CLUSTER_CACHE_DIR=str(tmp_path / "cache"), **FAST) as two:
        there = ready(Service(name="moved", job="measure", replicas=2), "moved", count=2)
        [mine] = [one for one in there if one.node == "two@test"]  # each node has one
        sent = gateway.send("moved", *[("it", b"x")] * 100)
        os.kill(two.process.pid, signal.SIGKILL)  # its main process alone
        killed_at = time.monotonic()
        wait_until("its replica has died with it", lambda: not psutil.pid_exists(mine.pid), 5)

        def moved() -> list[Replica]:
            found = [one for one in Replicas(stores.redis).read(["moved"])["moved"] if one.ready]
            return found if len(found) == 2 and {one.node for one in found} == {"one@test"} else []

        wait_until("both are on the other node", moved)
        print(f"{time.monotonic() - killed_at:.2f} s from the death to the replica elsewhere")
        gateway.wait(sent)


def test_a_replica_leaves_a_machine_in_use_when_another_lives_elsewhere(
    redis_url: str, stores: Stores, ready: Ready, tmp_path: Path
) -> None:
    in_use = {"CLUSTER_IN_USE_CORES": "0", "CLUSTER_SLOTS_IN_USE": "1", "CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    with RedisServer(tmp_path / "redis") as server, Worker("used", server.url, tmp_path, **(FAST | in_use)):
        client = redis_client.connect(server.url)
        services, replicas = Services(client), Replicas(client)

        def nodes() -> list[str]:
            return [one.node for one in replicas.read(["kind"])["kind"] if one.ready]

        services.put(Service(name="kind", job="measure"))
        wait_until("it serves although it is in use", lambda: nodes() == ["used@test"])
        free = {"CLUSTER_CACHE_DIR": str(tmp_path / "other")}
        with Worker("free", server.url, tmp_path / "free", **(FAST | free)):
            services.scale("kind", 2)
            wait_until("both are on the free one", lambda: nodes() == ["free@test"] * 2)


def test_replicas_wait_for_a_redis_that_is_away_and_go_on(tmp_path: Path) -> None:
    cache = {"CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    with (
        RedisServer(tmp_path / "redis", "--appendonly", "yes") as server,
        Worker("patient", server.url, tmp_path, **FAST, **cache) as worker,
    ):
        client = redis_client.connect(server.url)
        replicas = Replicas(client)
        Services(client).put(Service(name="kept", job="measure"))
        [mine] = wait_until("it serves", lambda: [one for one in replicas.read(["kept"])["kept"] if one.ready])
        server.kill()
        wait_until("it is said", lambda: "replica of kept: Redis at" in worker.text())
        server.start()
        with PlayedGateway(client) as gateway:
            assert values(gateway.ask("kept", ("it", b"four"))) == ["4"]
        wait_until("it has its lease", lambda: [one.id for one in replicas.read(["kept"])["kept"]] == [mine.id])


def test_a_worker_that_is_stopped_lets_its_replicas_answer(tmp_path: Path) -> None:
    cache = {"CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    with RedisServer(tmp_path / "redis") as server, Worker("leaving", server.url, tmp_path, **FAST, **cache) as worker:
        client = redis_client.connect(server.url)
        Services(client).put(Service(name="last", job="measure", options={"seconds": 0.5}))
        read = partial(Replicas(client).read, ["last"])
        [mine] = wait_until("it serves", lambda: [one for one in read()["last"] if one.ready])
        with PlayedGateway(client, resend_s=60) as gateway:
            sent = gateway.send("last", ("it", b"four"))
            wait_until("it is taken", lambda: not client.exists(keys.requests("last")))
            worker.process.terminate()
            gateway.wait(sent)
            assert values([gateway.answers[id_] for id_ in sent]) == ["4"]
        wait_until("it has ended", lambda: not psutil.pid_exists(mine.pid))
        assert not read()["last"]
        assert worker.process.wait(30) == 0
