"""How machines join, as the page tells it: who sees the password, and an invitation that works once."""

from __future__ import annotations

import re
import socket

import pytest

from cluster.client import joining
from cluster.client.joining import Joining
from cluster.roles import Role
from cluster.web import join, metrics, system
from tests.kit.pages import Page, Visitor

SECRET = "the-password"
OPEN = f"CLUSTER_BROKER_URL='redis://:{SECRET}@192.0.2.7/0' cluster worker"
HIDDEN = OPEN.replace(SECRET, "***")


@pytest.fixture
def others_reach_it(monkeypatch: pytest.MonkeyPatch, page: Page) -> None:
    """Other machines can join and open the page, as far as it knows."""

    def told(config: object, *, with_password: bool = False) -> Joining:
        return Joining(line=OPEN if with_password else HIDDEN, has_password=with_password, problem="")

    monkeypatch.setattr(joining, "joining", told)
    monkeypatch.setattr(join, "is_loopback", lambda host: False)


def test_a_cluster_of_this_machine_alone_says_why_others_cannot_join(admin: Visitor) -> None:
    text = admin.html("/nodes/join")
    assert "Other machines cannot join now: the Redis of this cluster is at 127.0.0.1:" in text
    answer = admin.ask("POST", "/api/join/invitations")
    assert answer.status_code == 409
    assert "which only this machine reaches" in answer.json()["detail"]


@pytest.mark.usefixtures("others_reach_it")
def test_only_an_admin_sees_the_password_and_only_when_asked(visitors: dict[Role, Visitor]) -> None:
    for role, visitor in visitors.items():
        page = visitor.ask("GET", "/nodes/join", headers={"Accept": "text/html"})
        assert page.status_code == (200 if role >= Role.OPERATOR else 403)
        assert SECRET not in page.text
        assert ("***" in page.text) == (role >= Role.OPERATOR)
        for action in ("password", "invitations"):
            answer = visitor.ask("POST", f"/api/join/{action}")
            assert answer.status_code == (200 if role == Role.ADMIN else 403), (role, action)
            assert (SECRET in answer.text) == (role == Role.ADMIN and action == "password")


@pytest.mark.usefixtures("others_reach_it")
def test_an_invitation_shows_the_line_once_to_one_who_has_not_entered(page: Page, admin: Visitor) -> None:
    made = admin.ask("POST", "/api/join/invitations").json()
    address, _, secret = made["address"].partition("#")
    assert address == f"{page.url}/join"
    assert SECRET not in str(made)
    nobody = page.nobody()
    assert SECRET not in nobody.get("/join", headers={"Accept": "text/html"}).text
    assert nobody.post("/join", json={"secret": secret}).json()["line"] == OPEN
    again = nobody.post("/join", json={"secret": secret})
    assert (again.status_code, again.json()["detail"]) == (410, join.USED)
    assert nobody.post("/join", json={"secret": "x" * 10_000}).status_code == 413


def test_the_qr_code_says_the_address() -> None:
    pytest.importorskip("segno", reason="segno, of the extra page, is not installed")
    cv2, numpy = pytest.importorskip("cv2"), pytest.importorskip("numpy")
    text = "http://192.0.2.7:8440/join#" + "s" * 43
    size, path = join.qr(text)
    picture = numpy.full((size, size), 255, numpy.uint8)
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", path):
        picture[int(y), int(x) : int(x) + int(width)] = 0
    read, _, _ = cv2.QRCodeDetector().detectAndDecode(cv2.resize(picture, None, fx=8, fy=8, interpolation=0))
    assert read == text


def test_the_system_page_tells_redis_disk_and_versions(visitors: dict[Role, Visitor], page: Page) -> None:
    viewer, admin = visitors[Role.VIEWER], visitors[Role.ADMIN]
    text = viewer.html("/nodes/system")
    assert "memory used" in text
    assert "Nothing waits." in text
    assert viewer.get("/nodes/system.json")["disk"]["folder"] == ""
    assert admin.get("/nodes/system.json")["disk"]["folder"] == str(page.web.folder)


def test_flower_is_linked_while_it_runs(admin: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as flower:
        flower.bind((system.LOOPBACK, 0))
        monkeypatch.setattr(system, "FLOWER_PORT", flower.getsockname()[1])
        assert "<code>cluster flower</code>" in admin.html("/nodes/system")
        flower.listen()
        assert f'<a href="http://127.0.0.1:{system.FLOWER_PORT}" rel="noreferrer">Flower</a>' in admin.html(
            "/nodes/system"
        )


def test_prometheus_reads_the_numbers_with_a_token_only(page: Page) -> None:
    assert page.nobody().get("/metrics").status_code == 401
    token = page.web.client.tokens.new("prometheus")
    answer = page.nobody().get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.headers["content-type"] == metrics.CONTENT_TYPE
    lines = answer.text.splitlines()
    assert 'cluster_nodes{state="online"} 0' in lines
    assert all(re.fullmatch(r"# (HELP|TYPE) .+|[a-z_]+({.*})? [0-9.e+]+", line) for line in lines)
