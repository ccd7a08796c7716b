"""Forgetting a run: nothing of it stays on the page's machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster import errors
from cluster.cli import runs
from cluster.client.run import Belongs, Run
from cluster.client.submission import log_folder
from cluster.roles import Role
from cluster.web import forgetting
from cluster.web.face_rows import Face
from tests.kit.page_runs import PageRun
from tests.kit.pages import Page, Visitor
from tests.kit.pdfs import picture
from tests.kit.records import record

pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


def lies_in(folder: Path) -> set[str]:
    """Files below a folder, with what is in them."""
    return {str(Path(at, name)) for at, _, names in os.walk(folder) for name in names}


def read(page: Page, files: dict[str, bytes], owner: str = "maria", upload_id: str = "", letter: str = "a") -> PageRun:
    if not upload_id:
        upload = page.web.spool.begin(owner)
        for name, data in files.items():
            upload.put(name, data)
        upload.close()
        upload_id = upload.id
    belongs = Belongs(owner, upload=upload_id)
    texts = {name: record(f"text of {name}", digest=letter * 16) for name in files}
    run = PageRun(page.web.client.stores, "ocr", texts, belongs=belongs).end()
    page.web.spool.upload(upload_id).add_run(run.id)
    return run


def test_what_was_sent_made_read_and_corrected_goes(page: Page, maria: Visitor) -> None:
    maria.get("/runs.json")
    before = lies_in(page.web.folder)
    run = read(page, {"a.jpg": picture("private")})
    for path in ("picture/a.jpg", "picture/a.jpg?size=thumb", "results", "download/json"):
        assert maria.ask("GET", f"/runs/{run.id}/{path}").status_code == 200
    maria.ask("PUT", f"/api/runs/{run.id}/correction", json={"item": "a.jpg", "text": "my secret"})
    assert lies_in(page.web.folder) > before
    told = maria.ask("POST", f"/api/runs/{run.id}/forget").json()
    assert told == {"run": run.id, "files": 1, "corrections": 1, "upload_of": [], "models": []}
    left = lies_in(page.web.folder) - before
    assert {Path(file).name for file in left} == {"corrections.sqlite"}
    assert all(b"secret" not in Path(file).read_bytes() for file in left)
    assert maria.ask("GET", f"/runs/{run.id}/results").status_code == 404
    assert maria.ask("POST", f"/api/runs/{run.id}/forget").status_code == 404


def test_what_another_run_reads_stays_until_that_is_forgotten(page: Page, maria: Visitor) -> None:
    first = read(page, {"b.jpg": picture("shared")}, letter="b")
    upload = page.web.client.run(first.id).status().upload
    second = read(page, {"b.jpg": b""}, upload_id=upload, letter="b")
    maria.get(f"/runs/{second.id}/results.json")
    maria.ask("PUT", f"/api/runs/{first.id}/correction", json={"item": "b.jpg", "text": "better"})
    told = maria.ask("POST", f"/api/runs/{first.id}/forget").json()
    assert (told["files"], told["corrections"], told["upload_of"]) == (0, 0, [second.id])
    assert maria.ask("GET", f"/runs/{second.id}/picture/b.jpg").status_code == 200
    told = maria.ask("POST", f"/api/runs/{second.id}/forget").json()
    assert (told["files"], told["corrections"]) == (1, 1)
    assert not (page.web.folder / "uploads" / upload).exists()


def test_only_a_run_of_ones_own_that_is_over_can_be_forgotten(page: Page, maria: Visitor) -> None:
    goes_on = PageRun(page.web.client.stores, "ocr", {"a.png": record("x")}, belongs=Belongs("maria"))
    answer = maria.ask("POST", f"/api/runs/{goes_on.id}/forget")
    assert answer.status_code == 409
    assert "cancel it first" in answer.json()["detail"]
    shared = read(page, {"c.jpg": picture("x")}, "jan")
    page.web.client.run(shared.id).share("cluster")
    assert maria.ask("POST", f"/api/runs/{shared.id}/forget").status_code == 403
    assert "Forget this run" not in maria.html(f"/runs/{shared.id}/results")


def test_results_of_runs_that_the_cluster_has_forgotten_go_by_themselves(page: Page, maria: Visitor) -> None:
    gone, stays = read(page, {"d.jpg": b"x"}), read(page, {"e.jpg": b"x"})
    for run in (gone, stays):
        maria.get(f"/runs/{run.id}/results.json")
    page.web.client.prune([page.web.client.run(gone.id).status()])
    page.web.swept_at = 0.0
    maria.get(f"/runs/{stays.id}/results.json")
    assert not page.web.results.file(gone.id).exists()
    assert page.web.results.file(stays.id).exists()


def test_what_was_said_of_faces_outlasts_a_run_by_a_day(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = read(page, {"p.jpg": b"x"})
    decisions = page.web.decisions
    decisions.decide("office", [face(gone.id)], "name", "Ada", "maria")
    with monkeypatch.context() as away:
        away.setattr(Run, "status", lambda *_, **__: (_ for _ in ()).throw(errors.BrokerUnreachable("away")))
        swept(page)
    page.web.client.prune([page.web.client.run(gone.id).status()])
    swept(page)
    assert [one.run for one in decisions.all("office")] == [gone.id]
    monkeypatch.setattr(forgetting, "GONE_S", 0.0)
    swept(page)
    assert decisions.all("office") == []


def test_pictures_and_logs_go_with_their_upload_whoever_drops_it(page: Page) -> None:
    upload = page.web.spool.begin("maria")
    upload.add_run("ocr-00000000")
    log = log_folder(page.web.client.config) / "ocr-00000000.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    entry = upload.put("a.jpg", b"private")
    mine, other = (page.web.folder / "pictures" / "ab" / f"{key}-1-96-0.webp" for key in (entry.sha256, "f" * 64))
    for file in (mine, other):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    page.web.spool.drop(upload.id)
    assert (mine.exists(), log.exists(), other.exists()) == (False, False, True)
    page.web.spool.drop(upload.id)
    other.unlink()


def test_models_that_learnt_its_faces_are_named_and_the_crops_go(page: Page, maria: Visitor) -> None:
    run, training = read(page, {"q.jpg": b"x"}), read(page, {"Ada/1.webp": b"crop"}, owner="jan")
    page.web.client.stores.ledger.reports.enter(training.id, {"model": "office:2"})
    for number, trained in enumerate((training.id, "office:3", f"faces-train-{'0' * 8}")):
        page.web.decisions.decide("office", [face(run.id, number)], "name", "Ada", "maria")
        [fresh] = [one for one in page.web.decisions.all("office") if not one.trained]
        page.web.decisions.note_training("office", [fresh], trained)
    assert "office:2" in maria.html(f"/runs/{run.id}/results")
    crops = page.web.client.run(training.id).status().upload
    told = maria.ask("POST", f"/api/runs/{run.id}/forget").json()
    assert told["models"] == ["office", "office:2", "office:3"]
    assert not (page.web.folder / "uploads" / crops).exists()


def test_a_run_whose_faces_are_being_learnt_is_not_forgotten(page: Page, maria: Visitor) -> None:
    run, training = read(page, {"r.jpg": b"x"}), PageRun(page.web.client.stores, "ocr", {"1.webp": record("x")})
    page.web.decisions.decide("office", [face(run.id)], "name", "Ada", "maria")
    page.web.decisions.note_training("office", page.web.decisions.all("office"), training.id)
    answer = maria.ask("POST", f"/api/runs/{run.id}/forget")
    assert (answer.status_code, training.id in answer.json()["detail"]) == (409, True)


def face(run: str, number: int = 0) -> Face:
    return Face(run, "p.jpg", number, (1, 1, 9, 9), 0.8, "x", 0.9, "", "")


def swept(page: Page) -> None:
    page.web.swept_at = -forgetting.SWEEP_S
    forgetting.sweep(page.web)


def test_the_command_that_the_page_shows_removes_this_run_alone(page: Page, broker: str) -> None:
    gone, stays = read(page, {"f.jpg": b"x"}), read(page, {"g.jpg": b"x"})
    done = CliRunner().invoke(runs.command, ["--prune", gone.id, "--yes", "--broker", broker])
    assert done.exit_code == 0, done.output
    assert gone.id in done.output
    assert stays.id not in done.output
    again = CliRunner().invoke(runs.command, ["--prune", gone.id, "--yes", "--broker", broker])
    assert isinstance(again.exception, errors.UsageError)
    assert "no run" in str(again.exception)
