"""PDFs that are damaged, or made to do damage, cut into pages."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from splitters import Item, page_names, pages

CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
NO_PAGES = "is damaged: no pages can be found in it"
NEEDS_PASSWORD = "needs its password (--password-file)"
READ = ""


def tree(count: int, kids: str, *objects: bytes) -> bytes:
    """A PDF whose pages' root says that it has ``count`` pages; its objects follow, numbered from 3."""
    return file(CATALOG, f"<</Type/Pages/Count {count}/Kids[{kids}]>>".encode(), *objects)


def file(*objects: bytes, trailer: bytes = b"") -> bytes:
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, data in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, data)
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = b"%d" % len(out)
    size = len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, rows)
    return bytes(out) + b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%s\n%%%%EOF\n" % (size, trailer, start)


def stream(data: bytes, keys: bytes = b"") -> bytes:
    return b"<<%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (keys, len(data), data)


def sound(number: int, **how: Any) -> bytes:
    with pikepdf.new() as made:
        for _ in range(number):
            made.add_blank_page()
        out = io.BytesIO()
        made.save(out, **how)
        return out.getvalue()


def looping_table() -> bytes:
    made = file(CATALOG, b"<</Type/Pages/Count 1/Kids[3 0 R]>>", PAGE, trailer=b"/Prev 00000")
    return made.replace(b"/Prev 00000", b"/Prev %05d" % made.index(b"xref"))


def nested(kids: str = "4 0 R") -> bytes:
    """A PDF with a sound page, 3 0 R, and one with objects that refer to each other, one after the other.

    PDFium follows them by calling itself.
    """
    chain = [b"<</N %d 0 R>>" % (number + 6) for number in range(60_000)]
    return tree(kids.count("R"), kids, PAGE, PAGE[:-2] + b"/X 5 0 R>>", *chain, b"null")


