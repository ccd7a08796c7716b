"""A node's keeper of replicas with a real Redis: when it starts processes, and what it tells of them."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster import names, settings
from cluster.names import ModelRef
from cluster.services import targets
from cluster.services.desired import Service, Services
from cluster.services.replicas import Replicas, Row
from cluster.stores import Stores
from cluster.worker import replica_child, replicas
from cluster.worker.politeness import Allowance
from cluster.worker.replica_child import Child
from cluster.worker.replicas import Keeper, Wish
from tests.kit.waiting import wait_until

WAITS = (sys.executable, "-c", "import sys; sys.stdin.read()")
FAILS = (sys.executable, "-c", "import sys; print('no such library'); sys.exit(3)")


@pytest.fixture
def service(stores: Stores) -> Iterator[str]:
    name = f"s-{uuid.uuid4().hex[:8]}"
    Services(stores.redis).put(Service(name=name, job="measure"))
    yield name
    Services(stores.redis).remove(name)


@pytest.fixture
def admission() -> Any:
    return SimpleNamespace(allowance=Allowance(2), slots=2)


@pytest.fixture
def keeper(stores: Stores, tmp_path: Path, admission: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    """One whose thread does not run: a test calls ``look``."""
    monkeypatch.setattr(replica_child, "COMMAND", WAITS)
    monkeypatch.setattr(replicas, "DELAY_S", 0.0)
    monkeypatch.setattr(replicas, "HELD_BACK_DELAY_S", 0.0)
    provisioner: Any = SimpleNamespace(
        serves=lambda capability: True,
        heard=lambda revision: None,
        served=SimpleNamespace(missing={}),
        expect_trials=lambda jobs: None,
    )
    made = Keeper(stores, settings.load(cache_dir=tmp_path), provisioner)
    monkeypatch.setattr(made._thread, "start", lambda: None)
    made.start("worker@a", admission)
    yield made
    made._ending.set()
    for child in made._children.values():
        child.kill()
        child.reader.join()


def looked(keeper: Keeper, count: int) -> bool:
    keeper.look()
    return keeper.count() == count


def test_as_many_are_started_as_lack_and_no_more_than_slots(keeper: Keeper, stores: Stores, service: str) -> None:
    wait_until("one is started", lambda: looked(keeper, 1))
    keeper.look()
    assert keeper.count() == 1
    Services(stores.redis).scale(service, 5)
    wait_until("both slots have one", lambda: looked(keeper, 2))
    wait_until("why not more is told", lambda: "each of its 2 slots" in told(keeper, stores, service))
    assert keeper.count() == 2


def asked_to_end(keeper: Keeper, child: Child) -> bool:
    keeper.look()
    return child.drains_until is not None


def told(keeper: Keeper, stores: Stores, service: str) -> str:
    keeper.look()
    return Replicas(stores.redis).problems(service).get("worker@a", "")


def test_one_that_ends_at_once_is_told_of_and_started_later_and_later(
    keeper: Keeper, stores: Stores, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_child, "COMMAND", FAILS)
    wait_until("it is told of", lambda: "exit code 3" in told(keeper, stores, service))
    assert "no such library" in told(keeper, stores, service)
    assert not Replicas(stores.redis).read([service])[service]
    first = keeper._failures[service]
    keeper.look()
    assert keeper.count() == 0  # not before the pause
    wait_until("it has failed again", lambda: looked(keeper, 0) and keeper._failures[service].pause_s > first.pause_s)


def test_a_service_that_goes_takes_its_processes_along(keeper: Keeper, stores: Stores, service: str) -> None:
    wait_until("one is started", lambda: looked(keeper, 1))
    Services(stores.redis).remove(service)
    [child] = keeper._children.values()
    wait_until("it is asked to end", lambda: asked_to_end(keeper, child))
    child.kill()
    wait_until("it is forgotten", lambda: looked(keeper, 0))


def test_a_paused_machine_starts_none(keeper: Keeper, stores: Stores, service: str, admission: Any) -> None:
    admission.allowance = Allowance(0, "in use", "other programs use 2.0 cores")
    wait_until("it is told", lambda: told(keeper, stores, service) == "paused: in use")
    assert keeper.count() == 0
    admission.allowance = Allowance(2)
    wait_until("it starts one", lambda: looked(keeper, 1))


def test_a_machine_in_use_gives_way_to_a_ready_replica_elsewhere(
    keeper: Keeper, stores: Stores, service: str, admission: Any
) -> None:
    admission.allowance = Allowance(1, "in use", "other programs use 2.0 cores")
    wait_until("it serves, as nobody else does", lambda: looked(keeper, 1))
    [child] = keeper._children.values()
    Services(stores.redis).scale(service, 2)
    keeper.look()
    assert child.drains_until is None
    other = str(names.Replica.begun(1_700_000_000_000))
    Replicas(stores.redis).take(service, other, Row(node="worker@b", pid=1, ready=[service]))
    wait_until("it leaves", lambda: asked_to_end(keeper, child))
    child.kill()
    wait_until("it is not started again", lambda: looked(keeper, 0))
    assert keeper.count() == 0


def test_a_process_is_told_which_versions_this_node_cannot_serve(
    keeper: Keeper, stores: Stores, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until("one is started", lambda: looked(keeper, 1))
    [child] = keeper._children.values()
    orders: list[Any] = []
    monkeypatch.setattr(child, "_send", orders.append)
    monkeypatch.setattr(Wish, "capability", lambda self, ref: str(ref))
    cast(Any, keeper._provisioner).serves = lambda capability: capability == "office:1"
    wish = Wish(keeper._wishes[service].service, [ModelRef("office", 2), ModelRef("office", 1)])
    keeper._have_serve(child, wish)
    cast(Any, keeper._provisioner).served.missing["office:1"] = "it requires numpy 9"
    cast(Any, keeper._provisioner).serves = lambda capability: capability == "office:2"
    keeper._have_serve(child, wish)
    assert orders == [
        {"versions": ["office:1"], "has_current": False, "options": {}, "problems": {}},
        {
            "versions": ["office:2"],
            "has_current": True,
            "options": {},
            "problems": {f"{service}:1": "it requires numpy 9"},
        },
    ]


def test_a_process_goes_on_while_it_loads_other_options(
    keeper: Keeper, stores: Stores, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until("one is started", lambda: looked(keeper, 1))
    [child] = keeper._children.values()
    orders: list[Any] = []
    monkeypatch.setattr(child, "_send", orders.append)
    wanted = Service(name=service, job="measure", options={"seconds": 0.5})
    Services(stores.redis).put(wanted)
    keeper.look()
    assert orders == [{"versions": [None], "has_current": True, "options": {"seconds": 0.5}, "problems": {}}]
    assert child.drains_until is None
    cast(Any, keeper._provisioner).serves = lambda capability: False
    cast(Any, keeper._provisioner).served.missing["measure"] = "no such language here"
    Services(stores.redis).put(wanted.model_copy(update={"options": {}, "problems": {}}))
    keeper.look()
    assert child.drains_until is not None  # another node may have it


def test_trials_are_expected_where_a_ready_replica_follows_a_model(
    keeper: Keeper, stores: Stores, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[set[str]] = []
    cast(Any, keeper._provisioner).expect_trials = expected.append
    candidate: ModelRef | None = ModelRef.parse("office:2")
    monkeypatch.setattr(targets, "candidate", lambda service, stores: candidate)
    wait_until("one is started", lambda: looked(keeper, 1))
    keeper.look()
    assert expected[-1] == set()  # it is not ready
    [child] = keeper._children.values()
    child.was_ready = True
    keeper.look()
    assert expected[-1] == {"measure"}
    candidate = None  # a version is named: what is pushed is not for it
    keeper._revision = -1
    keeper.look()
    assert expected[-1] == set()
