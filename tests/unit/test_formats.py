"""What a way of writing a result may ask for: options of the run, the input, a draft."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from cluster import catalog, client, errors
from cluster.cli import output
from cluster.client import result
from cluster.format import Format
from cluster.job import Job
from cluster.option import Option


def write_copies(parts: Iterable[Any], folder: Path, source: Sequence[Path]) -> None:
    for path in source:
        (folder / path.name).write_text(f"{path.read_text()} with {list(parts)}")


def append(parts: Iterable[Any], draft: Path) -> None:
    with draft.open("a") as stream:
        stream.writelines(parts)


def write(parts: Iterable[Any], out: BinaryIO, *, places: bool = False) -> None:
    out.write(f"{list(parts)} {places}".encode())


PLACES = Format(write, sets={"places": True}, without="the places were not kept")
COPIES = Format(write_copies, folder=True, source=True)
APPENDED = Format(append, file=True, refuses=lambda file: "is strange" if "?" in file.read_text() else "")
JOB = dataclasses.replace(
    catalog.WORDCOUNT,
    finish=None,
    options=(Option("places", bool, False, "keep them"),),
    formats={"plain": Format(write), "boxes": PLACES, "more": PLACES, "copies": COPIES, "appended": APPENDED},
)


def test_a_run_is_begun_with_what_its_format_needs() -> None:
    assert JOB.options_for("boxes", {"chunk_size": 7}) == {"chunk_size": 7, "places": True}
    assert JOB.options_for("plain", {}) == JOB.options_for("json", {}) == JOB.options_for(None, {}) == {}
    with client.local().prepare("ocr", {"lang": "deu"}, format="hocr") as submission:
        assert submission.options["words"] is True
    with client.local().prepare("ocr", {}) as submission:
        assert submission.options["words"] is False


def test_a_format_that_the_job_lacks_is_told_before_anything_is_begun() -> None:
    with pytest.raises(errors.UsageError, match=r"job ocr has no format 'docx' \(it has: json, .*sqlite"):
        client.local().prepare("ocr", {}, format="docx")


def test_a_run_that_was_begun_without_says_which_formats_it_lacks() -> None:
    told = r"as boxes: the places were not kept; submit it with --format boxes\|more$"
    with pytest.raises(errors.UsageError, match=told):
        JOB.writer("boxes", JOB.check_options({}))
    out = io.BytesIO()
    JOB.writer("boxes", JOB.check_options({"places": True})).write([1], out)
    assert out.getvalue() == b"[1] True"


def prepared(job: Job, name: str, place: Path, *source: Path) -> output.Target:
    return output.prepare(job, name, job.check_options({}), place, source=[str(path) for path in source])


def test_a_writer_of_copies_gets_the_input(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    target = prepared(JOB, "copies", tmp_path / "out", tmp_path / "a.txt")
    output.write(target.chosen, [1], tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_text() == "a with [1]"


def test_copies_are_never_written_without_or_over_the_input(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    with pytest.raises(errors.UsageError, match="--format copies writes copies of the input: name it"):
        prepared(JOB, "copies", tmp_path / "out")
    with pytest.raises(errors.UsageError, match="would write over the input"):
        prepared(JOB, "copies", scans, scans)
    with pytest.raises(errors.UsageError, match="lies in the input"):
        prepared(JOB, "copies", scans / "out", scans)


def test_a_draft_holds_what_was_there_before(tmp_path: Path) -> None:
    file = tmp_path / "log"
    for text in ("one ", "two"):
        result.write(APPENDED, [text], file)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"log": "one two"}


def test_a_draft_that_fails_leaves_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("one")
    with pytest.raises(errors.ClusterError):
        result.write(APPENDED, ["two", 3], file)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"log": "one"}


def test_what_another_program_added_meanwhile_is_not_lost(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("one")

    def parts() -> Iterable[str]:
        yield "two"
        file.write_text("one and a half")

    with pytest.raises(errors.ClusterError, match="was changed while the result was added to it: write it again"):
        result.write(APPENDED, parts(), file)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"log": "one and a half"}


def test_a_file_that_its_writer_refuses_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("?")
    with pytest.raises(errors.UsageError, match="log is strange; name another file"):
        prepared(JOB, "appended", tmp_path / "log")


@pytest.mark.parametrize(("place", "told"), [(None, "give it with -o FILE"), (Path("/dev/null"), "and no stream")])
def test_a_draft_needs_a_file(place: Path | None, told: str) -> None:
    with pytest.raises(errors.UsageError, match=told):
        output.prepare(JOB, "appended", JOB.check_options({}), place)
