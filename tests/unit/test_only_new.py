"""Files that an output lacks are chosen, and their results are added."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster import catalog, errors
from cluster.cli import new_files
from cluster.cli import output as outputs
from cluster.client import memory, only_new, origin, result
from cluster.client.memory import Memory
from cluster.client.only_new import Keeper
from cluster.embedded import private
from tests.kit.records import record

OCR = catalog.get("ocr")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a.png", "b#1.png", "c.png"):
        (folder / name).write_bytes(name.encode())
    return folder


class Office:
    """Does what `submit --only-new` does, with made-up pages."""

    def __init__(self, scans: Path, format: str) -> None:
        self.scans, self.format = scans, format
        self.out = scans.parent / ("out" if OCR.formats[format].folder else f"out.{format}")
        self.changed: list[str] = []

    def memory(self, **options: Any) -> Memory:
        chosen = OCR.writer(self.format, OCR.options_of_run(OCR.options_for(self.format, options)))
        return only_new.opened(OCR, chosen, self.format, options, self.out, self.scans.parent / "cache")

    def wanted(self, **options: Any) -> list[str]:
        with self.memory(**options) as found:
            return [one.choice.name for one in only_new.select(OCR, [self.scans], found).wanted]

    def read(self, text: str = "ink", missing: Mapping[str, None] | None = None) -> list[str]:
        """Read what is wanted; gives the names of the files."""
        chosen = OCR.writer(self.format, OCR.options_of_run(OCR.options_for(self.format, {})))
        with self.memory() as found:
            selection = only_new.select(OCR, [self.scans], found)
            keeper = Keeper(found, selection.wanted, self.out)
            names = [one.choice.name for one in selection.wanted]
            parts: list[Mapping[str, Any]] = [
                {name: record(f"{text} {name}", words=True)} for name in names if name not in (missing or {})
            ]
            with keeper.writing():
                result.write(keeper.format(chosen), [*parts, missing or {}], self.out)
            self.changed = keeper.changed
            return names


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "sqlite", "text-folder", "hocr"])
def test_only_files_that_are_new_are_read(format: str, scans: Path) -> None:
    office = Office(scans, format)
    assert office.read() == ["a.png", "b%231.png", "c.png"]
    assert office.wanted() == []
    (scans / "d.png").write_bytes(b"d")
    (scans / "a.png").write_bytes(b"another a")
    assert office.read("new ink") == ["a.png", "d.png"]
    assert office.wanted() == []
    assert office.wanted(lang="deu") == ["a.png", "b%231.png", "c.png", "d.png"]


def test_new_results_stand_beside_earlier_ones(scans: Path) -> None:
    office = Office(scans, "json")
    office.read()
    (scans / "a.png").write_bytes(b"another a")
    (scans / "c.png").unlink()
    office.read("new ink")
    found = json.loads(office.out.read_bytes())
    assert found == {"a.png": "new ink a.png", "b%231.png": "ink b%231.png", "c.png": "ink c.png"}


def test_a_removed_file_of_a_folder_is_written_again(scans: Path) -> None:
    office = Office(scans, "text-folder")
    office.read()
    (office.out / "b#1.png.txt").unlink()
    assert office.wanted() == ["b%231.png"]


def test_a_removed_output_file_is_written_whole_again(scans: Path) -> None:
    office = Office(scans, "jsonl")
    office.read()
    office.out.unlink()
    assert len(office.wanted()) == 3


def test_a_file_of_which_nothing_was_read_is_tried_again(scans: Path) -> None:
    office = Office(scans, "text-folder")
    office.read(missing={"a.png": None})
    assert office.wanted() == ["a.png"]
    office = Office(scans, "json")
    office.read(missing={"a.png": None})
    assert office.wanted() == ["a.png"]


def test_a_new_reading_that_fails_takes_no_earlier_one_away(scans: Path) -> None:
    office = Office(scans, "json")
    office.read()
    (scans / "a.png").write_bytes(b"damaged")
    office.read(missing={"a.png": None})
    assert json.loads(office.out.read_bytes())["a.png"] == "ink a.png"


def test_an_archive_is_known_by_its_folder(scans: Path) -> None:
    with zipfile.ZipFile(scans / "phone.zip", "w") as archive:
        archive.writestr("a.png", b"a")
    office = Office(scans, "text-folder")
    chosen = OCR.writer("text-folder", OCR.options_of_run({}))
    with office.memory() as found:
        selection = only_new.select(OCR, [scans], found)
        keeper = Keeper(found, selection.wanted, office.out)
        with keeper.writing():
            result.write(keeper.format(chosen), [{"phone.zip/a.png": record("ink")}], office.out)
    assert office.wanted() == ["a.png", "b%231.png", "c.png"]
    (office.out / "phone.zip" / "a.png.txt").unlink()
    (office.out / "phone.zip").rmdir()
    assert "phone.zip" in office.wanted()


def test_a_file_that_changes_meanwhile_is_named_and_read_again(scans: Path) -> None:
    office = Office(scans, "text-folder")
    with office.memory() as found:
        selection = only_new.select(OCR, [scans], found)
        keeper = Keeper(found, selection.wanted, office.out)
        (scans / "a.png").write_bytes(b"longer than before")
        with keeper.writing():
            chosen = OCR.writer("text-folder", OCR.options_of_run({}))
            result.write(keeper.format(chosen), [{"a.png": record("ink")}], office.out)
    assert keeper.changed == ["a.png"]
    assert "a.png" in office.wanted()


def test_a_writer_that_fails_remembers_what_it_wrote(scans: Path) -> None:
    office = Office(scans, "text-folder")
    office.out.mkdir()
    (office.out / "b#1.png.txt").mkdir()  # in the way
    with pytest.raises(errors.ClusterError, match="cannot be written"):
        office.read()
    assert office.wanted() == ["b%231.png"]


def test_known_files_are_not_read(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(scans, "text-folder")
    office.read()
    monkeypatch.setattr(memory, "sha256_of", None)  # to call it would raise a TypeError
    monkeypatch.setattr(Path, "open", None)
    monkeypatch.setattr(Path, "read_bytes", None)
    assert office.wanted() == []


def test_what_was_begun_is_known_until_a_file_of_it_changes(scans: Path) -> None:
    office = Office(scans, "json")
    with office.memory() as found:
        selection = only_new.select(OCR, [scans], found)
        only_new.begin(found, selection.wanted)
    with office.memory(lang="deu") as found:
        assert only_new.begun(found) == []
    with office.memory() as found:
        assert only_new.begun(found) == selection.wanted
        (scans / "a.png").write_bytes(b"another a")
        assert only_new.begun(found) == []
        only_new.begin(found, ())
        assert found.begun() == []


@pytest.mark.parametrize(
    ("job", "format", "output", "told"),
    [
        ("wordcount", "json", "out.json", "makes one result of all its input"),
        ("ocr", "json", None, "name their file or folder with -o"),
        ("ocr", "json", "/dev/null", "name their file or folder with -o"),
    ],
)
def test_an_output_that_nothing_can_be_added_to_is_refused(
    job: str, format: str, output: str | None, told: str
) -> None:  # fmt: skip
    with pytest.raises(errors.UsageError, match=told):
        only_new.require_possible(catalog.get(job), format, None if output is None else Path(output))


def test_the_files_of_a_folder_are_counted_beside_what_else_is_told(tmp_path: Path) -> None:
    to = outputs.prepare(OCR, "text-folder", OCR.options_of_run({}), tmp_path / "out")
    told: list[str] = []
    result.write(result.telling(to.chosen, lambda name, _: told.append(name)), [{"a.png": record("ink")}], tmp_path)
    assert told == ["a.png"]
    assert to.place() == f"{tmp_path / 'out'} (1 file)"


def test_files_that_another_command_reads_now_are_left_to_it(scans: Path) -> None:
    office = Office(scans, "text-folder")
    config = SimpleNamespace(cache_folder=scans.parent / "cache", data_folder=scans.parent / "data")
    client = SimpleNamespace(is_private=True, config=config)
    submission: Any = SimpleNamespace(job=OCR, options={}, client=client, origin=None)
    to = outputs.prepare(OCR, "text-folder", {}, office.out, source=[str(scans)])
    with new_files.remembered(submission, to) as found:
        wanted = only_new.select(OCR, [scans], found).wanted
        only_new.begin(found, wanted)
    began = origin.of(submission, only_new.chosen(wanted), to.output, to.name, kept=True)
    assert began is not None
    held = private.make(private.folder(client.config), "ocr-1a2b3c4d", "ocr", *began)
    (scans / "late.png").touch()
    with pytest.raises(errors.RunBusy, match=r"the run ocr-1a2b3c4d of another command reads 3 files of these"):
        new_files.submit(submission, to, lambda source, to: 0)
    held.close()
    assert new_files.submit(submission, to, lambda source, to: 0) == 0
