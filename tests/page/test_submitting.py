"""Runs of uploads, on a cluster with a worker: while files come, with pages, again for what is missing."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from cluster import catalog, names
from cluster.client.run import Run
from cluster.roles import Role
from cluster.web import tending
from tests.kit import stages
from tests.kit.pages import Page, Visitor
from tests.kit.programs import ROOT, find_program
from tests.kit.waiting import wait_until
from tests.page import sending

IMAGES = ROOT / "deploy" / "examples" / "images"
HOWTO = ROOT / "docs" / "howto" / "page.md"
MINUTE = 60.0


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a cluster with a worker."""
    with stages.staged(tmp_path_factory.mktemp("working"), slots=1) as stage:
        yield stage.page


@pytest.fixture(scope="module")
def maria(working: Page) -> Visitor:
    return working.visitor(Role.SUBMITTER, "maria")


def sent(who: Visitor, files: dict[str, bytes], *, close: bool = True) -> str:
    """An upload with these files."""
    upload = sending.begin(who, files=len(files))
    assert sending.send(who, upload, sending.bundle(files.items())).status_code == 200
    if close:
        assert who.ask("POST", f"/api/uploads/{upload}/close").status_code == 200
    return upload


def test_a_run_reads_an_upload_while_it_grows(working: Page, maria: Visitor) -> None:
    files = {f"{number:03}.txt": b"some words " * number for number in range(1, 41)}
    upload = sending.begin(maria, files=len(files), job="wordcount")
    some, rest = list(files.items())[:30], list(files.items())[30:]
    assert sending.send(maria, upload, sending.bundle(some)).json()["files"] == 30
    found = working.web.client.run(sending.run(maria, upload, "wordcount", chunk_size=500))
    wait_until("first results", lambda: found.status().items_done > 0, timeout_s=MINUTE)
    status = found.status()
    assert (status.items_total, status.owner, status.upload, status.share) == (40, "maria", upload, "private")
    assert status.publishes == "first", "if it trained, it would make no next version of a model"
    assert sending.send(maria, upload, sending.bundle(rest)).json()["files"] == 40
    assert maria.ask("POST", f"/api/uploads/{upload}/close").json()["runs"] == [found.id]
    assert found.wait(MINUTE).state == "done"
    words = sum(range(1, 41))
    assert found.result() == {"some": words, "words": words}


