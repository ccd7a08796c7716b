"""The pages of the nodes: who sees which buttons, and nodes that pause, stop and are killed while one looks."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster import redis_client
from cluster.nodes.registry import SILENT_S, Registry
from cluster.roles import Role
from tests.kit.nodes import a_report
from tests.kit.page_runs import PageRun
from tests.kit.pages import Page, Visitor
from tests.kit.programs import Worker
from tests.kit.waiting import wait_until

EVIL = '<img src=x onerror=alert(1)>"@\u202ehost'
KILLED_S = 5.0
WISHES = ("pause", "go-on", "stop")


@pytest.fixture(scope="module")
def evil(page: Page, broker: str) -> str:
    """A node that has told the worst of itself, and was not heard of again."""
    report = a_report(jobs=["ocr", EVIL], missing={"faces": EVIL}, held_back=EVIL, slots_allowed=0)
    Registry(redis_client.connect(broker)).heartbeat(EVIL, "evil", "here", report)
    return EVIL


@contextmanager
def heard(visitor: Visitor, path: str = "/api/nodes/live") -> Iterator[Iterator[dict[str, Any]]]:
    """What a live page is told, by default that of the nodes."""
    with visitor.asker.stream("GET", path) as answer:
        assert answer.status_code == 200
        yield (json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: "))


def state_within(events: Iterator[dict[str, Any]], node: str, state: str, timeout_s: float = 10) -> float:
    """How many seconds until a node's row says so."""
    began = time.monotonic()
    for event in events:
        if event["rows"].get(node, {}).get("state") == state:
            return time.monotonic() - began
        assert time.monotonic() - began < timeout_s, f"{node} is not {state}: {event}"
    raise AssertionError("the events have ended")


def test_no_nodes_yet_is_a_sentence(admin: Visitor) -> None:
    assert 'No nodes yet: <a href="/nodes/join">join a machine</a>.' in admin.html("/nodes")
    assert admin.get("/nodes.json") == {"nodes": []}


def test_a_node_that_tells_the_worst_of_itself_is_shown_as_text(evil: str, admin: Visitor) -> None:
    for path in ("/nodes", f"/nodes/{evil}"):
        text = admin.html(path)
        assert "<img" not in text
        assert "&lt;img src=x onerror=alert(1)&gt;" in text
        assert "\u202e" not in re.sub(r'data-name="[^"]*"', "", text)


def test_only_operators_see_buttons_and_may_use_them(evil: str, visitors: dict[Role, Visitor]) -> None:
    for role, visitor in visitors.items():
        may = role >= Role.OPERATOR
        for path in ("/nodes", f"/nodes/{evil}"):
            assert ("data-wish" in visitor.html(path)) == may, (role, path)
        for wish in WISHES:
            answer = visitor.ask("POST", f"/api/nodes/no%40such/{wish}")
            assert answer.status_code == (404 if may else 403), (role, wish)


def test_a_node_that_is_not_there_is_told_by_its_name(admin: Visitor) -> None:
    answer = admin.ask("GET", "/nodes/no@such.json")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "there is no node 'no@such' here now: /nodes lists those that are"


def test_a_node_is_seen_to_join_pause_go_on_and_be_killed(
    page: Page, visitors: dict[Role, Visitor], broker: str, tmp_path: Path
) -> None:
    """The goal is 2 s from the kill to the pages of the nodes and of a run; more is for a machine that is busy."""
    viewer, operator = visitors[Role.VIEWER], visitors[Role.OPERATOR]
    run = PageRun(page.web.client.stores, "wordcount", {"a.txt": 1}).id
    with heard(viewer) as events, heard(viewer, f"/api/runs/{run}/live") as of_run:
        with Worker("a", broker, tmp_path, "-c", "1", "-Q", "wordcount") as a:
            state_within(events, "a@test", "online")
            assert operator.ask("POST", "/api/nodes/a%40test/pause").json() == {"name": "a@test", "has_answered": True}
            state_within(events, "a@test", "paused")
            [found] = [row for row in viewer.get("/nodes.json")["nodes"] if row["node"]["name"] == "a@test"]
            assert (found["state"], found["why"], found["node"]["slots_allowed"]) == ("paused", "by operator", 0)
            assert operator.ask("POST", "/api/nodes/a%40test/go-on").json()["has_answered"]
            state_within(events, "a@test", "online")
            killed_s = time.monotonic()
            a.kill()
        assert state_within(events, "a@test", "silent") < SILENT_S - 0.5, "its connection tells, not its silence"
        told = next(why for event in of_run if "silent" in (why := event["figures"]["held"].get("a@test", "")))
        assert (time.monotonic() - killed_s < KILLED_S, told.partition(" ")[0]) == (True, "silent:")
        with Worker("b", broker, tmp_path, "-c", "1", "-Q", "wordcount") as b:
            state_within(events, "b@test", "online")
            assert operator.ask("POST", "/api/nodes/b%40test/stop").json()["has_answered"]
            state_within(events, "b@test", "gone")
            wait_until("it has ended", lambda: b.process.poll() is not None)
