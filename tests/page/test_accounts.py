"""Users, their roles and sessions: what changes counts from the next request on."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import httpx
import pytest

from cluster import keys
from cluster.accounts import secrets, store
from cluster.client import Client
from cluster.roles import Role
from cluster.web import certificate
from cluster.web.context import Web
from cluster.web.server import Running
from tests.kit.pages import LOOPBACK, Page, Visitor
from tests.kit.programs import find_program


def redis_of(page: Page):  # type: ignore[no-untyped-def]
    return page.web.client.stores.redis


def test_an_admin_adds_a_user_who_enters_by_the_link_and_is_listed(admin: Visitor, page: Page) -> None:
    made = admin.ask("POST", "/api/users", json={"name": "zoe", "role": "viewer"})
    assert made.status_code == 200, made.text
    link = made.json()["link"]
    assert link.startswith(f"{page.url}/enter#")
    entering = page.nobody()
    assert entering.post("/enter", json={"secret": link.partition("#")[2]}).status_code == 204
    assert entering.get("/account.json").json()["role"] == "viewer"
    [zoe] = [user for user in admin.get("/users.json")["users"] if user["name"] == "zoe"]
    assert (zoe["role"], zoe["sessions"]) == ("viewer", 1)
    shown = admin.html("/users")
    assert "cluster web user add" in shown
    assert link not in shown


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"name": "Zoe!"}, "cannot name a user"), ({"name": "x" * 65}, "at most 64"), ({}, "name: Field required"),
        ({"name": "yan", "role": "boss"}, "'boss' is no role"), ({"name": "viewer"}, "there is a user viewer already"),
        ([], "object"),
    ],
)  # fmt: skip
def test_a_user_that_cannot_be_is_told_why(body: object, told: str, admin: Visitor, page: Page) -> None:
    page.visitor(Role.VIEWER)
    answer = admin.ask("POST", "/api/users", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_another_role_counts_from_the_next_request_on(admin: Visitor, page: Page) -> None:
    visitor = page.visitor(Role.ADMIN, "falls")
    assert visitor.ask("GET", "/users.json").status_code == 200
    assert admin.ask("PATCH", "/api/users/falls", json={"role": "viewer"}).status_code == 204
    assert visitor.ask("GET", "/users.json").status_code == 403
    assert visitor.get("/account.json")["role"] == "viewer"
    assert admin.ask("PATCH", "/api/users/falls", json={"role": "king"}).status_code == 422


def test_a_removed_user_is_refused_and_one_of_the_same_name_has_no_old_sessions(admin: Visitor, page: Page) -> None:
    visitor = page.visitor(Role.SUBMITTER, "leaver")
    unused = page.web.accounts.link("leaver")
    assert admin.ask("DELETE", "/api/users/leaver").status_code == 204
    assert visitor.ask("GET", "/runs.json").status_code == 401
    assert admin.ask("DELETE", "/api/users/leaver").status_code == 422
    page.web.accounts.add("leaver", Role.ADMIN)
    assert visitor.ask("GET", "/runs.json").status_code == 401
    assert page.nobody().post("/enter", json={"secret": unused}).status_code == 401


def test_the_last_admin_stays(page: Page) -> None:
    accounts = page.web.accounts
    accounts.add("root", Role.ADMIN)
    for user in accounts.users():
        if user.role == "admin" and user.name != "root":
            accounts.set_role(user.name, Role.VIEWER)
    visitor = page.visitor(Role.ADMIN, "root")
    try:
        for answer in (
            visitor.ask("DELETE", "/api/users/root"), visitor.ask("PATCH", "/api/users/root", json={"role": "viewer"})
        ):  # fmt: skip
            assert answer.status_code == 422
            assert "last admin" in answer.json()["detail"]
    finally:
        accounts.set_role("admin", Role.ADMIN)


def test_a_user_sees_and_ends_sessions_of_other_browsers(page: Page) -> None:
    here, there = page.visitor(Role.VIEWER, "twice"), page.visitor(Role.VIEWER, "twice")
    found = here.get("/account.json")
    assert len(found["sessions"]) == 2
    assert all(one["used_at"] >= one["began_at"] for one in found["sessions"])
    [other] = [one["id"] for one in found["sessions"] if one["id"] != found["this"]]
    assert here.ask("DELETE", f"/api/account/sessions/{other}").status_code == 204
    assert there.ask("GET", "/runs.json").status_code == 401
    assert len(here.get("/account.json")["sessions"]) == 1
    assert "(this one)" in here.html("/account")


def test_nobody_ends_the_session_of_somebody_else_by_its_id(page: Page) -> None:
    mine, other = page.visitor(Role.VIEWER, "mine"), page.visitor(Role.VIEWER, "other")
    id_ = other.get("/account.json")["this"]
    assert mine.ask("DELETE", f"/api/account/sessions/{id_}").status_code == 204
    assert other.ask("GET", "/runs.json").status_code == 200


@pytest.mark.parametrize("way", ["oneself", "an admin"])
def test_logging_out_everywhere_ends_all_sessions_and_unused_links(way: str, admin: Visitor, page: Page) -> None:
    name = f"many-{way[:3].strip()}"
    browsers = [page.visitor(Role.VIEWER, name) for _ in range(3)]
    unused = page.web.accounts.link(name)
    asker, path = (browsers[0], "/api/account") if way == "oneself" else (admin, f"/api/users/{name}")
    assert asker.ask("POST", f"{path}/leave-everywhere").status_code == 204
    assert {browser.ask("GET", "/runs.json").status_code for browser in browsers} == {401}
    assert page.nobody().post("/enter", json={"secret": unused}).status_code == 401
    assert page.visitor(Role.VIEWER, name).ask("GET", "/runs.json").status_code == 200


def test_a_session_has_a_secret_that_no_browser_can_choose(page: Page) -> None:
    page.web.accounts.add("chosen", Role.VIEWER)
    fixed = page.nobody()
    fixed.cookies.set("cluster", "chosen-by-an-attacker", domain=LOOPBACK)
    answer = fixed.post("/enter", json={"secret": page.web.accounts.link("chosen")})
    cookie = answer.headers["set-cookie"]
    assert "chosen-by-an-attacker" not in cookie
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert page.web.accounts.who("chosen-by-an-attacker") is None


def test_a_session_ends_when_it_is_idle_or_old(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = page.visitor(Role.VIEWER, "sleeper")
    session = visitor.asker.cookies["cluster"]
    key = keys.session(secrets.digest(session))
    assert store.IDLE_S - 60 < redis_of(page).pttl(key) / 1000 <= store.IDLE_S
    with monkeypatch.context() as patch:
        patch.setattr(store, "MOST_S", -1)
        assert visitor.ask("GET", "/runs.json").status_code == 401
    assert visitor.ask("GET", "/runs.json").status_code == 200
    redis_of(page).delete(key)
    assert visitor.ask("GET", "/runs.json").status_code == 401
    assert page.web.accounts.sessions("sleeper") == []


def test_redis_holds_no_secret_and_no_log_or_address_has_one(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("cluster", "uvicorn", "starlette"):
        caplog.set_level(logging.DEBUG, name)
    admin = page.visitor(Role.ADMIN, "careful")
    session = admin.asker.cookies["cluster"]
    secret = page.web.accounts.link("careful")
    token = admin.ask("POST", "/api/tokens", json={"name": "careful", "role": "viewer", "days": 1}).json()["token"]
    page.nobody().get("/runs.json", headers={"Authorization": f"Bearer {token}"})
    page.nobody().get("/runs.json", headers={"Authorization": f"Bearer {token}x"})
    page.nobody().post("/enter", json={"secret": f"{secret}x"})
    kept = b" ".join(
        piece for key in redis_of(page).scan_iter("cluster2:*")
        for piece in (key, redis_of(page).get(key) or b"" if b"link" in key or b"session:" in key else b"")
    ) + b" ".join(redis_of(page).hvals(keys.TOKENS))  # fmt: skip
    for one in (session, secret, token):
        assert one not in caplog.text
        assert one.encode() not in kept
    assert "careful: POST /api/tokens" in caplog.text
    assert admin.ask("DELETE", "/api/tokens/careful").status_code == 204


def test_tokens_are_made_listed_with_their_use_and_revoked(admin: Visitor, page: Page) -> None:
    made = admin.ask("POST", "/api/tokens", json={"name": "screen", "role": "viewer", "days": 30})
    assert made.status_code == 200, made.text
    [before] = [token for token in admin.get("/tokens.json")["tokens"] if token["name"] == "screen"]
    assert (before["role"], before["used_at"]) == ("viewer", None)
    assert before["expires_at"] > before["created_at"]
    header = {"Authorization": f"Bearer {made.json()['token']}"}
    assert page.nobody().get("/runs.json", headers=header).status_code == 200
    [after] = [token for token in admin.get("/tokens.json")["tokens"] if token["name"] == "screen"]
    assert after["used_at"] is not None
    assert "screen" in admin.html("/tokens")
    assert admin.ask("POST", "/api/tokens", json={"name": "screen"}).status_code == 422
    assert admin.ask("POST", "/api/tokens", json={"name": "odd", "days": 0}).status_code == 422
    assert admin.ask("DELETE", "/api/tokens/screen").status_code == 204
    assert page.nobody().get("/runs.json", headers=header).status_code == 401


def test_a_token_that_is_called_like_a_user_is_not_that_user(admin: Visitor, page: Page) -> None:
    token = admin.ask("POST", "/api/tokens", json={"name": "admin", "role": "viewer"}).json()["token"]
    found = page.nobody().get("/account.json", headers={"Authorization": f"Bearer {token}"}).json()
    assert (found["name"], found["role"], found["sessions"]) == ("token:admin", "viewer", [])
    page.web.client.tokens.revoke("admin")


def test_with_tls_the_cookie_is_of_this_host_and_of_https_alone(page: Page, tmp_path: Path) -> None:
    find_program("openssl", "openssl")
    own = certificate.own(tmp_path, {LOOPBACK, "localhost"})
    fingerprint = own.fingerprint
    assert certificate.own(tmp_path, {LOOPBACK}).fingerprint == fingerprint
    assert own.key.stat().st_mode & 0o777 == 0o600
    trust = ssl.create_default_context(cafile=str(own.cert))
    client: Client = page.web.client
    web = Web(client, client.accounts, tmp_path, frozenset({LOOPBACK}), is_tls=True)
    with Running(web, LOOPBACK, 0, own.cert, own.key) as running:
        url = f"https://{LOOPBACK}:{running.port}"
        with httpx.Client(base_url=url, verify=trust, headers={"Origin": url}) as asker:
            page.web.accounts.add("safe", Role.VIEWER)
            answer = asker.post("/enter", json={"secret": page.web.accounts.link("safe")})
            assert answer.headers["set-cookie"].startswith("__Host-cluster=")
            assert "Secure" in answer.headers["set-cookie"]
            assert asker.get("/runs.json").status_code == 200
            assert asker.post("/api/leave", headers={"Origin": url.replace("https", "http")}).status_code == 403
            assert asker.post("/api/leave").status_code == 204
    assert certificate.own(tmp_path, {LOOPBACK, "another"}).fingerprint != fingerprint
