"""Links to runs: whoever has one sees that run alone, for some time, and changes nothing."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import httpx
import pytest
from click.testing import CliRunner, Result

from cluster import errors, keys
from cluster.accounts import secrets
from cluster.cli import web
from cluster.client.run import Belongs
from cluster.roles import Role
from cluster.web import access, app
from cluster.web.routes import Action, View
from tests.integration.test_curve import closed
from tests.kit.page_runs import PageRun, whole
from tests.kit.pages import Page, Visitor
from tests.kit.played_rounds import PlayedRounds
from tests.kit.records import record
from tests.page.test_doors import address, status
from tests.unit.test_page_reports import ENSEMBLE

SEEN = {
    "/runs/{run}", "/runs/{run}/timeline", "/runs/{run}/missing", "/runs/{run}/events", "/runs/{run}/results",
    "/runs/{run}/text", "/runs/{run}/training", "/runs/{run}/curve.csv", "/runs/{run}/download/{format}",
    "/runs/{run}/original/{item:path}", "/runs/{run}/picture/{item:path}", "/api/runs/{run}/live",
}  # fmt: skip
"""What one sees by a link."""


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


def read(page: Page, owner: str = "maria") -> str:
    belongs = Belongs(owner)
    return PageRun(page.web.client.stores, "ocr", {"a.jpg": record("a text")}, belongs=belongs).end().id


def link(visitor: Visitor, run: str, **given: str) -> str:
    """The secret of a new link."""
    made = visitor.ask("POST", f"/api/runs/{run}/links", json=given)
    assert made.status_code == 200, made.text
    return str(made.json()["link"]).partition("/shared#")[2]


def opened(page: Page, secret: str) -> httpx.Client:
    """Somebody who has opened a link."""
    asker = page.nobody()
    answer = asker.post("/shared", json={"secret": secret})
    assert answer.status_code == 200, answer.text
    return asker


def test_a_link_shows_its_run_to_whoever_has_it(page: Page, maria: Visitor) -> None:
    run = read(page)
    secret = link(maria, run)
    for _ in range(2):
        asker = page.nobody()
        assert asker.post("/shared", json={"secret": secret}).json() == {"to": f"/runs/{run}/results"}
        assert asker.get(f"/runs/{run}/text.json", params={"item": "a.jpg"}).status_code == 200
        for shown in (f"/runs/{run}/results", f"/runs/{run}"):
            text = asker.get(shown, headers={"Accept": "text/html"}).text
            assert "shown to you by a link" in text
            assert 'href="/nodes"' not in text
            assert "data-post" not in text
            assert "Share by a link" not in text
        with asker.stream("GET", f"/api/runs/{run}/live") as events:
            assert events.status_code == 200


def test_one_with_a_link_sees_nothing_else(page: Page, maria: Visitor) -> None:
    run, other, free = read(page), read(page), read(page, owner="")
    maria.ask("PUT", f"/api/runs/{other}/share", json={"share": "cluster"})
    asker = opened(page, link(maria, run))
    assert {route.path for route in app.ROUTES if not isinstance(route, Action) and route.by_link} == SEEN
    found = {}
    for route in app.ROUTES:
        method = route.method if isinstance(route, Action) else "GET"
        for known in (run, other, free):
            path = address(route).replace("nothing-here", known)
            found[method, route.path, known] = status(asker, method, f"{path}?item=a.jpg")
    is_open = {(path, known) for (method, path, known), code in found.items() if code != 404}
    assert {known for _, known in is_open} == {run}
    there = {route.path for route in app.ROUTES if isinstance(route, View) and route.path in SEEN}
    assert there - {"/runs/{run}/training"} <= {path for path, _ in is_open} <= SEEN
    assert {code for (method, _, known), code in found.items() if method != "GET" or known != run} == {404}
    for path in ("/runs", "/nodes.json", "/account.json", "/openapi.json", "/there/is/nothing"):
        assert asker.get(path).status_code == 404
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert asker.request(method, f"/runs/{run}/results").status_code == 405


def test_a_browser_keeps_the_links_that_it_has_opened(
    page: Page, maria: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [read(page) for _ in range(3)]
    asker = opened(page, link(maria, runs[0], valid="1 hour"))
    for run in runs[1:]:
        assert asker.post("/shared", json={"secret": link(maria, run)}).status_code == 200
    for run in runs:
        text = asker.get(f"/runs/{run}/results", headers={"Accept": "text/html"}).text
        assert all(f'href="/runs/{one}/results"' in text for one in runs)
    [first] = maria.get(f"/runs/{runs[1]}/links.json")["links"]
    maria.ask("DELETE", f"/api/runs/{runs[1]}/links/{first['id']}")
    assert [asker.get(f"/runs/{run}.json").status_code for run in runs] == [200, 404, 200]
    monkeypatch.setattr(access, "MOST_LINKS", 2)
    assert asker.post("/shared", json={"secret": link(maria, runs[1])}).status_code == 200
    assert [asker.get(f"/runs/{run}.json").status_code for run in runs] == [404, 200, 200]
    assert len(asker.cookies) == 2


class Doors(HTMLParser):
    """The addresses on a page: of links, and where its forms lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attrs if name in ("href", "action") and value}


