"""Who may do what: every route by every method, other sites, other hosts, and what each answer says of itself."""

from __future__ import annotations

import asyncio
import inspect
import pathlib
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.routing import Mount
from starlette.routing import Route as Path

from cluster.roles import Role
from cluster.web import access, app, openapi
from cluster.web.context import Web
from cluster.web.failures import MOST_FAILURES, Failures
from cluster.web.routes import Action, Route, Stream, View
from cluster.web.server import Running
from tests.kit.pages import LOOPBACK, Page, Visitor

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
OWN, ANY_TYPE = {"Sec-Fetch-Site": "same-origin"}, {"Content-Type": "application/x-nobody-takes-this"}
ACTIONS = [route for route in app.ROUTES if isinstance(route, Action)]


@pytest.fixture(autouse=True)
def nobody_has_failed(page: Page) -> Iterator[None]:
    yield
    page.web.failures = Failures()


def concrete(path: str) -> str:
    """An address of a route, of something that is not there."""
    return re.sub(r"{[^}]*}", "nothing-here", path)


def address(route: Route) -> str:
    return concrete(f"{route.path}.json" if isinstance(route, View) else route.path)


def status(asker: httpx.Client, method: str, path: str, **headers: str) -> int:
    """What is answered, without waiting for a stream to end."""
    with asker.stream(method, path, headers=headers, content=b"x" if method == "POST" else None) as answer:
        return answer.status_code


async def answered(web: Web, asked: list[tuple[str, str]]) -> list[int]:
    """What the application answers nobody, by method and path, without a server between: there are hundreds."""
    transport = httpx.ASGITransport(app.build(web))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{LOOPBACK}", headers=OWN) as nobody:
        return [(await nobody.request(method, path)).status_code for method, path in asked]


def test_every_route_is_closed_to_nobody_by_every_method(page: Page) -> None:
    nobody, table = page.nobody(), app.build(page.web).routes
    paths = {route.path for route in table if isinstance(route, Path)}
    assert {route.path for route in table if isinstance(route, Mount)} == {"/static"}
    assert paths & set(app.PUBLIC) == {"/enter", "/join", "/shared", "/health"}
    odd = {"/", "/there/is/nothing", "/x/%2e%2e/enter", "/enterx", "//enter"}
    closed = (paths - set(app.PUBLIC)) | odd
    assert len(closed) > 2 * len(app.ROUTES) - len(ACTIONS) - len([r for r in app.ROUTES if isinstance(r, Stream)])
    asked = [(method, concrete(path)) for path in sorted(closed) for method in METHODS]
    found = asyncio.run(answered(page.web, asked))
    assert [(*one, code) for one, code in zip(asked, found, strict=True) if code != 401] == []
    odd |= {"/runs", concrete("/api/runs/{run}/cancel")}
    by_server = [(method, path) for path in sorted(odd) for method in METHODS]
    assert [one for one in by_server if status(nobody, *one) != 401] == []


@pytest.mark.parametrize("role", Role)
def test_every_route_opens_from_its_role_on(role: Role, visitors: dict[Role, Visitor]) -> None:
    """An action of a role that suffices fails for the type of its body, so that nothing is done."""
    wrong = []
    for route in app.ROUTES:
        method = route.method if isinstance(route, Action) else "GET"
        found = status(visitors[role].asker, method, address(route), **ANY_TYPE)
        may = role >= route.role
        if (found == 403) == may or found == 401 or (isinstance(route, Action) and may and found != 415):
            wrong.append((method, route.path, found))
    assert not wrong


def test_the_roles_of_the_table_stand_at_their_routes() -> None:
    least = {(route.method, route.path): route.role for route in ACTIONS}
    assert least["POST", "/api/leave"] == Role.VIEWER
    assert all(
        role >= Role.SUBMITTER for (_, path), role in least.items() if "/leave" not in path and "/account" not in path
    )
    assert all(
        role == Role.ADMIN for (_, path), role in least.items() if path.startswith(("/api/users", "/api/tokens"))
    )
    pages = {route.path: route.role for route in app.ROUTES if isinstance(route, View)}
    assert (pages["/users"], pages["/tokens"]) == (Role.ADMIN, Role.ADMIN)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "anything"])
def test_another_sites_page_can_ask_for_no_action(site: str, admin: Visitor) -> None:
    for route in ACTIONS:
        answer = admin.ask(route.method, address(route), headers={"Sec-Fetch-Site": site, **ANY_TYPE})
        assert (answer.status_code, "another site" in answer.text) == (403, True), route.path


