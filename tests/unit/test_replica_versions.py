"""Which versions a replica serves while others are wanted, without Redis and without models."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cluster import settings
from cluster.services.desired import Service
from cluster.worker import batches, replica
from cluster.worker.replica import Order, Served, Start


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """Of a service whose old versions go at once; the version 9 cannot be loaded."""

    def loaded(self: Served, ref: Any) -> Any:
        if ref.version == 9:
            raise ValueError("it is broken")
        return ref

    monkeypatch.setattr(Served, "_loaded", loaded)
    monkeypatch.setattr(batches, "warm_up", lambda loaded: 0.001)
    monkeypatch.setattr(replica, "STALE_S", -60.0)
    service = Service(name="office", job="predict", model="office")
    return Served(Start(config={}, service=service, node="a@b", id="1"), cast(Any, None), settings.load())


def test_the_old_version_goes_once_the_new_one_is_loaded(served: Served) -> None:
    served._settle(Order(versions=["office:1"]))
    served._settle(Order(versions=["office:2"]))
    assert list(served.loaded) == ["office:2"]


def test_the_old_version_stays_while_the_new_one_is_fetched(served: Served) -> None:
    served._settle(Order(versions=["office:1", "office:7"]))
    served._settle(Order(versions=["office:7"], has_current=False))
    assert set(served.loaded) == {"office:1", "office:7"}
    served._settle(Order(versions=["office:2", "office:7"]))
    assert set(served.loaded) == {"office:2", "office:7"}


def test_the_old_version_stays_where_the_new_one_cannot_be_loaded(served: Served) -> None:
    served._settle(Order(versions=["office:1", "office:7"]))
    served._settle(Order(versions=["office:9", "office:7"]))
    assert set(served.loaded) == {"office:1", "office:7"}
    assert served.problems == {"office:9": "it is broken"}


def test_other_options_are_loaded_while_the_old_ones_go_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def loaded(self: Served, ref: Any) -> Any:
        made.append(self._service.options)
        if "broken" in self._service.options:
            raise ValueError("no such language")
        return dict(self._service.options)

    monkeypatch.setattr(Served, "_loaded", loaded)
    served._settle(Order(versions=["office:1"], options={"top": 2}))
    served._settle(Order(versions=["office:1"], options={"top": 2}))
    assert made == [{"top": 2}]
    served._settle(Order(versions=["office:1"], options={"broken": 1}))
    assert dict[str, Any](served.loaded) == {"office:1": {"top": 2}}
    assert served.problems == {"office:1": "no such language"}
    served._settle(Order(versions=["office:1"], options={"top": 3}))
    assert dict[str, Any](served.loaded) == {"office:1": {"top": 3}}
    assert not served.problems


def test_a_version_that_could_not_be_loaded_is_tried_again(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served._settle(Order(versions=["office:9"]))
    assert not served.loaded
    assert served.due_s() <= replica.LOAD_AGAIN_S
    monkeypatch.setattr(Served, "_loaded", lambda self, ref: ref)
    served._settle(Order(versions=["office:9"]))
    assert list(served.loaded) == ["office:9"]
    assert (served.problems, served.due_s()) == ({}, 60.0)
