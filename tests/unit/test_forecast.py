"""What a run would do, before it is begun."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cluster import catalog, errors
from cluster.client import forecast, history
from cluster.client.forecast import Done, Pace
from cluster.client.run import Failure, Status
from tests.kit.commands import cluster

OCR = catalog.get("ocr")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    page = Image.new("L", (40, 30), 255)
    page.save(folder / "two.tif", save_all=True, append_images=[page])
    page.save(folder / "one.PNG")
    (folder / "empty.pdf").write_bytes(b"")
    (folder / "notes.docx").write_bytes(b"")
    return folder


def status(**more: Any) -> Status:
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "run": "ocr-1", "job": "ocr", "version": OCR.version, "requirement": "ocr", "state": "done", "items_total": 40,
        "items_done": 40, "items_failed": 0, "failures": [], "chunks_total": 4, "chunks_published": 4,
        "chunks_settled": 4, "chunks_running": 0, "duplicates": 0, "retries": 0, "nodes": {"pc1": 3, "pc2": 1},
        "rejections": {}, "coordinator": None, "role": None, "options": OCR.options_of_run({}), "submitter": "x",
        "error": None, "started_at": now, "finished_at": now, "seconds": 10.0,
    }  # fmt: skip
    return Status(**{**fields, **more})


def test_files_pages_and_bytes_are_counted_by_kind(scans: Path) -> None:
    found = forecast.contents(OCR, [scans], OCR.options_of_run({}))
    assert {kind: (files.files, files.items) for kind, files in found.kinds.items()} == {".tif": (1, 2), ".png": (1, 1)}
    assert found.total.size_bytes == sum((scans / name).stat().st_size for name in ("two.tif", "one.PNG"))
    assert found.passed_over == {".docx": 1}
    assert list(found.problems) == ["empty.pdf"]
    assert found.unreadable == 1


def test_nodes_are_as_fast_as_they_were() -> None:
    done = [Done("pc1", 30, 10, 2), Done("pc2", 10, 10, 1)]
    assert forecast.pace(done, 1, {"pc1": 2, "pc2": 1}) == Pace(4.0, 40, 1)
    assert forecast.pace(done, 1, {"pc2": 1}) == Pace(1.0, 40, 1)


def test_a_new_node_counts_as_the_others_slot_for_slot() -> None:
    done = [Done("pc1", 30, 10, 3)]
    assert forecast.pace(done, 1, {"pc1": 3, "pc9": 6}) == Pace(9.0, 30, 1)


def test_nothing_is_foreseen_without_an_earlier_run() -> None:
    assert forecast.pace([], 0, {"pc1": 2}) is None


def test_runs_with_the_same_options_tell_more_than_others() -> None:
    others = status(run="ocr-2", options={**OCR.options_of_run({}), "clean": True})
    same = status()
    assert forecast._alike([others, same], OCR, OCR.options_of_run({})) == [same]
    assert forecast._alike([others], OCR, OCR.options_of_run({})) == [others]


def test_private_runs_are_written_down_the_latest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_RUNS", 2)
    for number in range(3):
        failures = [Failure(item="a.png", reason="x")]
        history.keep(tmp_path, status(run=f"ocr-{number}", failures=failures), slots=2)
    assert [(past.run, past.slots, past.missing) for past in history.read(tmp_path)] == [
        ("ocr-2", 2, ["a.png"]), ("ocr-1", 2, ["a.png"]),
    ]  # fmt: skip
    with (tmp_path / history.FILE).open("ab") as stream:
        stream.write(b'{"run": "of another version"}\n[]\n{')
    assert len(history.read(tmp_path)) == 2


def test_a_dry_run_begins_nothing(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.client.session.Session.__enter__", None)  # to begin a cluster would raise a TypeError
    here = {"CLUSTER_CACHE_DIR": str(tmp_path / "cache"), "CLUSTER_SLOTS": "2"}
    history.keep(tmp_path / "cache", status(items_done=30, seconds=60), slots=1)
    asked = ("submit", "--job", "ocr", scans, "--dry-run")
    told = cluster(*asked, settings=here)
    assert told.returncode == 0
    lines = [line.strip() for line in told.stdout.splitlines()]
    assert lines[0].startswith("to read      2 files, 3 pages, ")
    assert "passed over  1 file is of no kind this job reads (1 .docx)" in lines
    assert any(line.startswith("empty.pdf: ") for line in lines)
    assert "done by      this machine, 2 slots" in lines
    assert "time         about 6.0 s, going by the 30 pages of the last run" in lines
    found = json.loads(cluster(*asked, "--json", settings=here).stdout)
    assert (found["files"], found["items"], found["unreadable"], found["seconds"]) == (2, 3, 1, 6.0)
    assert found["nodes"] == [{"name": "this machine", "slots": 2}]


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_dry_run_of_nothing_to_read_ends_as_the_run_would(more: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "notes.docx").touch()
    with pytest.raises(errors.NothingToDo) as refused:
        next(OCR.chunks(tmp_path, OCR.options_of_run({})))
    done = cluster("submit", "--job", "ocr", tmp_path, "--dry-run", *more)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"cluster: {refused.value}\n")


def test_a_dry_run_of_what_is_new_makes_no_memory(scans: Path, tmp_path: Path) -> None:
    here = {"CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    to = ("--only-new", "--format", "text-folder", "-o", tmp_path / "out")
    told = cluster("submit", "--job", "ocr", scans, "--dry-run", *to, settings=here)
    assert "known        0 files, whose results the output has" in told.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--only-new", "--detach"], "--detach and --only-new do not go together"),
        (["--watch", "--retry-failed", "ocr-1"], "--watch and --retry-failed do not go together"),
        (["--json"], "--json goes with --dry-run"),
        (["--only-new"], "name their file or folder with -o"),
        (["--watch"], "name their file or folder with -o"),
    ],
)
def test_flags_that_do_not_go_together_are_told(flags: list[str], told: str, scans: Path) -> None:
    done = cluster("submit", "--job", "ocr", *flags, scans)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_private_run_that_nobody_knows_is_named(scans: Path, tmp_path: Path) -> None:
    here = {"CLUSTER_CACHE_DIR": str(tmp_path / "cache")}
    done = cluster("submit", "--job", "ocr", "--retry-failed", "ocr-0", scans, "-o", tmp_path / "o.json", settings=here)
    assert done.returncode == 2
    assert "no private run ocr-0 was done on this machine lately" in done.stderr