@pytest.mark.parametrize(
    "origin", [None, "null", "", "http://evil.example", "https://{own}", "http://{own}.evil.example"]
)
def test_a_browser_that_says_no_site_must_say_our_origin(origin: str | None, page: Page, admin: Visitor) -> None:
    own = page.url.removeprefix("http://")
    said = {} if origin is None else {"Origin": origin.format(own=own)}
    with httpx.Client(base_url=page.url, cookies=admin.asker.cookies) as asker:
        for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND"):
            assert asker.request(method, "/api/leave", headers={**said, **ANY_TYPE}).status_code == 403, method
        assert asker.post("/api/leave", headers={"Origin": page.url, **ANY_TYPE}).status_code == 415


def test_a_link_is_taken_from_our_own_page_alone(page: Page) -> None:
    secret = page.web.accounts.link(page.visitor(Role.VIEWER).name)
    nobody, sent = page.nobody(), {"secret": secret}
    assert nobody.post("/enter", json=sent, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert nobody.post("/enter", json=sent).status_code == 204


FORMS = {
    "of forms": "application/x-www-form-urlencoded",
    "of text": "text/plain",
    "of files": "multipart/form-data; boundary=x",
    "none": "",
    "of xml": "application/xml",
    "nearly": "application/jsonx",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_body_that_a_form_could_send_is_refused(form: str, admin: Visitor) -> None:
    for route in ACTIONS:
        if route.takes_form and "multipart" in FORMS[form]:
            continue
        answer = admin.ask(route.method, address(route), content=b"x=1", headers={"Content-Type": FORMS[form]})
        assert answer.status_code == 415, route.path


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "[", "", "127.0.0.1@evil.example", "xn--0", "127.1"],
)
def test_a_host_that_was_not_named_is_refused(host: str, page: Page, admin: Visitor) -> None:
    for path in ("/runs", "/enter", "/static/page.js", "/health"):
        assert admin.ask("GET", path, headers={"Host": host}).status_code == 421, path
    assert admin.ask("GET", "/health", headers={"Host": "127.0.0.1:99"}).status_code == 200


