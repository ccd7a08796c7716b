"""Connections that hold the page's files open and send nothing, or too slowly: it closes them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cluster.gateway import connection
from cluster.roles import Role
from cluster.web import receive
from cluster.web.senders import MOST_OF_USER, Senders
from tests.kit.pages import Page, Visitor
from tests.kit.waiting import wait_until
from tests.page import sending

HEAD = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n"


@pytest.fixture
def maria(page: Page, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    """Somebody who has entered, before the page is in a hurry."""
    visitor = page.visitor(Role.SUBMITTER, "maria")
    monkeypatch.setattr(connection, "SLOW_S", 0.2)
    monkeypatch.setattr(connection, "UNREAD_S", 0.2)
    monkeypatch.setattr(connection, "LOOK_S", 0.05)
    return visitor


def connected(page: Page) -> socket.socket:
    """A connection to the page."""
    host, port = page.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def said(page: Page, sent: bytes) -> bytes:
    """What the page says to bytes, until it closes the connection."""
    with connected(page) as client:
        client.sendall(sent)
        found = b""
        while piece := client.recv(65536):
            found += piece
    return found


@pytest.mark.usefixtures("maria")
def test_headers_that_do_not_end_are_told_and_closed(page: Page) -> None:
    for sent in (b"GET /hea", HEAD):
        head, _, body = said(page, sent).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408")
        assert json.loads(body) == {"status": 408, "detail": connection.TOO_SLOW, "field": ""}


@pytest.mark.usefixtures("maria")
def test_a_connection_made_beforehand_is_closed_without_a_word(page: Page) -> None:
    assert said(page, b"") == b""
    assert said(page, HEAD + b"connection: close\r\n\r\n").endswith(b"ok\n")


@pytest.mark.usefixtures("maria")
def test_who_goes_on_sending_after_the_answer_is_closed(page: Page) -> None:
    with connected(page) as client:
        client.sendall(b"POST /nowhere HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000000\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 401")

        def is_closed() -> bool:
            try:
                client.sendall(b"x")
            except OSError:
                return True
            return False

        wait_until("that it is closed", is_closed, timeout_s=10)


def test_many_slow_senders_hold_up_nobody_else(page: Page, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.web.spool, "senders", Senders(most_writing=1))
    files = [("a", b"a"), ("large", bytes(receive.PIECE_BYTES)), ("b", b"b")]
    slow = page.visitor(Role.SUBMITTER, "slow")
    upload = sending.begin(slow)
    body = sending.bundle(files)
    head = (
        f"POST /api/uploads/{upload}/bundle HTTP/1.1\r\nhost: 127.0.0.1\r\nsec-fetch-site: same-origin\r\n"
        f"cookie: cluster={slow.asker.cookies['cluster']}\r\ncontent-type: application/octet-stream\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    drafts = page.web.spool.folder / upload / "drafts"
    with ExitStack() as connections:
        clients = [connections.enter_context(connected(page)) for _ in range(MOST_OF_USER)]
        for client in clients:
            client.sendall(head + body[:-1])
        wait_until("what was sent slowly", lambda: len(list(drafts.iterdir())) == 3 * MOST_OF_USER, timeout_s=10)
        answer = sending.send(maria, sending.begin(maria), body)
        assert (answer.status_code, answer.json()["taken"]) == (200, ["a", "large", "b"])
        answer = sending.send(slow, upload, body)
        assert (answer.status_code, f"slow has {MOST_OF_USER} requests" in answer.json()["detail"]) == (503, True)
        for client in clients:
            client.sendall(body[-1:])
        said = [client.recv(65536) for client in clients]
    assert [one.startswith(b"HTTP/1.1 200") for one in said] == [True] * MOST_OF_USER
    assert page.web.spool.upload(upload).names() == ["a", "large", "b"]


def test_a_body_that_comes_slowly_is_taken(page: Page, maria: Visitor) -> None:
    upload = sending.begin(maria)
    slow_until_s = time.monotonic() + 5 * connection.SLOW_S

    def slowly() -> Iterator[bytes]:
        yield b'{"name": "a", "size": 1}\n'
        wait_until("a time in which all headers must have come", lambda: time.monotonic() > slow_until_s)
        yield b"x"

    answer = maria.ask("POST", f"/api/uploads/{upload}/bundle", content=slowly(), headers=sending.BYTES)
    assert (answer.status_code, answer.json()["taken"]) == (200, ["a"])
