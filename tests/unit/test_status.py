"""What is told of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cluster import catalog, errors
from cluster.cli import texts
from cluster.client import result
from cluster.ledger.row import RunRow
from cluster.ledger.status import from_ledger
from cluster.nodes.registry import Node
from cluster.worker import setup


@pytest.mark.parametrize(("finished", "seconds"), [({}, 7.5), ({"finished_at": "1004"}, 4.0)])
def test_how_long_a_run_takes_is_by_redis_clock_whatever_ours_says(finished: dict[str, str], seconds: float) -> None:
    fields = {"state": "running", "job": "wordcount", "options": "{}", "started_at": "1000", **finished}
    found = from_ledger("run-1", row(fields), {}, {}, {}, failed=0, running=0, now_s=1007.5)
    assert found.seconds == seconds
    assert found.model_dump(mode="json")["seconds"] == seconds


def test_a_cancelled_run_is_called_so_once() -> None:
    fields = {"state": "cancelled", "job": "wordcount", "options": "{}", "started_at": "1"}
    for error, why in (("cancelled by cluster cancel", "by cluster cancel"), ("too slow", "too slow")):
        found = from_ledger("run-1", row({**fields, "error": error}), {}, {}, {}, failed=0, running=0, now_s=1)
        assert texts.status(found).startswith(f"run-1: cancelled ({why})\n")
        with pytest.raises(errors.RunCancelled, match=f"^the run run-1 was cancelled: {why}$"):
            result.require_done(found)


def test_one_chunk_is_no_chunks() -> None:
    fields = {"state": "done", "job": "wordcount", "options": "{}", "started_at": "1"}
    found = from_ledger("run-1", row(fields), {}, {"a@b": 1, "c@d": 2}, {}, failed=0, running=0, now_s=1)
    assert texts.history([], found).splitlines() == ["a@b did 1 chunk", "c@d did 2 chunks"]


def row(fields: dict[str, str]) -> RunRow:
    return RunRow.read({name: value.encode() for name, value in fields.items()})


def node(name: str, **more: Any) -> Node:
    now = datetime.now(UTC)
    facts: dict[str, Any] = {"slots": 2, "busy": 1, "done": 7, "cores": 1, "load": 0.5, "versions": {}, "jobs": []}
    facts |= {"memory_total_bytes": 2**30, "memory_available_bytes": 2**29, "state": "online"}
    return Node.model_validate(
        {**facts, "name": name, "joined_at": now, "last_seen_at": now, "incarnation": name, "phase": "here", **more}
    )


def test_nodes_stand_in_one_column_in_a_narrow_terminal() -> None:
    jobs = [f"faces@office:{number}.1a2b3c4d" for number in range(4)]
    found = [node("away@pc", state="gone"), node("here@pc", jobs=jobs)]
    wide = texts.nodes(found).splitlines()
    assert [line.split()[0] for line in wide] == ["NODE", "here@pc", "away@pc"]  # those that are gone come last
    assert texts.nodes(found, max(map(len, wide))).splitlines() == wide
    narrow = texts.nodes(found, 60).splitlines()
    assert [line for line in narrow if not line.startswith(" ")] == ["here@pc", "away@pc"]
    assert max(map(len, narrow)) <= 60
    assert "  memory free  0.5 of 1.0 GiB" in narrow
    assert all(any(job in line for line in narrow) for job in jobs)


def test_a_job_has_its_version_in_the_table_where_nodes_have_several() -> None:
    found = [node("a@pc", jobs=["ocr.2", "faces.2@office:3.1a2b3c4d"]), node("b@pc", missing={"ocr.2": "no tesseract"})]
    alike = texts.nodes(found).splitlines()
    assert alike[1].endswith("  ocr faces@office:3.1a2b3c4d")
    assert alike[-1] == "b@pc leaves out ocr: no tesseract"
    unlike = texts.nodes([*found, node("old@pc", jobs=["ocr.1"])]).splitlines()
    assert unlike[1].endswith("  ocr.2 faces@office:3.1a2b3c4d")
    assert unlike[3].endswith("  ocr.1")
    assert unlike[-1] == "b@pc leaves out ocr.2: no tesseract"


def test_nodes_that_lack_the_same_jobs_are_told_in_one_line() -> None:
    missing = {"faces": "NumPy is not installed", "onnx": "NumPy is not installed", "train": "no torch"}
    alike = [node(f"pc{number}@office", missing=missing) for number in range(1, 7)]
    found = [*alike, node("own@office", missing={"train": "no torch"}), node("away@pc", state="gone", missing=missing)]
    told = [line for line in texts.nodes(found).splitlines() if "out" in line]
    four = "pc1@office, pc2@office, pc3@office, pc4@office"
    assert told == [
        f"{four} and 2 more leave out faces, onnx: NumPy is not installed",
        f"{four} and 3 more leave out train: no torch",
    ]
    assert texts.nodes(found[6:]).splitlines()[-1] == "own@office leaves out train: no torch"


def test_a_machine_tells_the_jobs_it_lacks_in_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert catalog.lacks({"ocr": "", "wordcount": ""}) == ""
    one = catalog.lacks({"ocr": "", "faces": "no NumPy"})
    assert one.startswith("this node leaves out the job faces: no NumPy; to add it: ")
    monkeypatch.setattr(catalog, "abilities", lambda: {"ocr": "", "faces": "no NumPy", "onnx": "no NumPy"})
    assert setup._unable() == {catalog.get(job).capability: "no NumPy" for job in ("faces", "onnx")}
    [told] = caplog.messages
    assert told.startswith("this machine does not do faces, onnx: `cluster doctor` says why")
    assert "\n" not in told


def test_who_has_a_run_whose_input_was_not_read_is_told_how_to_go_on() -> None:
    fields = {"state": "running", "job": "wordcount", "options": "{}", "started_at": "1", "lease_until_ms": "9000"}
    had = {"coordinator": "hub:1", "role": "supervisor"}
    found = from_ledger("run-1", row({**fields, **had}), {}, {}, {}, failed=0, running=0, now_s=1)
    assert "not read to its end: go on with `cluster resume run-1 INPUT...`" in texts.status(found)
    for more in ({"chunks_total": "1"}, {"role": "splitter"}):
        found = from_ledger("run-1", row({**fields, **had, **more}), {}, {}, {}, failed=0, running=0, now_s=1)
        assert "INPUT" not in texts.status(found)
