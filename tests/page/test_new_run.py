"""The page of a new run: a form made from what jobs declare, and what would come of it."""

from __future__ import annotations

import errno
import os

import pytest

from cluster import catalog
from cluster.client import submission
from cluster.roles import Role
from cluster.web.spool_upload import Upload
from tests.kit.pages import Page, Visitor
from tests.page import sending


def test_each_job_is_a_form_of_its_options(admin: Visitor) -> None:
    found = {form["job"]: form for form in admin.get("/submit.json")["jobs"]}
    assert {"ocr", "faces", "train"} <= set(found)
    fields = {field["name"]: field for field in found["ocr"]["fields"]}
    assert fields["max_megapixels"]["kind"] == "number"
    assert (fields["max_megapixels"]["minimum"], fields["max_megapixels"]["maximum"]) == (1, 178)
    assert fields["clean"]["kind"] == "check"
    assert fields["text"]["choices"] == ["skip", "redo", "force"]
    assert fields["lang"]["is_main"]
    assert ".pdf" in found["ocr"]["suffixes"]
    assert found["ocr"]["reads"] == "pictures, PDF, TIFF, HEIC and ZIP"
    assert found["wordcount"]["reads"] == ""


def test_the_languages_have_a_label_of_their_own(admin: Visitor) -> None:
    [ocr] = [form for form in admin.get("/submit.json")["jobs"] if form["job"] == "ocr"]
    assert [field["label"] for field in ocr["fields"] if field["name"] == "lang"] == ["Languages"]


def test_no_field_asks_for_a_file_of_this_machine(admin: Visitor) -> None:
    names = {(form["job"], field["name"]) for form in admin.get("/submit.json")["jobs"] for field in form["fields"]}
    assert ("ocr", "password_file") not in names
    assert ("train", "test_file") not in names
    assert ("train", "net") in names


def test_the_page_shows_the_fields_of_the_job_that_is_asked_for(admin: Visitor) -> None:
    shown = admin.html("/submit?job=wordcount")
    assert '<fieldset data-job="wordcount">' in shown
    assert '<fieldset data-job="ocr" hidden disabled>' in shown
    assert "<noscript>" in shown


def test_the_command_says_what_is_not_as_by_default(admin: Visitor) -> None:
    options = {"lang": "deu", "clean": True, "dpi": 300}
    answer = admin.ask("POST", "/api/foresee", json={"job": "ocr", "options": options}).json()
    assert answer["command"] == ["cluster", "submit", "--job", "ocr", "--lang", "deu", "--clean", "FILES"]
    assert answer["told"] == "No node is online: the run begins once one comes."


def test_an_option_out_of_range_is_told(admin: Visitor) -> None:
    answer = admin.ask("POST", "/api/foresee", json={"job": "ocr", "options": {"max_megapixels": 1000}})
    assert answer.json() == {
        "status": 422, "detail": "--max-megapixels is 1000; it must be 178 or less", "field": "options.max_megapixels",
    }  # fmt: skip


def test_an_option_may_read_no_file_of_this_machine(admin: Visitor) -> None:
    for job, name, value in [
        ("ocr", "password_file", "/etc/passwd"), ("train", "test_file", "x.csv"), ("train", "net", "/etc/x.toml"),
        ("train", "from_model", "./folder"), ("train", "joint", "groups"),
    ]:  # fmt: skip
        answer = admin.ask("POST", "/api/foresee", json={"job": job, "options": {name: value}})
        assert answer.status_code == 422
        assert "names a file of the machine" in answer.json()["detail"]


def test_an_option_longer_than_a_file_name_is_told(admin: Visitor) -> None:
    body = {"job": "train", "options": {"net": "x" * 256}}
    answer = admin.ask("POST", "/api/foresee", json=body)
    assert (answer.status_code, "--net" in answer.json()["detail"]) == (422, True)


def test_every_text_option_that_reads_a_file_says_so() -> None:
    """Whoever adds such an option to a job must mark it, or somebody on the page reads files of this machine."""
    named = {
        (job.name, option.name)
        for job in catalog.BUILT_IN
        for option in job.options
        if "file" in option.name or any(word in option.help for word in ("a file", "folder", ".toml", "FOLDER"))
    }
    marked = {(job.name, option.name) for job in catalog.BUILT_IN for option in job.options if option.file}
    assert named - marked == set()


def test_a_viewer_sees_no_page_of_a_new_run(visitors: dict[Role, Visitor]) -> None:
    assert visitors[Role.VIEWER].ask("GET", "/submit.json").status_code == 403


def test_an_open_upload_is_offered_to_its_owner(page: Page, admin: Visitor) -> None:
    mine = admin.ask("POST", "/api/uploads", json={"files": 3}).json()["upload"]
    other = page.visitor(Role.SUBMITTER, "other")
    theirs = other.ask("POST", "/api/uploads", json={}).json()["upload"]
    assert [one["upload"] for one in admin.get("/submit.json")["open_uploads"]] == [mine]
    assert other.ask("GET", f"/submit.json?upload={mine}").status_code == 404
    assert other.get(f"/submit.json?upload={theirs}")["upload"]["files"] == 0


def test_a_run_that_its_upload_cannot_note_is_not_begun(
    page: Page, admin: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(upload: Upload, run: str) -> None:
        noted.append(run)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    noted: list[str] = []
    readers: list[object] = []
    monkeypatch.setattr(Upload, "add_run", full)
    monkeypatch.setattr(submission, "spawn", lambda *given: readers.append(given))
    upload = sending.begin(admin)
    sending.send(admin, upload, sending.bundle([("a.txt", b"one")]))
    assert admin.ask("POST", "/api/runs", json={"job": "wordcount", "upload": upload}).status_code == 507
    assert (len(noted), readers) == (1, [])
    assert page.web.client.run(noted[0]).status().state == "failed"
