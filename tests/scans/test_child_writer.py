"""Documents are written by a child process, whose end is the problem of one document."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from aggregators import by_name
from cluster import catalog, errors, searchable
from cluster.client import only_new, result
from cluster.client.only_new import Keeper, Wanted
from cluster.searchable import child_writer
from splitters import Item, pages
from splitters.items import Items
from tests.kit import bad_writer, pdfs

pytest.importorskip("pikepdf")
pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals and limits of this kind")


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_writer, "PROGRAM", bad_writer.__name__)


def scans(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(pdfs.scan(name))
    return folder


def problems(source: Path, folder: Path) -> tuple[str, ...]:
    with pytest.raises(by_name.NotAllWritten) as caught:
        searchable.write(pdfs.parts_of(source), folder, source=[source])
    return caught.value.problems


def below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("bad")
def test_a_document_that_ends_its_writer_costs_only_itself(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", "SIGABRT.pdf", "SIGKILL.pdf", "SIGSEGV.pdf", "a.pdf", "z.pdf")
    assert problems(source, tmp_path / "out") == (
        "SIGABRT.pdf: is damaged: the program that writes it ended by SIGABRT",
        "SIGKILL.pdf: cannot be written: the program that writes it was ended from outside (SIGKILL)",
        "SIGSEGV.pdf: is damaged: the program that writes it ended by SIGSEGV",
    )
    assert below(tmp_path / "out") == ["a.pdf", "z.pdf"]
    assert not [one for one in psutil.Process().children() if bad_writer.__name__ in one.cmdline()]


@pytest.mark.usefixtures("bad")
def test_a_document_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_writer, "BUSY_TIMES", 2 / 130)
    source = scans(tmp_path / "in", "wait.pdf")
    (tmp_path / "out").mkdir()  # on a busy machine the time may be over before the child has begun
    assert problems(source, tmp_path / "out") == ("wait.pdf: takes more than 2 s to write",)
    assert below(tmp_path / "out") == []  # and no draft


@pytest.mark.usefixtures("bad")
def test_the_writer_does_not_know_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_BROKER_URL", "redis://:secret@hub")
    monkeypatch.setenv("LANG", "C.UTF-8")
    [problem] = problems(scans(tmp_path / "in", "environment.pdf"), tmp_path / "out")
    assert "LANG" in problem.split()
    assert "CLUSTER" not in problem


@pytest.mark.usefixtures("bad")
def test_a_document_that_takes_too_much_memory_is_named(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", "a.pdf", "memory.pdf")
    assert problems(source, tmp_path / "out") == ("memory.pdf: takes too much memory to write",)
    assert below(tmp_path / "out") == ["a.pdf"]


@pytest.mark.usefixtures("bad")
def test_a_full_disk_is_no_fault_of_a_document(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", "full.pdf", "z.pdf")
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'out'}'"):
        searchable.write(pdfs.parts_of(source), tmp_path / "out", source=[source])
    assert below(tmp_path / "out") == []


def test_entries_of_archives_are_written_by_the_child(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    with zipfile.ZipFile(source / "phone.zip", "w") as archive:
        archive.writestr("book.pdf", pdfs.scan("one", "two"))
        archive.writestr("IMG_1.jpg", pdfs.picture("three"))
    searchable.write(pdfs.parts_of(source), tmp_path / "out", source=[source])
    assert below(tmp_path / "out/phone.zip") == ["IMG_1.jpg.pdf", "book.pdf"]


def test_items_in_memory_are_sent_to_the_child(tmp_path: Path) -> None:
    def read() -> Iterator[Item]:
        yield Item("a.jpg", pdfs.picture("one"))
        yield Item("b.jpg", pdfs.picture("two"))

    source = Items(read)
    parts = [{item.name: pdfs.record(item.data) for item in chunk} for chunk in pages.split(source)]
    searchable.write(parts, tmp_path / "out", source=source)
    assert below(tmp_path / "out") == ["a.jpg.pdf", "b.jpg.pdf"]


def test_only_new_passes_over_what_is_signed_until_told(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", "a.pdf", "b.pdf")
    (source / "a.pdf").write_bytes(pdfs.signed(pdfs.scan("a.pdf")))
    ocr, folder = catalog.get("ocr"), tmp_path / "out"
    chosen = result.with_source(ocr.writer("pdf", ocr.options_of_run({"words": True})), [source])

    def wanted(**options: object) -> list[Wanted]:
        with only_new.opened(ocr, chosen, "pdf", options, folder, tmp_path) as memory:
            return only_new.select(ocr, [source], memory).wanted

    with only_new.opened(ocr, chosen, "pdf", {}, folder, tmp_path) as memory:
        keeper = Keeper(memory, wanted(), folder)
        with pytest.raises(errors.NotAllWritten, match=r"a\.pdf: is signed"), keeper.writing():
            result.write(keeper.format(chosen), pdfs.parts_of(source), folder)
    assert wanted() == []
    assert [one.choice.name for one in wanted(break_signatures=True)] == ["a.pdf", "b.pdf"]
