"""Downloads of a run's result: written while they are sent, whole or broken off."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import threading
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest

from cluster.client.run import Belongs
from cluster.roles import Role
from cluster.web import downloads
from tests.kit import pdfs
from tests.kit.page_runs import PageRun
from tests.kit.pages import Page, Visitor
from tests.kit.records import record
from tests.kit.waiting import wait_until

TEXTS = {
    "letters/a.jpg": record("Dear Uncle,\nthank you", words=True, digest="a" * 16),
    "=cmd|' /C calc'!A0.jpg": record("+1+1", words=True, digest="b" * 16),
    "CON.png": record("a device", words=True, digest="c" * 16),
}


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


@pytest.fixture(scope="module")
def run(page: Page) -> str:
    stores = page.web.client.stores
    return PageRun(stores, "ocr", TEXTS, options={"words": True}, belongs=Belongs("maria")).end().id


def got(visitor: Visitor, run: str, format: str, **query: str) -> httpx.Response:
    answer = visitor.ask("GET", f"/runs/{run}/download/{format}", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{run}')
    return answer


def test_the_page_offers_what_the_run_can_be_written_as(page: Page, maria: Visitor, run: str) -> None:
    offered = [one["name"] for one in maria.get(f"/runs/{run}/results.json")["formats"]]
    assert offered == ["text-folder", "json", "jsonl", "csv", "sqlite", "hocr", "alto", "tsv"]
    plain = PageRun(page.web.client.stores, "ocr", {"a.png": record("x")}, belongs=Belongs("maria")).end()
    offered = [one["name"] for one in maria.get(f"/runs/{plain.id}/results.json")["formats"]]
    assert offered == ["text-folder", "json", "jsonl", "csv", "sqlite"]
    assert f'href="/runs/{run}/download/csv"' in maria.html(f"/runs/{run}/results")


def test_json_is_what_the_client_writes(page: Page, maria: Visitor, run: str, tmp_path: Path) -> None:
    page.web.client.run(run).write(tmp_path / "it.json")
    assert got(maria, run, "json").content == (tmp_path / "it.json").read_bytes()
    assert json.loads(got(maria, run, "json").content) == {name: one["text"] for name, one in TEXTS.items()}


def test_the_archive_holds_each_text_under_a_name_that_each_system_takes(maria: Visitor, run: str) -> None:
    archive = zipfile.ZipFile(io.BytesIO(got(maria, run, "text-folder").content))
    assert archive.testzip() is None
    texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert texts == {
        "letters/a.jpg.txt": "Dear Uncle,\nthank you", "=cmd_'/C calc'!A0.jpg.txt": "+1+1", "_CON.png.txt": "a device",
    }  # fmt: skip


def test_a_table_holds_no_formula(maria: Visitor, run: str) -> None:
    rows = list(csv.DictReader(io.StringIO(got(maria, run, "csv").text)))
    assert [row["text"] for row in rows] == ["Dear Uncle,\nthank you", "'+1+1", "a device"]
    assert rows[1]["item"].startswith("'=cmd")


def test_an_index_and_documents_with_places_can_be_kept(maria: Visitor, run: str, tmp_path: Path) -> None:
    file = tmp_path / "it.sqlite"
    file.write_bytes(got(maria, run, "sqlite").content)
    assert sqlite3.connect(file).execute("SELECT count(*) FROM pages").fetchone() == (3,)
    archive = zipfile.ZipFile(io.BytesIO(got(maria, run, "alto").content))
    assert "letters/a.jpg.alto.xml" in archive.namelist()


def test_corrections_are_in_downloads_unless_one_asks_for_what_was_read(page: Page, maria: Visitor) -> None:
    read = {"a.png": record("te1escope", digest="d" * 16), "b.png": record("letter", digest="e" * 16)}
    run = PageRun(page.web.client.stores, "ocr", read, belongs=Belongs("maria")).end().id
    maria.ask("PUT", f"/api/runs/{run}/correction", json={"item": "a.png", "text": "telescope"})
    assert got(maria, run, "json").json() == {"a.png": "telescope", "b.png": "letter"}
    assert got(maria, run, "json", texts="as-read").json() == {"a.png": "te1escope", "b.png": "letter"}


def test_a_searchable_pdf_is_made_of_what_was_sent(page: Page, maria: Visitor) -> None:
    pytest.importorskip("pikepdf")
    data = pdfs.picture("telescope")
    upload = page.web.spool.begin("maria")
    upload.put("letters/a.jpg", data)
    upload.close()
    found = pdfs.record(data, [("telescope", 100, 100, 300, 140)])
    belongs = Belongs("maria", upload=upload.id)
    run = PageRun(page.web.client.stores, "ocr", {"letters/a.jpg": found}, options={"words": True}, belongs=belongs)
    archive = zipfile.ZipFile(io.BytesIO(got(maria, run.end().id, "pdf").content))
    assert archive.namelist() == ["letters/a.jpg.pdf"]
    assert "telescope" in pdfs.text(archive.read("letters/a.jpg.pdf"))


def test_what_could_not_be_written_is_named_in_the_archive(page: Page, maria: Visitor) -> None:
    pytest.importorskip("pikepdf")
    upload = page.web.spool.begin("maria")
    upload.put("a.jpg", pdfs.picture("other bytes"))
    upload.put("b.pdf", pdfs.signed(pdfs.scan("signed")))
    upload.close()
    found = pdfs.record(b"what was read", [("telescope", 100, 100, 300, 140)])
    run = PageRun(
        page.web.client.stores, "ocr", {"a.jpg": found, "b.pdf#0001": found}, options={"words": True},
        belongs=Belongs("maria", upload=upload.id),
    )  # fmt: skip
    archive = zipfile.ZipFile(io.BytesIO(got(maria, run.end().id, "pdf").content))
    assert archive.namelist() == ["MISSING.txt"]
    changed, signed = archive.read("MISSING.txt").decode().splitlines()
    assert (changed[:7], signed[:16]) == ("a.jpg: ", "b.pdf: is signed")


@pytest.mark.parametrize(
    ("format", "status", "why"),
    [("exe", 404, "there is no download 'exe'"), ("npz", 422, "has no format 'npz'"), ("pdf", 404, "not on this page")],
)
def test_a_download_that_cannot_be_is_told(maria: Visitor, run: str, format: str, status: int, why: str) -> None:
    answer = maria.ask("GET", f"/runs/{run}/download/{format}")
    assert answer.status_code == status
    assert why in answer.json()["detail"]


def test_a_run_that_goes_on_has_no_download_yet(page: Page, maria: Visitor) -> None:
    run = PageRun(page.web.client.stores, "ocr", {"a.png": record("x")}, belongs=Belongs("maria"))
    answer = maria.ask("GET", f"/runs/{run.id}/download/json")
    assert answer.status_code == 409
    assert "still going on" in answer.json()["detail"]


def test_an_archive_never_has_a_name_twice() -> None:
    taken: set[str] = set()
    given = ["a.txt", "A.txt", "b/a.txt", "a?.txt", "a:.txt", "nul", "x. ", "...", "aux.tar.gz"]
    assert [downloads.named(name, taken) for name in given] == [
        "a.txt", "A~2.txt", "b/a.txt", "a_.txt", "a_~2.txt", "_nul", "x", "_", "_aux.tar.gz",
    ]  # fmt: skip


def writers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "download endless"]


def endless(out: BinaryIO) -> None:
    while True:
        out.write(b"x" * 2**20)


def test_a_writer_ends_when_nobody_reads_any_more() -> None:
    sending = downloads.Sending(endless, "endless")
    assert writers()
    del sending
    wait_until("its writer has ended", lambda: not writers(), 10)


def test_a_download_that_fails_in_the_middle_is_broken_off(
    page: Page, maria: Visitor, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(parts: Any, out: BinaryIO, **_: Any) -> None:
        out.write(b"[" * 2**18)
        out.flush()
        raise ValueError("a part is odd")

    chosen = page.web.client.run(run).job.formats["jsonl"]
    monkeypatch.setitem(page.web.client.run(run).job.formats, "jsonl", chosen._replace(write=fail))
    with pytest.raises(httpx.RemoteProtocolError):
        got(maria, run, "jsonl")


def test_a_download_that_fails_at_once_is_told(
    page: Page, maria: Visitor, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(parts: Any, out: BinaryIO, **_: Any) -> None:
        raise ValueError("a part is odd")

    chosen = page.web.client.run(run).job.formats["jsonl"]
    monkeypatch.setitem(page.web.client.run(run).job.formats, "jsonl", chosen._replace(write=fail))
    answer = maria.ask("GET", f"/runs/{run}/download/jsonl")
    assert answer.status_code == 500
    assert "a part is odd" in answer.json()["detail"]


def test_a_user_has_four_downloads_at_a_time(page: Page, maria: Visitor, run: str) -> None:
    ends = [page.web.downloading.begin("maria") for _ in range(4)]
    answer = maria.ask("GET", f"/runs/{run}/download/json")
    assert (answer.status_code, "downloads are under way" in answer.text) == (503, True)
    got(page.visitor(Role.ADMIN), run, "json")
    ends.pop()()
    for _ in range(3):
        got(maria, run, "json")
        wait_until("it is counted no more", lambda: list(page.web.downloading._begun.values()) == ["maria"] * 3)
    for end in ends:
        end()


def test_who_asks_for_the_head_of_a_download_has_no_file_made(
    maria: Visitor, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "Sending", None)
    answer = maria.ask("HEAD", f"/runs/{run}/download/csv")
    assert (answer.status_code, answer.headers["content-type"]) == (200, downloads.KINDS["csv"].media)
