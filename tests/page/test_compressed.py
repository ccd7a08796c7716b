"""What travels compressed, what never does, and what browsers keep for good."""

from __future__ import annotations

import re
import zlib

import pytest

from cluster.roles import Role
from cluster.web import compressed, static_files
from tests.kit.pages import Page, Visitor

HTML = {"Accept": "text/html"}
PLAIN = {"Accept-Encoding": "identity"}


@pytest.mark.parametrize("path", ["/runs", "/submit", "/submit.json"])
def test_a_page_says_the_same_in_fewer_bytes(path: str, admin: Visitor) -> None:
    accept = HTML if not path.endswith(".json") else {}
    plain = admin.ask("GET", path, headers={**accept, **PLAIN})
    answer = admin.ask("GET", path, headers={**accept, "Accept-Encoding": "br, gzip;q=0.5"})
    assert "content-encoding" not in plain.headers
    assert answer.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in plain.headers["vary"] == answer.headers["vary"]
    assert answer.text == plain.text
    assert int(answer.headers["content-length"]) < len(plain.content) / 2


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_asks_for_is_sent_as_it_is(site: str, admin: Visitor) -> None:
    answer = admin.ask("GET", "/search?q=secret", headers={**HTML, "Sec-Fetch-Site": site})
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers


def test_answers_that_tell_a_secret_are_sent_as_they_are(
    page: Page, admin: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "MIN_BYTES", 0)
    page.web.accounts.add("linked", Role.VIEWER)
    for path, body in (
        ("/api/users/linked/link", None), ("/api/tokens", {"name": "n" * 64}), ("/api/join/password", None),
    ):  # fmt: skip
        answer = admin.ask("POST", path, json=body)
        assert answer.status_code == 200, answer.text
        assert "content-encoding" not in answer.headers, path


def test_events_do_not_wait_for_more_of_them(admin: Visitor) -> None:
    with admin.asker.stream("GET", "/api/nodes/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        assert next(answer.iter_lines()).startswith("data: ")


def test_a_browser_keeps_what_a_page_is_made_of(admin: Visitor) -> None:
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', admin.html("/submit"))
    assert len(found) >= 5
    for path in found:
        answer = admin.ask("GET", path)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable", path
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.content == admin.ask("GET", path, headers=PLAIN).content
        assert int(answer.headers["content-length"]) < len(answer.content)


@pytest.mark.parametrize("of", ["", "a-version-before/"])
def test_a_file_without_its_version_is_asked_for_again(of: str, admin: Visitor) -> None:
    answer = admin.ask("GET", f"/static/{of}page.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    again = admin.ask("GET", f"/static/{of}page.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = admin.ask("GET", f"/static/{of}run.js", headers={"If-None-Match": answer.headers["etag"]})
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["..%2fapp.py", "a/b/page.js", "", "%00", "page.js/", "__init__.py"])
def test_nothing_else_is_given_as_a_file(path: str, page: Page) -> None:
    assert page.nobody().get(f"/static/{path}").status_code == 404


def test_the_modules_of_a_page_are_asked_for_at_once(admin: Visitor) -> None:
    html = admin.html("/submit")
    for name in static_files.imported("submit.js"):
        kind = "src" if name == "page.js" else 'rel="modulepreload" href'
        assert f'{kind}="{static_files.address(name)}"' in html, name


def test_the_address_changes_with_any_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    before = static_files.version()
    changed = {**static_files.every(), "faces.js": static_files.File(b"// other", "text/javascript")}
    monkeypatch.setattr(static_files, "every", lambda: changed)
    assert static_files.version.__wrapped__() != before
    assert zlib.decompress(changed["faces.js"].zipped, 31) == b"// other"