ZEROS = zlib.compress(bytes(50 * 2**20), 9)
BAD: Mapping[str, tuple[bytes, list[str]]] = {
    "empty": (b"", ["the file is empty"]),
    "text": (b"hello", [NO_PAGES]),
    "head-only": (b"%PDF-1.7\n", [NO_PAGES]),
    "no-pages": (tree(0, ""), [NO_PAGES]),
    "loop-in-tree": (tree(5, "2 0 R"), [NO_PAGES]),
    "loop-in-table": (looping_table(), [READ]),
    "cut": (
        sound(300, object_stream_mode=pikepdf.ObjectStreamMode.disable)[:25_000],
        ["there may be pages from this one on"],
    ),
    "claims-a-million": (tree(1_000_000, "3 0 R", PAGE), [READ, "the file says that it has 1,000,000 pages"]),
    "claims-five": (tree(5, "3 0 R 3 0 R", PAGE), [READ, READ, "the file says that it has 5 pages"]),
    "claims-less-than-none": (tree(-5, "3 0 R", PAGE), [READ]),
    "no-mediabox": (tree(1, "3 0 R", b"<</Type/Page/Parent 2 0 R>>"), [READ]),
    "late-mark": (b"x" * 1000 + sound(2), [READ, READ]),
    "user-password": (sound(1, encryption=pikepdf.Encryption(user="secret", owner="o")), [NEEDS_PASSWORD]),
    "owner-password": (sound(2, encryption=pikepdf.Encryption(user="", owner="o")), [READ, READ]),
    "bomb": (tree(1, "3 0 R", PAGE[:-2] + b"/Contents 4 0 R>>", stream(ZEROS)), [READ]),
    "bomb-of-objects": (tree(1, "4 0 R", stream(ZEROS, b"/Type/ObjStm/N 1/First 5")), [NO_PAGES]),
    "nested-deeply": (nested(), ["damaged: the program that cuts it ended by SIG"]),
    "with-xfa": (
        file(CATALOG[:-2] + b"/AcroForm<</XFA 4 0 R>>>>", b"<</Type/Pages/Count 1/Kids[3 0 R]>>", PAGE, stream(ZEROS)),
        [READ],
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bad")
    for name, (data, _) in BAD.items():
        (made / f"{name}.pdf").write_bytes(data)
    return made


@pytest.fixture(scope="module")
def items(folder: Path) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in (item for chunk in pages.split([folder]) for item in chunk):
        document, _ = page_names.parse(item.name)
        found.setdefault(document.removesuffix(".pdf"), []).append(item)
    return found


@pytest.mark.parametrize("name", BAD)
def test_a_bad_pdf_gives_its_pages_or_says_why_not(items: dict[str, list[Item]], name: str) -> None:
    found, told = items[name], BAD[name][1]
    for item, problem in zip(found[-len(told) :], told, strict=True):
        assert problem in item.problem
        assert bool(item.problem) == bool(problem)
        assert item.data.startswith(b"" if problem else b"%PDF-")
    assert len(found) == len(told) or name == "cut"
    assert all(item.data for item in found[: -len(told)])


def test_pages_of_a_file_that_was_cut_off_are_found(items: dict[str, list[Item]]) -> None:
    assert 100 < len(items["cut"]) < 301


def test_bad_pdfs_are_counted_as_they_are_cut(folder: Path, items: dict[str, list[Item]]) -> None:
    assert pages.count([folder]) == sum(map(len, items.values()))


def test_a_page_that_ends_the_program_costs_no_other_page(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(nested("3 0 R 4 0 R 3 0 R"))
    found = [item for chunk in pages.split([tmp_path]) for item in chunk]
    assert [bool(item.data) for item in found] == [True, False, True]
    assert found[1].problem.startswith("damaged: the program that cuts it ended by SIG")


def test_a_document_whose_pages_all_end_the_program_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("splitters.pdf_cutter.MOST_CRASHES", 2)
    (tmp_path / "a.pdf").write_bytes(nested("4 0 R 4 0 R 4 0 R 3 0 R"))
    (tmp_path / "b.pdf").write_bytes(sound(1))
    found = [item for chunk in pages.split([tmp_path]) for item in chunk]
    assert [item.problem[:26] for item in found[2:4]] == ["damaged: 2 pages of the fi"] * 2
    assert not found[4].problem


def test_a_program_that_gives_no_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitters.pdf_cutter.ANSWER_S", 0.01)
    (tmp_path / "a.pdf").write_bytes(sound(1))
    [[item]] = pages.split([tmp_path])
    assert item.problem == "damaged: the program that cuts it gave no answer within 0 s"


def test_a_program_that_was_killed_from_outside_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(sound(3))
    with pages.Reader() as reader:
        found = list(reader.walk([tmp_path]))
        for page in found:
            process = reader._cutter._process
            assert process is not None
            process.kill()
            process.wait()
            assert reader.read(page).problem == ""


def test_a_program_killed_while_others_wait_is_started_again(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.pdf").write_bytes(sound(1))
    with pages.Reader() as reader:
        walking = reader.walk([tmp_path])
        found = [next(walking) for _ in range(5)]
        process = reader._cutter._process
        assert process is not None
        process.kill()
        process.wait()
        found += walking
        assert [reader.read(page).problem for page in found] == [""] * 9


def test_pages_that_together_are_a_bomb_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitters.pdf_cutter.FREE_BYTES", 0)
    monkeypatch.setattr("splitters.pdf_cutter.MOST_TIMES", 1)
    (tmp_path / "a.pdf").write_bytes(sound(9))
    found = [item for chunk in pages.split([tmp_path]) for item in chunk]
    assert not found[0].problem
    assert found[-1].problem == "the pages before it have over 1 times the bytes of the whole file"


@pytest.mark.parametrize(("limit", "told"), [("MOST_PAGES", "has 9 pages; the limit is 8"), ("MOST_BYTES", "bytes is")])
def test_a_document_over_a_limit_is_refused_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, told: str
) -> None:
    monkeypatch.setattr(f"splitters.pdf_cutter.{limit}", 8)
    (tmp_path / "a.pdf").write_bytes(sound(9))
    [[item]] = pages.split([tmp_path])
    assert (item.name, item.data) == ("a.pdf", b"")
    assert told in item.problem


def test_a_machine_without_pdfium_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitters.pdf_cutter.find_spec", lambda name: None)
    (tmp_path / "a.pdf").write_bytes(sound(1))
    [[item]] = pages.split([tmp_path])
    assert item.problem == "pypdfium2 is not installed where the run was submitted: pip install 'cluster[pdf]'"
