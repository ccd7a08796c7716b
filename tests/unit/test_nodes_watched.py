"""What those who watch the nodes on the page are told: what has changed, and all of it from time to time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import redis

from cluster.nodes.registry import Node
from cluster.web import nodes
from cluster.web.channels import Message
from cluster.web.node_history import History
from cluster.web.nodes_seen import NodesSeen
from tests.kit.nodes import a_node


class Played:
    """As much of a page as a reader looks at: its client, which is also itself, gives ``there``."""

    def __init__(self) -> None:
        self.client, self.history = self, History()
        self.nodes_seen = NodesSeen(self)  # type: ignore[arg-type]
        self.there: Sequence[Node] = []
        self.is_away = False

    def nodes(self, *, closely: bool = False) -> Sequence[Node]:
        if self.is_away:
            raise redis.ConnectionError
        return self.there


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(History, "follow", lambda history, client: None)
    return now


def told(message: Message | None) -> Any:
    return message and message.data


def test_watchers_are_told_the_cells_that_have_changed(clock: list[float]) -> None:
    web = Played()
    watched = nodes.Watched(web)  # type: ignore[arg-type]
    web.there = [a_node("a", slots=2), a_node("b")]
    assert told(watched.look())["names"] == ["a", "b"]
    clock[0] += 1
    assert watched.look() is None
    web.there = [a_node("a", slots=2, busy=1), a_node("b")]
    assert watched.look() is None, "it does not look so soon again"
    clock[0] += 1
    found = told(watched.look())
    assert found["rows"] == {"a": {"slots": "1 of 2", "busy": "50"}}
    assert (found["summary"], found["here"], found["slots"]) == ("2 here, 3 slots, 1 at work", 2, 3)
    web.there = [a_node("b")]
    clock[0] += 1
    assert told(watched.look())["names"] == ["b"]
    clock[0] += nodes.WHOLE_S + 1
    assert told(watched.look())["rows"]["b"]["label"] == "b"


def test_watchers_are_told_all_once_redis_is_back(clock: list[float]) -> None:
    web = Played()
    watched = nodes.Watched(web)  # type: ignore[arg-type]
    assert told(watched.look())["names"] == []
    web.is_away = True
    clock[0] += 1
    with pytest.raises(redis.ConnectionError):
        watched.look()
    web.is_away = False
    clock[0] += 1
    assert told(watched.look())["names"] == [], "so that the page knows that it is connected again"