def shut(asker: httpx.Client, run: str) -> list[tuple[str, str, int]]:
    """From page to page of a run, the doors that are shut: the page, where its door leads, what is answered there."""
    pages = [route.path.replace("{run}", run) for route in app.ROUTES if isinstance(route, View) and route.by_link]
    found, known = [], set(pages)
    left = [("", at) for at in pages]
    while left:
        on, at = left.pop()
        answer = asker.request("HEAD" if "/download/" in at else "GET", at, headers={"Accept": "text/html"})
        if on and answer.status_code in (403, 404):
            found.append((on, at, answer.status_code))
        for to in Doors(answer.text).found if answer.headers["content-type"].startswith("text/html") else ():
            there = answer.url.join(to)
            if there.host == answer.url.host and there.path not in known:
                known.add(there.path)
                left.append((at, there.raw_path.decode()))
    return found


def test_no_page_that_a_link_shows_leads_to_a_closed_door(page: Page, visitors: dict[Role, Visitor]) -> None:
    stores, operator = page.web.client.stores, visitors[Role.OPERATOR]
    upload = page.web.spool.begin("maria")
    for name in ("a.jpg", "b.jpg"):
        upload.put(name, b"x")
    upload.close()
    faces = {"a.jpg": [{"box": [1, 1, 50, 50], "score": 0.8, "label": "kim", "confidence": 0.9}]}
    torn, texts = {"b.jpg": "truncated"}, {"a.jpg": record("a text")}
    first = PageRun(stores, "ocr", texts, torn, belongs=Belongs("maria", upload=upload.id)).end().id
    follows = Belongs("maria", share="cluster", follows=first)
    trained = PlayedRounds(stores, job="train")
    closed(trained, 0, last=0)
    stores.ledger.reports.enter(trained.run, ENSEMBLE)
    others = [
        PageRun(stores, "ocr", {"b.jpg": record("b")}, {"c.jpg": "truncated"}, belongs=follows),
        PageRun(stores, "faces", faces, options={"describe": True}),
        PageRun(stores, "faces", faces, options={"describe": True, "model": "kim:1"}),
        PageRun(stores, "onnx", {"owl.jpg": [{"label": "owl", "confidence": 0.5}]}),
    ]
    runs = [first, *(run.end().id for run in others), trained.run]
    assert [whole(operator, run)["problem"] for run in runs] == [""] * len(runs)
    assert [shut(opened(page, link(operator, run)), run) for run in runs] == [[]] * len(runs)


def test_a_user_with_a_link_stays_who_they_are(page: Page, maria: Visitor) -> None:
    run, other = read(page), page.visitor(Role.VIEWER, "otto")
    assert other.ask("GET", f"/runs/{run}/results.json").status_code == 404
    assert other.ask("POST", "/shared", json={"secret": link(maria, run)}).status_code == 200
    assert other.get("/account.json")["name"] == "otto"
    assert other.get(f"/runs/{run}/results.json")["may_change"] is False
    assert other.ask("GET", f"/runs/{run}/links.json").status_code == 403
    assert other.ask("GET", f"/runs/{read(page)}/results.json").status_code == 404


def test_the_owner_lists_and_ends_links(page: Page, maria: Visitor) -> None:
    run = read(page)
    asker, secret = opened(page, link(maria, run, valid="1 hour")), link(maria, run)
    with asker.stream("GET", f"/runs/{run}/results.json") as answer:
        assert answer.status_code == 200
    later, sooner = maria.get(f"/runs/{run}/links.json")["links"]
    assert (sooner["by"], sooner["until"] < later["until"]) == ("maria", True)
    assert secret not in maria.html(f"/runs/{run}/links")
    assert maria.ask("DELETE", f"/api/runs/{run}/links/{sooner['id']}").status_code == 204
    refused = asker.get(f"/runs/{run}/results", headers={"Accept": "text/html"})
    assert refused.status_code == 401
    assert "this link has ended: ask the one who has sent it" in refused.text
    assert "cluster web" not in refused.text
    assert 'class="home" href="/shared"' in refused.text
    assert [one["id"] for one in maria.get(f"/runs/{run}/links.json")["links"]] == [later["id"]]
    assert opened(page, secret).get(f"/runs/{run}.json").status_code == 200


