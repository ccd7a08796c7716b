"""Sending files to the page: many in one request, large ones in slices, again after a break, and what is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import pytest

from cluster.roles import Role
from cluster.web import receive
from cluster.web.own_files import write
from cluster.web.problems import Problem
from cluster.web.spool import Spool
from cluster.web.spool_upload import Limits
from splitters.spool import ORDER, Sent
from tests.kit.pages import Page, Visitor
from tests.kit.waiting import wait_until
from tests.page import sending

LINE = b'{"name": "a.txt", "size": 3, "modified": 1}\n'


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


@pytest.fixture
def upload(page: Page, maria: Visitor) -> Iterator[str]:
    found = sending.begin(maria, files=3, bytes=9)
    yield found
    page.web.spool.drop(found)


def kept(page: Page, upload: str) -> dict[str, bytes]:
    """Name -> bytes of what has arrived."""
    found = page.web.spool.upload(upload)
    return {entry.name: (found.folder / entry.place).read_bytes() for entry in found.entries()}


def test_what_was_sent_is_on_the_disk_when_it_is_answered(page: Page, maria: Visitor, upload: str) -> None:
    files = {"a/1.txt": b"one", "ü b.txt": b"", "2.bin": os.urandom(100_000)}
    answer = sending.send(maria, upload, sending.bundle(files.items())).json()
    assert (answer["taken"], answer["files"], answer["size_bytes"]) == (list(files), 3, 100_003)
    assert kept(page, upload) == files
    again = Spool(page.web.spool.folder).upload(upload)
    assert (again.names(), again.size_bytes) == (list(files), 100_003)
    entry = again.entries()[2]
    assert entry.sha256 == hashlib.sha256(files["2.bin"]).hexdigest()


def test_an_upload_that_cannot_be_read_is_told(page: Page, maria: Visitor, upload: str) -> None:
    order = page.web.spool.folder / upload / ORDER
    order.write_bytes(order.read_bytes() + b'{"name": "a.t{"closed":true}\n')
    page.web.spool._uploads.clear()  # as after a start
    answer = sending.send(maria, upload, sending.bundle([("a.txt", b"one")]))
    assert (answer.status_code, "cannot be read" in answer.json()["detail"]) == (409, True)
    [about] = [one for one in page.web.spool.listed("maria") if one.id == upload]
    assert about.size_bytes == order.stat().st_size
    assert maria.get("/submit.json")["unreadable"] == [upload]
    assert f"The upload {upload} cannot be read" in maria.html("/submit")
    other = page.visitor(Role.SUBMITTER, "other")
    assert other.ask("DELETE", f"/api/uploads/{upload}").status_code == 404
    assert maria.ask("DELETE", f"/api/uploads/{upload}").status_code == 204
    assert maria.get("/submit.json")["unreadable"] == []


def test_only_the_owner_of_this_machine_may_read_what_was_sent(page: Page, maria: Visitor, upload: str) -> None:
    sending.send(maria, upload, sending.bundle([("a.txt", b"one")]))
    places = [path for path in page.web.spool.folder.rglob("*") if not path.name.startswith("gone")]
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in places if path.stat().st_mode & 0o077} == {}


def test_the_same_files_again_are_there_once(page: Page, maria: Visitor, upload: str) -> None:
    body = sending.bundle([("a.txt", b"one"), ("b.txt", b"two")])
    assert sending.send(maria, upload, body).json()["files"] == 2
    assert sending.send(maria, upload, body).json()["files"] == 2
    listed = maria.ask("GET", f"/api/uploads/{upload}/files").text.splitlines()
    assert [json.loads(line) for line in listed] == [["a.txt", 3, 1], ["b.txt", 3, 1]]


def test_another_file_of_a_known_name_gets_a_number(page: Page, maria: Visitor, upload: str) -> None:
    for content in (b"one", b"two!", b"three", b"two!"):
        sending.send(maria, upload, sending.bundle([("x/a.txt", content)], modified=len(content)))
    assert kept(page, upload) == {"x/a.txt": b"one", "x/a~2.txt": b"two!", "x/a~3.txt": b"three"}


def test_a_file_that_is_a_folder_of_another_is_refused(page: Page, maria: Visitor, upload: str) -> None:
    sent = [("a", b"1"), ("a/b.csv", b"2"), ("c/d/e.csv", b"3"), ("c/d", b"4"), ("c", b"5"), ("f~2/g", b"6")]
    answer = sending.send(maria, upload, sending.bundle([*sent, ("f", b"7"), ("f", b"8")])).json()
    assert {one["name"]: one["why"] for one in answer["refused"]} == {
        "a/b.csv": "'a', which has arrived, is a file and no folder: rename one of the two",
        "c/d": "it is a folder of 'c/d/e.csv', which has arrived: rename one of the two",
        "c": "it is a folder of 'c/d/e.csv', which has arrived: rename one of the two",
    }
    there = {"a": b"1", "c/d/e.csv": b"3", "f~2/g": b"6", "f": b"7", "f~3": b"8"}
    assert kept(page, upload) == there
    found = page.web.spool.upload(upload)
    again = Spool(page.web.spool.folder).upload(upload)
    for one in (found, again):
        with pytest.raises(ValueError, match="a file and no folder"):
            one.put("a/late.csv", b"9")
    slow = receive.Slice(found, receive.Sending(name="late/h.csv", size=1), 0)
    found.put("late", b"")
    slow.feed(b"9")
    with pytest.raises(Problem, match="'late', which has arrived"):
        slow.end()
    found.close()
    [laid_out] = Sent(found.folder)
    assert sending.of_folder(laid_out) == there | {"late": b""}


def test_files_without_a_time_of_change_are_told_apart(page: Page, maria: Visitor, upload: str) -> None:
    for content in (b"one", b"two", b"one"):
        sending.send(maria, upload, sending.bundle([("a.txt", content)], modified=None))
    assert kept(page, upload) == {"a.txt": b"one", "a~2.txt": b"two"}


def test_a_large_file_comes_in_slices_with_a_break(page: Page, maria: Visitor, upload: str) -> None:
    data = os.urandom(300_000)
    about = {"name": "big.jpg", "size": len(data), "modified": 5}

    def put(offset: int, piece: bytes) -> tuple[int, dict[str, object]]:
        headers = {**sending.BYTES, "Upload-Offset": str(offset)}
        answer = maria.ask("PUT", f"/api/uploads/{upload}/file", params=about, content=piece, headers=headers)
        return answer.status_code, answer.json()

    assert put(0, data[:100_000]) == (200, {"offset": 100_000, "name": ""})
    status, problem = put(0, data[:100_000])
    assert (status, problem["detail"]) == (409, "the slice at 100000 is due, not at 0")
    assert maria.ask("GET", f"/api/uploads/{upload}/offset", params=about).json() == {"offset": 100_000}
    assert put(100_000, data[100_000:]) == (200, {"offset": 300_000, "name": "big.jpg"})
    assert put(0, b"") == (200, {"offset": 300_000, "name": "big.jpg"})
    assert kept(page, upload) == {"big.jpg": data}


def test_slices_that_have_come_count_towards_the_limit(
    page: Page, maria: Visitor, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page.web.spool, "limits", Limits(user_bytes=10))
    address = f"/api/uploads/{upload}/file"
    answers = [
        maria.ask("PUT", address, params={"name": name, "size": 6}, content=b"12345", headers=sending.BYTES).status_code
        for name in ("a", "b")
    ]
    assert answers == [200, 413]


def test_a_slice_longer_than_its_file_is_refused(page: Page, maria: Visitor, upload: str) -> None:
    answer = maria.ask(
        "PUT", f"/api/uploads/{upload}/file", params={"name": "a", "size": 2}, content=b"three", headers=sending.BYTES
    )
    assert answer.status_code == 413
    assert kept(page, upload) == {}


def test_whole_files_of_a_broken_bundle_are_kept(page: Page, maria: Visitor, upload: str) -> None:
    answer = sending.send(maria, upload, sending.bundle([("a.txt", b"one"), ("b.txt", b"two")])[:-1])
    assert answer.status_code == 422
    assert "ends within a file: 'b.txt'" in answer.json()["detail"]
    assert kept(page, upload) == {"a.txt": b"one"}


def test_whole_files_of_a_sender_who_goes_are_kept(page: Page, maria: Visitor, upload: str) -> None:
    where = urlsplit(page.url)
    session = maria.asker.cookies["cluster"]
    head = (
        f"POST /api/uploads/{upload}/bundle HTTP/1.1\r\nHost: {where.netloc}\r\nCookie: cluster={session}\r\n"
        "Sec-Fetch-Site: same-origin\r\nContent-Type: application/octet-stream\r\nContent-Length: 9999999\r\n\r\n"
    )
    large = b'{"name": "b.txt", "size": 9000000}\n' + b"x" * receive.PIECE_BYTES * 2
    with socket.create_connection((where.hostname or "", where.port or 0)) as sender:
        sender.sendall(head.encode() + LINE + b"one" + large)
        drafts = page.web.spool.folder / upload / "drafts"
        wait_until("the file that is on its way", lambda: len(list(drafts.iterdir())) == 2, timeout_s=10)
    wait_until("the whole file", lambda: kept(page, upload) == {"a.txt": b"one"}, timeout_s=10)
    wait_until("that the rest is dropped", lambda: not any(drafts.iterdir()), timeout_s=10)


def test_a_sender_who_stands_still_is_given_up(
    page: Page, maria: Visitor, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "IDLE_S", 0.2)

    def slowly() -> Iterator[bytes]:
        yield LINE + b"one"
        wait_until("that it is given up", lambda: kept(page, upload) != {}, timeout_s=10)
        yield LINE + b"two"

    answer = maria.ask("POST", f"/api/uploads/{upload}/bundle", content=slowly(), headers=sending.BYTES)
    assert (answer.status_code, answer.json()["detail"]) == (408, "nothing came for 0 s: send the rest again")


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"no json\n", 422, "no line with name and size"),
        (b'{"name": "a"}\n', 422, "no line with name and size"),
        (b'{"name": "a", "size": -1}\n', 422, "no line with name and size"),
        (b'["a", 1]\n', 422, "no line with name and size"),
        (b"x" * 10_000, 422, "a line of the bundle has more than 8192 bytes"),
        (b'{"name": "a", "size": 0}\n' * 1001, 413, "a bundle takes 1,000 files"),
    ],
)
def test_what_is_no_bundle_is_told(maria: Visitor, upload: str, body: bytes, status: int, why: str) -> None:
    answer = sending.send(maria, upload, body)
    assert answer.status_code == status
    assert why in answer.json()["detail"]


@pytest.mark.parametrize("name", ["../x", "..\u2215x/../y", "/etc/passwd", "C:\\x", "a\0b", "x" * 5000, "", "a//b"])
def test_a_bad_name_is_refused_and_the_others_are_taken(page: Page, maria: Visitor, upload: str, name: str) -> None:
    before = {path for path in page.web.folder.parent.rglob("*") if page.web.spool.folder not in path.parents}
    answer = sending.send(maria, upload, sending.bundle([("a.txt", b"one"), (name, b"bad"), ("b.txt", b"two")]))
    if len(name) > 1000:
        assert answer.status_code == 200
    assert [one["name"] for one in answer.json()["refused"]] == [name]
    assert kept(page, upload) == {"a.txt": b"one", "b.txt": b"two"}
    assert {path for path in page.web.folder.parent.rglob("*") if page.web.spool.folder not in path.parents} == before


@pytest.mark.parametrize("name", ["order.jsonl", ".ssh/x", "runs", "drafts/x", "partial", "u-000000000000"])
def test_a_name_of_the_spool_itself_is_harmless(page: Page, maria: Visitor, upload: str, name: str) -> None:
    sending.send(maria, upload, sending.bundle([(name, b"mine"), ("b.txt", b"two")]))
    assert kept(page, upload) == {name: b"mine", "b.txt": b"two"}
    assert Sent(page.web.spool.upload(upload).folder).head.user == "maria"


def test_an_upload_has_a_page_of_its_own(maria: Visitor, upload: str) -> None:
    sending.send(maria, upload, sending.bundle([("a<b>.txt", b"one")]))
    shown = maria.html(f"/uploads/{upload}")
    assert "1 of 3 files have arrived, 3 bytes." in shown
    assert "a&lt;b&gt;.txt" in shown


def test_one_file_is_not_told_as_several(page: Page, maria: Visitor) -> None:
    upload = sending.begin(maria, files=1)
    sending.send(maria, upload, sending.bundle([("a.txt", b"one")]))
    shown = maria.html(f"/uploads/{upload}")
    offered = maria.html("/submit")
    page.web.spool.drop(upload)
    assert "1 of 1 file has arrived, 3 bytes." in shown
    assert "1 of 1 file has arrived." in offered
    assert "End with the one file that has arrived?" in shown
    assert "1 files" not in shown + offered


def test_a_closed_upload_takes_no_more(maria: Visitor, upload: str) -> None:
    assert maria.ask("POST", f"/api/uploads/{upload}/close").json()["is_closed"]
    answer = sending.send(maria, upload, sending.bundle([("a.txt", b"one")]))
    assert (answer.status_code, answer.json()["detail"]) == (409, f"the upload {upload} is closed: begin another one")


def test_nobody_sends_to_the_upload_of_another_user(page: Page, maria: Visitor, upload: str) -> None:
    other = page.visitor(Role.SUBMITTER, "other")
    for method, path in [
        ("GET", f"/uploads/{upload}.json"), ("GET", f"/api/uploads/{upload}/files"),
        ("DELETE", f"/api/uploads/{upload}"),
        ("POST", f"/api/uploads/{upload}/close"), ("GET", f"/api/uploads/{upload}/offset?name=a&size=1"),
    ]:  # fmt: skip
        assert other.ask(method, path).status_code == 404, path
    assert sending.send(other, upload, sending.bundle([("a.txt", b"one")])).status_code == 404
    begun = other.ask("POST", "/api/runs", json={"job": "wordcount", "upload": upload})
    assert begun.status_code == 404
    assert kept(page, upload) == {}


@pytest.mark.parametrize("upload", ["../web", "u-1", "u-00000000000g", "..%2f..", "order.jsonl"])
def test_what_is_no_upload_is_not_found(maria: Visitor, upload: str) -> None:
    assert maria.ask("GET", f"/uploads/{upload}.json").status_code == 404


@pytest.mark.parametrize(
    ("limits", "about", "status", "why"),
    [
        (Limits(files=2), {"files": 3}, 413, "3 files are more than an upload takes, 2"),
        (Limits(user_bytes=10), {"bytes": 11}, 413, "over the limit of 10"),
        (Limits(free_share=1.0), {}, 507, "the disk of this page is full"),
        (Limits(open_uploads=0), {}, 409, "open uploads: close or drop one first"),
    ],
)
def test_more_than_is_allowed_is_refused_at_once(
    page: Page,
    maria: Visitor,
    monkeypatch: pytest.MonkeyPatch,
    limits: Limits,
    about: dict[str, int],
    status: int,
    why: str,
) -> None:
    monkeypatch.setattr(page.web.spool, "limits", limits)
    answer = maria.ask("POST", "/api/uploads", json=about)
    assert answer.status_code == status
    assert why in answer.json()["detail"]


def test_a_full_disk_takes_no_bundle(page: Page, maria: Visitor, upload: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.web.spool, "limits", Limits(free_share=1.0))
    assert sending.send(maria, upload, sending.bundle([("a.txt", b"one")])).status_code == 507


def test_a_disk_that_fills_up_meanwhile_is_told(
    page: Page, maria: Visitor, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(stream: BinaryIO) -> None:
        stream.close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(receive, "_sync", full)
    answer = sending.send(maria, upload, sending.bundle([("a.txt", b"one")]))
    assert (answer.status_code, kept(page, upload)) == (507, {})
    assert "the disk of this page is full" in answer.json()["detail"]


def test_a_bundle_for_an_upload_that_was_dropped_is_told(page: Page, maria: Visitor, upload: str) -> None:
    shutil.rmtree(page.web.spool.upload(upload).folder)
    answer = sending.send(maria, upload, sending.bundle([("a.txt", b"one")]))
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "this upload was dropped meanwhile: begin another one",
    )


def test_a_file_over_the_limits_is_refused_by_its_line(
    page: Page, maria: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page.web.spool, "limits", Limits(files=2, file_bytes=3, document_bytes=5))
    upload = sending.begin(maria)
    files = [("a.txt", b"four"), ("a.pdf", b"four"), ("b.txt", b"two"), ("c.txt", b"one")]
    refused = {one["name"]: one["why"] for one in sending.send(maria, upload, sending.bundle(files)).json()["refused"]}
    assert refused["a.txt"] == "4 bytes is over the limit of 3"
    assert "an upload takes 2 files" in refused["c.txt"]
    page.web.spool.drop(upload)


def test_a_kill_between_two_lines_leaves_an_upload_to_go_on_with(page: Page, maria: Visitor, upload: str) -> None:
    sending.send(maria, upload, sending.bundle([("a.txt", b"one")]))
    folder = page.web.spool.folder / upload
    with (folder / ORDER).open("ab") as stream:
        stream.write(b'{"name":"b.txt","si')
    found = Spool(page.web.spool.folder).upload(upload)
    found.put("c.txt", b"three")
    assert Spool(page.web.spool.folder).upload(upload).names() == ["a.txt", "c.txt"]


def test_the_bytes_of_an_item_are_found_by_its_name(page: Page, maria: Visitor, upload: str) -> None:
    files = [("s/a.pdf", b"1"), ("b#0001.jpg", b"2"), ("phone.zip", b"3"), ("c#.pdf", b"4")]
    sending.send(maria, upload, sending.bundle(files))
    found = page.web.spool.upload(upload)
    items = {
        "s/a.pdf#0003": b"1",
        "b#0001.jpg": b"2",
        "b%230001.jpg": b"2",
        "phone.zip/x/1.jpg": b"3",
        "c%23.pdf#0001": b"4",
    }
    assert {item: path.read_bytes() for item in items if (path := found.path(item))} == items
    assert found.path("d.jpg") is None


def test_uploads_of_many_files_are_held_in_little_memory(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(8):
        upload = spool.begin("maria", job=str(number))
        upload.put("a.txt", b"one")
        upload.close()
    assert len(spool.listed("maria")) == 8
    assert len(spool._uploads) <= Spool.MOST_CLOSED + 1


def test_a_kill_while_an_upload_is_dropped_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    upload = spool.begin("maria")
    digest = upload.put("a.txt", b"one").sha256

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        spool.drop(upload.id)
    monkeypatch.undo()
    dropped: list[object] = []
    assert Spool(tmp_path, on_drop=dropped.append).listed() == []
    assert (list(tmp_path.iterdir()), dropped) == ([], [{digest}])


def test_what_an_earlier_version_left_of_a_drop_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    gone, stays = spool.begin("maria"), spool.begin("maria")
    gone.put("a.txt", b"one")
    (gone.folder / ORDER).unlink()
    assert Spool(tmp_path).listed() == spool.listed()
    assert list(tmp_path.iterdir()) == [stays.folder]


def test_who_still_sends_keeps_no_dropped_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    upload = spool.begin("maria")
    rmdir, sent = os.rmdir, []

    def rmdir_of_what_is_sent_to(*given: Any, **more: Any) -> None:
        try:
            write(upload.draft(), [b"one"])
        except FileNotFoundError as error:
            sent.append(error)
        rmdir(*given, **more)

    monkeypatch.setattr(os, "rmdir", rmdir_of_what_is_sent_to)
    spool.drop(upload.id)
    assert sent
    assert list(tmp_path.iterdir()) == []
