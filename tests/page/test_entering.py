"""Entering by a one-time link, and leaving."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster.cli import web
from cluster.client.accounts import MOST_S
from cluster.roles import Role
from tests.kit.pages import Page, Visitor


def test_a_link_lets_in_once(page: Page) -> None:
    page.web.accounts.add("once", Role.VIEWER)
    secret = page.web.accounts.link("once")
    assert page.nobody().post("/enter", json={"secret": secret}).status_code == 204
    again = page.nobody().post("/enter", json={"secret": secret})
    assert again.status_code == 401
    assert "was used already" in again.json()["detail"]


def test_nobody_sees_runs_without_a_session(page: Page) -> None:
    assert page.nobody().get("/runs.json").status_code == 401
    shown = page.nobody().get("/runs", headers={"Accept": "text/html"})
    assert shown.status_code == 401
    assert "log in first" in shown.text
    assert "Bearer" not in shown.text, "that is for programs"
    assert "Bearer" in page.nobody().get("/runs.json").json()["detail"]


def test_a_session_ends_with_leaving(page: Page) -> None:
    visitor = page.visitor(Role.VIEWER, "leaves")
    session = visitor.asker.cookies["cluster"]
    assert visitor.get("/account.json")["role"] == "viewer"
    assert visitor.ask("POST", "/api/leave").status_code == 204
    visitor.asker.cookies.set("cluster", session)
    assert visitor.ask("GET", "/account.json").status_code == 401


def test_each_page_opens_for_an_admin(admin: Visitor) -> None:
    for path in ("/runs", "/nodes", "/api"):
        assert f'href="{path}"' in admin.html(path)


def test_a_viewer_may_cancel_nothing(visitors: dict[Role, Visitor]) -> None:
    answer = visitors[Role.VIEWER].ask("POST", "/api/runs/ocr-00000000/cancel")
    assert answer.status_code == 403
    assert "needs the role submitter" in answer.json()["detail"]


def test_another_site_can_do_nothing(admin: Visitor) -> None:
    answer = admin.ask("POST", "/api/leave", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_the_cookie_lasts_as_long_as_a_session_may(page: Page) -> None:
    page.web.accounts.add("stays", Role.VIEWER)
    answer = page.nobody().post("/enter", json={"secret": page.web.accounts.link("stays")})
    assert f"Max-Age={MOST_S}" in answer.headers["set-cookie"]


def test_the_link_is_opened_by_a_file_of_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    with ExitStack() as held:
        web._open(held, tmp_path, "http://127.0.0.1:8440/enter#secret")
        [file] = tmp_path.iterdir()
        assert opened == [file.as_uri()]
        assert file.stat().st_mode & 0o777 == 0o600
        assert "url=http://127.0.0.1:8440/enter#secret" in file.read_text()
    assert list(tmp_path.iterdir()) == []