def test_the_command_line_makes_lists_and_ends_links(page: Page, maria: Visitor, broker: str) -> None:
    run, accounts = read(page), page.web.accounts

    def told(*words: str) -> Result:
        return CliRunner().invoke(web.command, ["--broker", broker, "run-link", *words])

    assert "no page of this cluster runs" in str(told("new", run).exception)
    accounts.tell_page(page.url)
    made = json.loads(told("new", run, "--hours", "2", "--json").stdout)
    assert (made["run"], made["expires_in_s"]) == (run, 7200)
    asker = opened(page, made["link"].removeprefix(f"{page.url}/shared#"))
    assert asker.get(f"/runs/{run}.json").status_code == 200
    [listed] = json.loads(told("list", run, "--json").stdout)
    [shown] = maria.get(f"/runs/{run}/links.json")["links"]
    assert (listed["id"], listed["by"]) == (shown["id"], shown["by"])
    assert listed["id"] in told("list", run).stdout
    commands = [
        f"cluster web run-link {how}" for how in (f"new {run} --hours 24", f"list {run}", f"end {run} {listed['id']}")
    ]
    html = maria.html(f"/runs/{run}/links")
    assert all(f"<code>{command}</code>" in html for command in commands)
    assert told("end", run, listed["id"]).exit_code == 0
    assert asker.get(f"/runs/{run}.json").status_code == 401
    assert "no link to" in str(told("end", run, listed["id"]).exception)
    assert told("list", run).stdout == ""
    for how in (["new"], ["list"], ["end"]):
        unknown = told(*how, "ocr-00000000", *(["x"] if how == ["end"] else []))
        assert isinstance(unknown.exception, errors.UnknownRun)
    assert told("new", run, "--hours", "169").exit_code == 2


def test_only_those_who_may_change_a_run_share_it(page: Page, maria: Visitor, visitors: dict[Role, Visitor]) -> None:
    run = read(page)
    secret = link(visitors[Role.OPERATOR], run)
    assert opened(page, secret).get(f"/runs/{run}.json").status_code == 200
    stranger = visitors[Role.SUBMITTER]
    assert stranger.ask("POST", f"/api/runs/{run}/links", json={}).status_code == 404
    maria.ask("PUT", f"/api/runs/{run}/share", json={"share": "cluster"})
    for method, path in (("GET", f"/runs/{run}/links.json"), ("POST", f"/api/runs/{run}/links")):
        assert stranger.ask(method, path, json={}).status_code == 403
    assert maria.ask("POST", f"/api/runs/{run}/links", json={"valid": "1 year"}).status_code == 422


def test_a_link_ends_by_itself_and_its_secret_is_not_kept(page: Page, maria: Visitor) -> None:
    run, redis = read(page), page.web.client.stores.redis
    secret = link(maria, run)
    asker = opened(page, secret)
    key = keys.run_link(secrets.digest(secret))
    assert 24 * 3600 - 60 < redis.pttl(key) / 1000 <= 24 * 3600
    assert secret not in str(redis.get(key))
    redis.pexpire(key, 0)
    assert asker.get(f"/runs/{run}/results.json").status_code == 401
    assert page.nobody().post("/shared", json={"secret": secret}).status_code == 410
    assert maria.get(f"/runs/{run}/links.json")["links"] == []


def test_a_link_ends_with_its_run_and_with_its_maker(page: Page, maria: Visitor) -> None:
    run, leaver = read(page), page.visitor(Role.OPERATOR, "leaver")
    asker = opened(page, link(leaver, run))
    page.web.accounts.remove("leaver")
    assert asker.get(f"/runs/{run}.json").status_code == 401
    asker = opened(page, link(maria, run))
    assert maria.ask("POST", f"/api/runs/{run}/forget").status_code == 200
    assert asker.get(f"/runs/{run}.json").status_code == 401
    assert page.web.client.stores.redis.exists(keys.run_links(run)) == 0


def test_a_run_takes_only_so_many_links(page: Page, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.accounts.run_links.MOST_LINKS", 1)
    run = read(page)
    link(maria, run)
    refused = maria.ask("POST", f"/api/runs/{run}/links", json={})
    assert (refused.status_code, "end one first" in refused.json()["detail"]) == (422, True)


def test_the_cookie_of_a_link_is_of_this_page_alone_and_ends_with_it(page: Page, maria: Visitor) -> None:
    secret = link(maria, read(page), valid="1 hour")
    answer = page.nobody().post("/shared", json={"secret": secret})
    told = answer.headers["set-cookie"]
    assert all(word in told for word in ("cluster-run-", "HttpOnly", "SameSite=strict", "Path=/", "Max-Age=3600"))
    assert page.nobody().post("/shared", json={"secret": secret}, headers={"Sec-Fetch-Site": "none"}).status_code == 403