def test_an_upload_gives_the_result_of_the_same_folder(working: Page, maria: Visitor, tmp_path: Path) -> None:
    for name in ("opening-hours.jpg", "letters/thank-you.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(IMAGES / name, tmp_path / name)
    files = dict(sending.of_folder(tmp_path)) | {"notes.docx": b"x", "torn.pdf": b"no pdf"}
    found = working.web.client.run(sending.run(maria, sent(maria, files), "ocr"))
    status = found.wait(MINUTE)
    assert (status.state, status.passed_over) == ("done", {".docx": 1})
    assert [failure.item for failure in status.failures] == ["torn.pdf"]
    expected = catalog.get("ocr").run_locally(tmp_path)
    assert {name: text for name, text in found.result().items() if name != "torn.pdf"} == expected


def blank(width: int, height: int) -> bytes:
    """A white picture."""
    out = io.BytesIO()
    Image.new("L", (width, height), 255).save(out, "PNG")
    return out.getvalue()


def test_what_is_missing_is_done_again_with_other_options(working: Page, maria: Visitor) -> None:
    files = {"small.png": blank(100, 100), "a/large.png": blank(1200, 1000)}
    first = working.web.client.run(sending.run(maria, sent(maria, files), "ocr", max_megapixels=1))
    assert [failure.item for failure in first.wait(MINUTE).failures] == ["a/large.png"]
    begun = maria.ask("POST", f"/api/runs/{first.id}/again", json={"options": {"max_megapixels": 64}}).json()
    again = working.web.client.run(begun["run"])
    status = again.wait(MINUTE)
    assert (status.state, status.items_total, status.follows, status.failures) == ("done", 1, first.id, [])
    assert status.upload != first.status().upload
    assert again.result() == {"a/large.png": ""}
    answer = maria.ask("POST", f"/api/runs/{again.id}/again", json={})
    why = f"nothing is missing from {again.id}, or none of what was named"
    assert (answer.status_code, answer.json()["detail"]) == (409, why)


def test_a_run_from_a_command_line_says_how_it_is_done_again(working: Page, maria: Visitor) -> None:
    run = working.web.client.submit("wordcount", {"a.txt": b"one"})
    run.wait(MINUTE)
    operator = working.visitor(Role.OPERATOR)
    answer = operator.ask("POST", f"/api/runs/{run.id}/again", json={})
    assert answer.status_code == 409
    assert f"cluster submit --retry-failed {run.id}" in answer.json()["detail"]


def reader(run: Run) -> int:
    """The process that reads the input of a run; 0 for none."""
    status = run.status(failures=False)
    return names.parse_process(status.coordinator)[1] or 0 if status.coordinator and status.role == "splitter" else 0


def test_the_lines_of_the_docs_read_and_search_a_folder_by_curl(working: Page, tmp_path: Path) -> None:
    for program in ("curl", "jq"):
        find_program(program, program)
    for name in ("opening-hours.jpg", "letters/thank-you.jpg"):
        file = tmp_path / "scans" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((IMAGES / name).read_bytes())
    [lines] = re.findall(r"^(    ask\(\) .*?)^(?=\S)", HOWTO.read_text(), re.MULTILINE | re.DOTALL)
    token = working.web.client.tokens.new("scans")
    settings = {**os.environ, "page": working.url, "TOKEN": token}
    script = ["sh", "-euc", f"{lines}\necho $run"]
    done = subprocess.run(script, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=MINUTE)
    assert done.returncode == 0, done.stderr
    arrived, found, run = done.stdout.split()
    assert (arrived, found) == ("2", "letters/thank-you.jpg")
    with zipfile.ZipFile(tmp_path / "texts.zip") as texts:
        assert sorted(texts.namelist()) == ["letters/thank-you.jpg.txt", "opening-hours.jpg.txt"]
    where, told = f"{working.url}/runs/{run}/results.json?q=telescope", {"Authorization": f"Bearer {token}"}
    assert httpx.get(where, headers=told).json()["found"]["rows"][0]["item"] == found
    colleague = {"Authorization": f"Bearer {working.web.client.tokens.new('colleague')}"}
    assert httpx.get(where, headers=colleague).status_code == 404


def test_a_killed_reader_is_replaced(working: Page, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "START_S", 0.0)
    upload = sent(maria, {f"{number}.txt": b"some words" for number in range(20)}, close=False)
    run = working.web.client.run(sending.run(maria, upload, "wordcount"))
    first = wait_until("a reader", lambda: reader(run), timeout_s=MINUTE)
    os.kill(first, signal.SIGKILL)
    tender = tending.Tending(working.web)

    def is_replaced() -> bool:
        tender.look()
        return reader(run) not in (0, first)

    wait_until("another reader", is_replaced, timeout_s=MINUTE)
    maria.ask("POST", f"/api/uploads/{upload}/close")
    assert run.wait(MINUTE).state == "done"
    assert run.result() == {"some": 20, "words": 20}


def test_a_cancelled_run_reads_its_upload_no_more(working: Page, maria: Visitor) -> None:
    upload = sent(maria, {"a.txt": b"some words"}, close=False)
    run = working.web.client.run(sending.run(maria, upload, "wordcount"))
    pid = wait_until("a reader", lambda: reader(run), timeout_s=MINUTE)
    assert maria.ask("DELETE", f"/api/uploads/{upload}").status_code == 409
    assert maria.ask("POST", f"/api/runs/{run.id}/cancel").status_code in (200, 204)
    wait_until("that its reader ends", lambda: not is_there(pid), timeout_s=MINUTE)
    assert maria.ask("DELETE", f"/api/uploads/{upload}").status_code == 204


def test_a_run_whose_upload_is_dropped_says_so(working: Page, maria: Visitor) -> None:
    upload = sent(maria, {"a.txt": b"some words"}, close=False)
    run = working.web.client.run(sending.run(maria, upload, "wordcount"))
    wait_until("a reader", lambda: reader(run), timeout_s=MINUTE)
    working.web.spool.drop(upload)
    status = run.wait(MINUTE)
    assert status.state == "failed"
    assert "the upload was dropped" in (status.error or "")


def test_a_few_files_are_submitted_without_javascript(working: Page, maria: Visitor) -> None:
    files = [("files", ("a.txt", b"some words")), ("files", ("b.txt", b"more words"))]
    fields = {"job": "wordcount", "top": "1", "share": "on"}
    answer = maria.ask("POST", "/api/submit", files=files, data=fields)
    assert answer.status_code == 303
    run = working.web.client.run(answer.headers["location"].removeprefix("/runs/"))
    status = run.wait(MINUTE)
    assert (status.state, status.share, status.options["top"]) == ("done", "cluster", 1)
    assert run.result() == {"words": 2}


def test_a_form_with_a_bad_field_begins_nothing(working: Page, maria: Visitor) -> None:
    before = len(working.web.spool.listed())
    for fields, files, why in [
        ({"job": "wordcount", "top": "x"}, [("files", ("a.txt", b"a"))], "--top is 'x'; it must be a number"),
        ({"job": "wordcount"}, [("files", ("", b""))], "no file was chosen"),
        ({"job": "nothing"}, [("files", ("a.txt", b"a"))], "no job 'nothing'"),
        ({"job": "wordcount"}, [("files", ("../a.txt", b"a"))], "its name is no path"),
    ]:
        answer = maria.ask("POST", "/api/submit", files=files, data=fields)
        assert answer.status_code in (404, 422), answer.text
        assert why in answer.json()["detail"]
    assert len(working.web.spool.listed()) == before


def test_pages_of_a_document_are_done_again_alone(working: Page, maria: Visitor) -> None:
    from cluster.web import again

    upload = working.web.spool.upload(sent(maria, {"s/a.pdf": b"%PDF-", "b.jpg": b"b", "c.zip": b"c"}))
    found = again.entries(upload, ["s/a.pdf#0003", "s/a.pdf#0001", "b.jpg", "c.zip/x/1.jpg"])
    assert [(entry.name, entry.pages) for entry in found] == [("s/a.pdf", (1, 3)), ("b.jpg", None), ("c.zip", None)]


def is_there(pid: int) -> bool:
    """Whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
