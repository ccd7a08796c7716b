"""Documents cut into pages."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pikepdf
import psutil
import pytest
from PIL import Image

from cluster import catalog, errors
from splitters import Item, NothingToSplit, PassedOver, documents, files, pages, pdf_cutter, pictures
from splitters.items import Choice, Chosen, Items
from tests.kit.programs import ROOT

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def pdf(number: int, **how: Any) -> bytes:
    with pikepdf.new() as made:
        for at in range(number):
            made.add_blank_page(page_size=(100 + at, 100))
        out = io.BytesIO()
        made.save(out, **how)
        return out.getvalue()


def tiff(number: int) -> bytes:
    out = io.BytesIO()
    frames = [Image.new("L", (10 + at, 10)) for at in range(number)]
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def items(*source: Path, **how: Any) -> list[Item]:
    return [item for chunk in pages.split(source, **how) for item in chunk]


def names(found: list[Item]) -> list[str]:
    return [item.name for item in found]


def widths(found: list[Item]) -> list[int]:
    opened = [pikepdf.open(io.BytesIO(item.data)) for item in found]
    return [int(pdf.pages[0].mediabox[2]) for pdf in opened]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, data in {
        "#7 of 9\n.pdf": pdf(2), "a.PDF": pdf(3), "b.tif": tiff(2), "c.tif": tiff(1), "d.heic": HEIC, "e.jpg": b"x",
        "f": pdf(1), "g.dat": pdf(1), "h.pdf": b"\xff\xd8\xff a picture", "i": HEIC, "notes.txt": b"x",
    }.items():  # fmt: skip
        (folder / name).write_bytes(data)
    return folder


def test_pages_of_documents_are_items_of_their_own(mixed: Path) -> None:
    passed_over = PassedOver()
    found = [item for chunk in pages.split([mixed], passed_over=passed_over) for item in chunk]
    assert names(found) == [
        "%237 of 9\n.pdf#0001", "%237 of 9\n.pdf#0002", "a.PDF#0001", "a.PDF#0002", "a.PDF#0003", "b.tif#0001",
        "b.tif#0002", "c.tif", "d.heic", "e.jpg", "f#0001", "h.pdf", "i",
    ]  # fmt: skip
    assert widths(found[:5]) == [100, 101, 100, 101, 102]
    assert passed_over.shown() == {".dat": 1, ".txt": 1}
    assert pages.count([mixed]) == 13


def test_a_file_given_by_name_is_known_by_its_content(mixed: Path) -> None:
    assert names(items(mixed / "g.dat", mixed / "notes.txt")) == ["g.dat#0001", "notes.txt"]


def test_only_the_pages_that_are_wanted_are_cut(mixed: Path) -> None:
    found = items(mixed / "a.PDF", mixed / "b.tif", mixed / "c.tif", pages="2-")
    assert names(found) == ["a.PDF#0002", "a.PDF#0003", "b.tif#0002", "c.tif"]
    assert pages.count([mixed / "a.PDF"], pages="3,1") == 2


def test_pages_that_no_document_has_are_named(mixed: Path) -> None:
    looked_for = r"\(looked for pictures, PDF, TIFF, HEIC and ZIP, and into files without a suffix\)"
    with pytest.raises(NothingToSplit, match=f"no pages 40- in .* {looked_for}"):
        items(mixed / "a.PDF", pages="40-")


def test_the_same_page_has_the_same_bytes_in_any_process(mixed: Path) -> None:
    code = (
        "import sys, hashlib, pathlib; from splitters import pages; digest = hashlib.sha256();"
        "[digest.update(item.data) for chunk in pages.split([pathlib.Path(sys.argv[1])]) for item in chunk];"
        "print(digest.hexdigest())"
    )
    told = [
        subprocess.run([sys.executable, "-c", code, mixed], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        for _ in range(2)
    ]
    assert told[0] == told[1]


def test_a_page_cut_later_has_the_bytes_that_it_had(mixed: Path) -> None:
    assert items(mixed) == items(mixed)


def test_documents_are_dealt_in_ever_smaller_chunks(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(200))
    sizes = [len(chunk) for chunk in pages.split([tmp_path])]
    assert sizes[0] == 4
    assert sizes[-5:] == [1] * 5
    assert sum(sizes) == 200


def test_more_documents_than_stay_open_are_cut(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.pdf").write_bytes(pdf(1 + number % 2))
        (tmp_path / f"{number:02}.tif").write_bytes(tiff(2))
    found = items(tmp_path)
    assert len(found) == 70
    assert all(item.data for item in found)


def test_what_only_other_pages_show_does_not_travel(tmp_path: Path) -> None:
    size = 100_000
    with pikepdf.new() as made:
        shown = {
            f"/I{at}": made.make_stream(random.Random(at).randbytes(size), Subtype=pikepdf.Name.Image, Width=1)
            for at in range(8)
        }
        resources = made.make_indirect(pikepdf.Dictionary(XObject=pikepdf.Dictionary(shown)))
        for at in range(8):
            made.add_blank_page()
            made.pages[-1].obj.Resources = resources
            made.pages[-1].obj.Contents = made.make_stream(b"/I%d Do" % at)
        made.save(tmp_path / "a.pdf", compress_streams=False)
    sizes = [len(item.data) for item in items(tmp_path)]
    assert len(sizes) == 8
    assert max(sizes) < size + 5000


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    for password in ("secret", "größer", "nobody's"):
        encryption = pikepdf.Encryption(user=password, owner="owner")
        (tmp_path / f"{password}.pdf").write_bytes(pdf(1, encryption=encryption))
    (tmp_path / "open.pdf").write_bytes(pdf(1, encryption=pikepdf.Encryption(user="", owner="owner")))
    return tmp_path


def test_encrypted_documents_are_opened_with_the_passwords_of_a_file(locked: Path) -> None:
    (locked / "passwords.txt").write_text("\ufeffwrong\nsecret\r\n\ngrößer\n", encoding="utf-8")
    found = {item.name: item.problem for item in items(locked, password_file=str(locked / "passwords.txt"))}
    assert found == {
        "größer.pdf#0001": "", "nobody's.pdf": "none of the passwords in --password-file opens it", "open.pdf#0001": "",
        "secret.pdf#0001": "",
    }  # fmt: skip


def test_encrypted_documents_need_their_passwords(locked: Path) -> None:
    problems = {item.name: item.problem for item in items(locked)}
    assert problems["secret.pdf"] == "needs its password (--password-file)"
    assert problems["open.pdf#0001"] == ""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"pages": "7-3"}, "the range 7-3 ends before it begins"),
        ({"password_file": "nowhere.txt"}, "nowhere.txt: No such file"),
        ({"password_file": "none.txt"}, "none.txt has 0 passwords"),
        ({"password_file": "data.txt"}, "data.txt is no text in UTF-8"),
    ],
)
def test_wrong_options_fail_before_a_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.txt").write_text("\n\n")
    (tmp_path / "data.txt").write_bytes(b"\xff\xfe\0")
    with pytest.raises(errors.UsageError, match=told):
        catalog.OCR.options_of_run(given)


def test_a_file_of_passwords_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "passwords.txt").write_text("secret\n")
    options = catalog.OCR.options_of_run({"password_file": "passwords.txt"})
    assert options["password_file"] == str(tmp_path / "passwords.txt")


def test_documents_in_memory_are_cut_like_files() -> None:
    given = [Item("a#.pdf", pdf(3)), Item("b.tif", tiff(2)), Item("c", b"x"), Item("d", b"", "too large")]
    found = [item for chunk in pages.split(Items(lambda: iter(given))) for item in chunk]
    assert names(found) == ["a%23.pdf#0001", "a%23.pdf#0002", "a%23.pdf#0003", "b.tif#0001", "b.tif#0002", "c", "d"]
    assert widths(found[:3]) == [100, 101, 102]
    assert found[-1].problem == "too large"


def test_chosen_files_and_pages_go_by_their_own_names(mixed: Path) -> None:
    chosen = Chosen([Choice("of%23/a.pdf", mixed / "a.PDF", (1, 3, 9)), Choice("e.jpg", mixed / "e.jpg")])
    found = [item for chunk in pages.split(chosen) for item in chunk]
    assert names(found) == ["of%23/a.pdf#0001", "of%23/a.pdf#0003", "e.jpg"]
    assert pages.count(chosen) == 3
    assert [found.name for found in documents.walk(chosen)] == ["of%23/a.pdf", "e.jpg"]


def test_other_splitters_take_chosen_files_too(mixed: Path) -> None:
    chosen = Chosen([Choice("one", mixed / "e.jpg"), Choice("gone", mixed / "gone.jpg")])
    for split in (pictures.split, files.split):
        found = [item for chunk in split(chosen) for item in chunk]
        assert [(item.name, bool(item.problem)) for item in found] == [("one", False), ("gone", True)]


def test_a_file_that_is_changed_while_it_is_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(3))
    with pages.Reader() as before, pages.Reader() as after:
        *_, last = before.walk([tmp_path])
        (tmp_path / "a.tif").write_bytes(tiff(2))
        assert after.read(last) == Item("a.tif#0003", b"", "the file was changed while it was read")


def test_the_program_that_cuts_is_told_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_BROKER_URL", "redis://:secret@127.0.0.1:1/0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (tmp_path / "a.pdf").write_bytes(pdf(1))
    with pdf_cutter.Cutter() as cutter:
        assert cutter.count(tmp_path / "a.pdf").number == 1
        [told] = [
            one.environ()
            for one in psutil.Process().children()
            if any("_pdf_program" in word for word in one.cmdline())
        ]
    assert "PATH" in told
    assert "secret" not in str(told)


def test_a_document_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").symlink_to(tmp_path / "nowhere")
    [item] = items(tmp_path)
    assert (item.name, item.problem) == ("a.pdf", "cannot be read: No such file or directory")


def test_heic_pictures_are_taken_where_they_can_be_decoded(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [found.name for found in pictures.walk([mixed])] == ["b.tif", "c.tif", "d.heic", "e.jpg", "i"]
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    assert [found.name for found in pictures.walk([mixed])] == ["b.tif", "c.tif", "e.jpg"]
