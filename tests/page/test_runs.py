"""Whose runs one sees and changes on the page, and what is told of them while they go on."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cluster import keys
from cluster.client.run import Belongs
from cluster.roles import Role
from cluster.web import channels, nodes_seen
from cluster.web.watched import Watched
from tests.kit.nodes import a_node
from tests.kit.pages import Page, Visitor
from tests.kit.played_run import Run
from tests.kit.waiting import wait_until


def opened(page: Page, belongs: Belongs | None = None, job: str = "ocr") -> str:
    """A run that nobody works on."""
    run = f"{job}-{secrets.token_hex(4)}"
    page.web.client.stores.ledger.runs.create(run, job, "2", {}, "hub:1", belongs=belongs)
    return run


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


@pytest.fixture(scope="module")
def jan(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "jan")


def test_a_private_run_is_its_owners_and_the_operators(
    page: Page, maria: Visitor, jan: Visitor, visitors: dict[Role, Visitor]
) -> None:
    run = opened(page, Belongs("maria"))
    for visitor in (maria, visitors[Role.OPERATOR]):
        assert visitor.get(f"/runs/{run}.json")["status"]["owner"] == "maria"
    hidden, unknown = (jan.ask("GET", f"/runs/{name}.json") for name in (run, "ocr-00000000"))
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json()["detail"] == unknown.json()["detail"].replace("ocr-00000000", run)
    assert jan.ask("GET", f"/api/runs/{run}/live").status_code == 404
    assert jan.ask("POST", f"/api/runs/{run}/cancel").status_code == 404


def test_a_shared_run_is_seen_and_not_changed_by_others(page: Page, maria: Visitor, jan: Visitor) -> None:
    run = opened(page, Belongs("maria", "cluster"))
    assert jan.get(f"/runs/{run}.json")["status"]["share"] == "cluster"
    refused = jan.ask("POST", f"/api/runs/{run}/cancel")
    assert refused.status_code == 403
    assert "is maria's" in refused.json()["detail"]
    assert maria.ask("POST", f"/api/runs/{run}/cancel").status_code == 204
    assert maria.get(f"/runs/{run}.json")["status"]["error"] == "cancelled by maria"


def test_a_run_of_the_command_line_is_seen_by_all_and_changed_by_operators(
    page: Page, jan: Visitor, visitors: dict[Role, Visitor]
) -> None:
    run = opened(page)
    assert visitors[Role.VIEWER].get(f"/runs/{run}.json")["status"]["owner"] == ""
    assert jan.ask("POST", f"/api/runs/{run}/cancel").status_code == 403
    assert visitors[Role.OPERATOR].ask("POST", f"/api/runs/{run}/cancel").status_code == 204


@pytest.mark.parametrize("name", ["ocr-1:events", "*", "a" * 5000])
def test_what_is_no_name_of_a_run_is_not_found(name: str, maria: Visitor) -> None:
    answer = maria.ask("GET", f"/runs/{name}.json")
    assert answer.status_code == 404
    assert len(answer.text) < 1000


def test_a_run_shows_its_figures_history_and_what_it_lacks(page: Page, maria: Visitor) -> None:
    played = Run(page.web.client.stores, batch_chunks=3, fail="item 1")
    for _ in range(3):
        played.do(0, 1, 2, node="pc")
    data = maria.get(f"/runs/{played.run}.json")
    assert data["missing"]["items"] == [{"item": "item 1", "reason": "RuntimeError: item 1", "node": "worker@pc"}]
    assert [strip["node"] for strip in data["timeline"]["strips"]] == ["worker@pc"]
    assert data["figures"]["missing"] == 0
    assert "given up" in [change["what"] for change in data["changes"]]
    shown = maria.html(f"/runs/{played.run}")
    assert "RuntimeError: item 1" in shown
    assert "worker@pc" in shown
    assert 'data-post="/api' not in shown, "others' runs have no buttons"
    for path in ("missing", "events", "timeline", "timeline?span=0", "missing?reason=RuntimeError: item …"):
        assert "worker@pc" in maria.html(f"/runs/{played.run}/{path}")
    assert "No change is like that" in maria.html(f"/runs/{played.run}/events?q=nothing-like-it")
    assert maria.ask("GET", f"/runs/{played.run}/events.json?after=now").status_code == 422


def test_what_a_run_holds_of_others_is_text_and_no_markup(page: Page, maria: Visitor) -> None:
    run = opened(page, Belongs("maria"))
    evil = "<img src=x onerror=alert(1)>\u202egpj.{{7*7}}"
    stores = page.web.client.stores
    stores.ledger.runs._redis.hset(keys.run(run, "failures"), evil, evil)
    stores.ledger.runs.pause(run, evil)
    for path in (f"/runs/{run}", f"/runs/{run}/missing", f"/runs/{run}/events"):
        shown = maria.html(path)
        assert "<img src=x" not in shown
        assert "&lt;img src=x onerror=alert(1)&gt;\\u202egpj.{{7*7}}" in shown


def test_an_own_run_is_paused_gone_on_with_and_shared(page: Page, maria: Visitor, jan: Visitor) -> None:
    run = opened(page, Belongs("maria"))
    assert maria.ask("POST", f"/api/runs/{run}/pause").status_code == 204
    data = maria.get(f"/runs/{run}.json")
    assert (data["figures"]["state"], data["status"]["paused"]) == ("paused", "by maria")
    assert data["figures"]["waiting"] == "It is paused by maria."
    assert maria.ask("POST", f"/api/runs/{run}/go-on").status_code == 204
    assert maria.get(f"/runs/{run}/events.json")["changes"][-1]["about"] == "maria"
    assert jan.ask("PUT", f"/api/runs/{run}/share", json={"share": "cluster"}).status_code == 404
    assert maria.ask("PUT", f"/api/runs/{run}/share", json={"share": "everybody"}).status_code == 422
    assert maria.ask("PUT", f"/api/runs/{run}/share", json={"share": "cluster"}).status_code == 204
    assert jan.get(f"/runs/{run}.json")["may_change"] is False
    for action in ("pause", "go-on"):
        assert jan.ask("POST", f"/api/runs/{run}/{action}").status_code == 403


def test_own_runs_stand_first_and_lists_are_filtered(page: Page, maria: Visitor, jan: Visitor) -> None:
    own, others, hidden = (
        opened(page, Belongs(*to), "wordcount") for to in (("maria",), ("jan", "cluster"), ("jan",))
    )  # fmt: skip
    lists = {one["who"]: [run["run"] for run in one["runs"]] for one in maria.get("/runs.json")["lists"]}
    assert list(lists) == ["mine", "others"]
    assert lists["mine"][0] == own
    assert lists["others"][0] == others
    [found] = maria.get(f"/runs.json?who=all&job=wordcount&q={hidden}")["lists"]
    assert found["runs"] == []
    [found] = jan.get(f"/runs.json?who=mine&state=running&q={hidden}")["lists"]
    assert [run["run"] for run in found["runs"]] == [hidden]
    assert "No run is like that" in maria.html("/runs?who=mine&state=failed")
    assert maria.ask("GET", "/runs.json?state=odd").status_code == 422


def test_a_run_is_heard_of_while_it_goes_on(page: Page, maria: Visitor) -> None:
    played = Run(page.web.client.stores, batch_chunks=4)
    with maria.asker.stream("GET", f"/api/runs/{played.run}/live", timeout=20) as answer:
        news = told(answer)
        first = next(news)
        assert first["whole"]
        assert first["pieces"] == []
        played.claims([1], "pc")
        at_work = next(one for one in news if one["working"])
        assert (at_work["working"][0]["node"], at_work["working"][0]["about"]) == ("worker@pc", "chunk 1")
        played.do(0, node="office")
        done = next(one for one in news if one["pieces"])
        [piece] = done["pieces"]
        assert (piece["node"], piece["first"], piece["items"]) == ("worker@office", 0, 1)
        assert done["status"]["chunks_settled"] == 1
        assert "first part from" in [change["what"] for change in done["changes"]]
        played.stores.ledger.runs.stop(played.run, "cancelled", "enough")
        assert list(news)[-1]["status"]["state"] == "cancelled"


def test_who_joins_takes_nothing_from_those_who_watch(page: Page) -> None:
    played = Run(page.web.client.stores, batch_chunks=4)
    reader = Watched(page.web.client.run(played.run), page.web)
    reader.first("")
    played.do(0)
    whole: Any = reader.first("").data
    assert len(whole["pieces"]) == 1
    news = reader.look()
    assert news is not None
    told_: Any = news.data
    assert [piece["id"] for piece in told_["pieces"]] == [whole["pieces"][0]["id"]]
    assert reader.look() is None


def test_who_watches_a_run_hears_at_once_that_a_node_has_gone(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    played = Run(page.web.client.stores)
    there = [a_node("pc@test", jobs=[page.web.client.run(played.run).status().requirement])]
    monkeypatch.setattr(page.web, "nodes_seen", nodes_seen.NodesSeen(page.web.client))
    monkeypatch.setattr(page.web.client, "nodes", lambda *, closely: list(there) if closely else [])
    monkeypatch.setattr(nodes_seen, "LOOK_S", 0.0)
    monkeypatch.setattr(nodes_seen, "MOST_SHARE", 1e9)
    reader = Watched(page.web.client.run(played.run), page.web)
    reader.first("")
    reader.look()
    assert reader.look() is None
    there[0] = there[0].model_copy(update={"state": "silent"})
    news: Any = reader.look()
    assert news.data["figures"]["held"]["pc@test"].startswith("silent: last heard")


def test_runs_that_go_on_are_heard_of_in_the_list(page: Page, maria: Visitor, jan: Visitor) -> None:
    run, hidden = opened(page, Belongs("maria")), opened(page, Belongs("jan"))
    with maria.asker.stream("GET", f"/api/runs/live?runs={run},{hidden},ocr-1:x", timeout=20) as answer:
        news = told(answer)
        assert [(row["run"], row["state"]) for row in next(news)] == [(run, "running")]
        page.web.client.run(run).cancel("enough")
        assert [row["state"] for row in list(news)[-1]] == ["cancelled"]


@pytest.mark.parametrize("address", ["/api/runs/live?runs={run}", "/api/runs/{run}/live", "/api/nodes/live"])
def test_who_may_hear_no_more_is_told_no_more(page: Page, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "HEARTBEAT_S", 0.2)
    leaver, run = page.visitor(Role.SUBMITTER, "leaver"), opened(page, Belongs("maria", share="cluster"))
    with leaver.asker.stream("GET", address.format(run=run), timeout=10) as answer:
        lines = answer.iter_lines()
        next(lines)
        page.web.accounts.remove("leaver")
        assert wait_until("the stream ends", lambda: next(lines, None) is None, 10)


def test_a_run_that_is_shared_no_more_is_heard_no_more(
    page: Page, maria: Visitor, jan: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "HEARTBEAT_S", 0.2)
    run = opened(page, Belongs("maria", share="cluster"))
    with (
        maria.asker.stream("GET", f"/api/runs/{run}/live", timeout=10) as hers,
        jan.asker.stream("GET", f"/api/runs/{run}/live", timeout=10) as his,
    ):
        lines = his.iter_lines()
        next(lines)
        page.web.client.run(run).share("private")
        assert wait_until("his stream ends", lambda: next(lines, None) is None, 10)
        assert next(hers.iter_lines()).startswith("data: ")


def told(answer: httpx.Response) -> Iterator[Any]:
    """What the events of a stream hold."""
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