def test_every_answer_carries_the_headers_that_keep_browsers_careful(
    page: Page, visitors: dict[Role, Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise ZeroDivisionError("the secret of the implementation")

    monkeypatch.setattr(page.web.accounts, "users", fail)
    admin, viewer, nobody = visitors[Role.ADMIN], visitors[Role.VIEWER], page.nobody()
    answers = [
        (200, admin.ask("GET", "/runs", headers={"Accept": "text/html"})), (200, nobody.get("/enter")),
        (200, nobody.get("/health")), (200, admin.ask("GET", "/static/page.js")), (401, nobody.get("/runs")),
        (403, viewer.ask("GET", "/users")), (404, admin.ask("GET", "/nothing")), (404, nobody.get("/static/nothing")),
        (405, admin.ask("DELETE", "/runs")), (415, admin.ask("POST", "/api/users", content=b"x")),
        (421, admin.ask("GET", "/runs", headers={"Host": "evil"})), (422, admin.ask("POST", "/api/users", json={})),
        (500, admin.ask("GET", "/users.json")), (500, admin.ask("GET", "/users", headers={"Accept": "text/html"})),
    ]  # fmt: skip
    for code, answer in answers:
        assert answer.status_code == code, answer.text
        cached = "no-cache" if answer.url.path == "/static/page.js" else "no-store"
        for name, value in {**access.HEADERS, "Cache-Control": cached}.items():
            assert answer.headers[name] == value, (answer.url, name)
        assert "server" not in answer.headers
        assert "ZeroDivision" not in answer.text
        assert "implementation" not in answer.text
    policy = access.HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_a_token_does_what_its_role_allows_without_a_browser(page: Page) -> None:
    tokens = page.web.client.tokens
    for role in Role:
        secret = tokens.new(f"doors-{role.word}", role)
        with httpx.Client(base_url=page.url, headers={"Authorization": f"Bearer {secret}"}) as asker:
            assert asker.get("/account.json").json()["name"] == f"token:doors-{role.word}"
            assert asker.get("/users.json").status_code == (200 if role is Role.ADMIN else 403)
            assert asker.post("/api/leave", json={}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 204
            assert asker.post("/api/account/leave-everywhere").status_code == 403
            tokens.revoke(f"doors-{role.word}")
            assert asker.get("/runs.json").status_code == 401


@pytest.mark.parametrize("given", ["", "Bearer", "Basic eDp5", "Bearer x y", "x" * 5000, "Bearer " + "x" * 43])
def test_a_wrong_token_is_refused_even_beside_a_good_cookie(given: str, admin: Visitor) -> None:
    if not given:
        assert admin.ask("GET", "/runs.json", headers={"Authorization": given}).status_code == 200
        return
    assert admin.ask("GET", "/runs.json", headers={"Authorization": given}).status_code == 401


@pytest.mark.parametrize("way", ["link", "token"])
def test_an_address_that_tries_ten_secrets_has_to_wait(way: str, page: Page) -> None:
    nobody = page.nobody()

    def attempt(number: int) -> httpx.Response:
        if way == "link":
            return nobody.post("/enter", json={"secret": f"wrong-{number}"})
        return nobody.get("/runs.json", headers={"Authorization": f"Bearer wrong-{number}"})

    assert [attempt(number).status_code for number in range(MOST_FAILURES)] == [401] * MOST_FAILURES
    refused = attempt(MOST_FAILURES)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 61
    link = page.web.accounts.link(page.web.accounts.users()[0].name)
    assert nobody.post("/enter", json={"secret": link}).status_code == 429
    page.web.failures = Failures()
    assert nobody.post("/enter", json={"secret": link}).status_code == 204


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b'{"secret": 1}', b'{"secret": "' + b"x" * 5000 + b'"}', b"\xff"])
def test_a_body_that_holds_no_secret_lets_nobody_in(body: bytes, page: Page) -> None:
    answer = page.nobody().post("/enter", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (401, 413, 422)
    assert "set-cookie" not in answer.headers


def test_the_document_of_the_api_is_valid_and_has_every_route(admin: Visitor) -> None:
    document = admin.get("/openapi.json")
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(document)
    told = {(path, method) for path, methods in document["paths"].items() for method in methods}
    declared = {(openapi._path(route), openapi._method(route)) for route in app.ROUTES}
    assert told == declared
    served = {
        (re.sub(r":\w+}", "}", path.path), method.lower())
        for path in app.build(None).routes if isinstance(path, Path)  # type: ignore[arg-type]
        for method in (path.methods or ()) if method != "HEAD" and path.path not in (*app.PUBLIC, "/")
    }  # fmt: skip
    html = {(re.sub(r":\w+}", "}", route.path), "get") for route in app.ROUTES if isinstance(route, View)}
    assert served - html == told - html


def test_the_document_says_what_is_said_of_fields_in_the_code(admin: Visitor) -> None:
    document = admin.get("/openapi.json")
    models = document["components"]["schemas"]
    whole = "Whether all of the result can be seen; else ask again in a second."
    assert models["Results"]["properties"]["is_whole"]["description"] == whole
    assert models["RunText"]["properties"]["confidence"]["description"] == "0 to 100."  # of the class it inherits from
    query = {one["name"]: one["schema"] for one in document["paths"]["/runs/{run}/results.json"]["get"]["parameters"]}
    assert query["q"]["description"] == "Words to look for."


@pytest.mark.parametrize("path", ["/enter", "/api/users"])
def test_a_body_that_stands_still_is_given_up(
    path: str, page: Page, admin: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "IDLE_BODY_S", 0.3)
    host, port = page.url.removeprefix("http://").split(":")
    head = (
        f"POST {path} HTTP/1.1", f"Host: {host}", "Sec-Fetch-Site: same-origin", "Content-Type: application/json",
        f"Cookie: cluster={admin.asker.cookies['cluster']}", "Content-Length: 9", "Connection: close",
    )  # fmt: skip
    with socket.create_connection((host, int(port)), timeout=20) as plain:
        plain.sendall("\r\n".join((*head, "", "{")).encode())
        answer = plain.makefile("rb").read()
    assert b" 408 " in answer.partition(b"\r\n")[0]


@pytest.mark.parametrize(("proxy", "believed"), [(None, LOOPBACK), ("192.0.2.1", LOOPBACK), (LOOPBACK, "192.0.2.7")])
def test_only_the_proxy_is_believed_where_a_request_comes_from(
    proxy: str | None, believed: str, page: Page, tmp_path: pathlib.Path
) -> None:
    client = page.web.client
    web = Web(client, client.accounts, tmp_path, frozenset({LOOPBACK}))
    page.visitor(Role.VIEWER, "far")
    headers = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    with Running(web, LOOPBACK, 0, proxy=proxy) as running:
        url = f"http://{LOOPBACK}:{running.port}"
        with httpx.Client(base_url=url, headers=headers) as asker:
            assert asker.post("/enter", json={"secret": web.accounts.link("far")}).status_code == 204
    assert web.accounts.sessions("far")[0].address == believed


def test_whether_the_page_is_there_is_told_without_a_thread(page: Page) -> None:
    [health] = [path for path in app.build(page.web).routes if isinstance(path, Path) and path.path == "/health"]
    assert inspect.iscoroutinefunction(health.endpoint)
