"""The format pdf: originals with a layer of text, and all else as it was."""

from __future__ import annotations

import base64
import errno
import io
import logging
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name

from cluster import errors, searchable
from cluster.cli.output import Target
from cluster.client import result
from cluster.format import Format
from cluster.searchable import earlier, overlay, signatures
from cluster.searchable.writer import Writer
from splitters import pages, pdf_cutter
from tests.kit import pdfs


@pytest.fixture(scope="module")
def cutter() -> Iterator[pdfs.KeptCutter]:
    with pdfs.KeptCutter() as kept:
        yield kept
        kept.end()


@pytest.fixture(autouse=True)
def this_process_writes_and_one_program_cuts_all(cutter: pdfs.KeptCutter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_cutter, "Cutter", cutter.with_passwords)
    monkeypatch.setattr(searchable, "WRITER", Writer)


def write(source: Path, folder: Path, parts: Any = None, **how: Any) -> dict[str, Path]:
    """Write what was read; gives what the writer told of, document by document."""
    wrote: dict[str, Path | None] = {}
    read = pdfs.parts_of(source) if parts is None else parts
    searchable.write(read, folder, source=[source], wrote=wrote.__setitem__, **how)
    return {name: path for name, path in wrote.items() if path is not None}


def scans(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder


def test_a_scan_can_be_searched_and_looks_the_same(tmp_path: Path) -> None:
    original = pdfs.scan("one", "two", "three")
    source = scans(tmp_path / "in", a_pdf=original)
    assert write(source, tmp_path / "out") == {"a.pdf": tmp_path / "out/a.pdf"}
    written = (tmp_path / "out/a.pdf").read_bytes()
    for page in range(3):
        assert pdfs.text(written, page) == "Hello world"
        assert pdfs.pixels(written, page).tobytes() == pdfs.pixels(original, page).tobytes()
    assert pdfs.problems(written) == []
    assert images(written) == images(original)


@pytest.mark.skipif(not shutil.which("qpdf"), reason="qpdf is not installed")
def test_qpdf_finds_nothing_wrong(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("one"), b_jpg=pdfs.picture("two"))
    for path in write(source, tmp_path / "out").values():
        subprocess.run(["qpdf", "--check", path], check=True, capture_output=True, timeout=60)  # warnings end with 3


def images(data: bytes) -> list[bytes]:
    with pikepdf.open(io.BytesIO(data)) as pdf:
        pages = len(pdf.pages)
    return [image.raw for page in range(pages) for image in pdfs.images(data, page)]


def test_a_page_of_eight_hundred_words_grows_by_less_than_twelve_kilobytes(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("one", "two"))
    text = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text().split()
    lines = [
        [1, 1, 0.002, -7.0, [[word, 60 * n + 20, 20 * row, 60 * n + 20 + 7 * min(7, len(word)), 20 * row + 16, 90]
                             for n, word in enumerate(text[12 * row : 12 * row + 12])]]
        for row in range(66)
    ]  # fmt: skip
    write(source, tmp_path / "out", pdfs.parts_of(source, lines=lines))
    grown = (tmp_path / "out/a.pdf").stat().st_size - (source / "a.pdf").stat().st_size
    assert grown / 2 < 12 * 1024


def test_pages_keep_their_content_streams_where_nothing_was_read(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        for text in ("failed", "its own", "read"):
            pdfs.with_font(pdf, pdfs.page(pdf), text)
        source = scans(tmp_path / "in", a_pdf=pdfs.saved(pdf))
    parts = pdfs.parts_of(source)
    for part in parts:
        for item, record in part.items():
            if item.endswith("#0001"):
                part[item] = None
            elif item.endswith("#0002") and record:
                del record["page"], record["lines"]
                record["source"] = "pdf"
    write(source, tmp_path / "out", parts)
    with pikepdf.open(source / "a.pdf") as before, pikepdf.open(tmp_path / "out/a.pdf") as after:
        for page in (0, 1):
            assert after.pages[page].Contents.read_raw_bytes() == before.pages[page].Contents.read_raw_bytes()
        assert len(after.pages[2].Contents) == 2
        assert after.pages[2].Contents[1].read_raw_bytes() == before.pages[2].Contents.read_raw_bytes()


def test_a_document_of_which_nothing_was_read_is_not_written(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("one"), b_jpg=pdfs.picture("two"))
    assert write(source, tmp_path / "out", [{"a.pdf#0001": None, "b.jpg": None}]) == {}
    assert not (tmp_path / "out").exists()


def test_forced_twice_is_forced_once(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        for number in range(2):
            pdfs.with_font(pdf, pdfs.page(pdf), f"printed {number}")
        source = scans(tmp_path / "in", a_pdf=pdfs.saved(pdf))
    write(source, tmp_path / "once", text="force")
    write(tmp_path / "once", tmp_path / "twice", text="force")
    once, twice = ((tmp_path / name / "a.pdf").read_bytes() for name in ("once", "twice"))
    assert abs(len(twice) - len(once)) < 40  # the date
    for page in range(2):
        assert pdfs.text(twice, page) == pdfs.text(once, page)
        assert pdfs.text(twice, page).count("Hello") == 1


@pytest.mark.parametrize("text", ["skip", "redo", "force"])
def test_a_layer_of_ours_gives_way_to_the_next(text: str, tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("one"))
    write(source, tmp_path / "once")
    anew = pdfs.parts_of(tmp_path / "once", lines=[[1, 1, 0.0, 0.0, [["Neu", 9, 9, 99, 99, 9]]]])
    write(tmp_path / "once", tmp_path / "twice", anew, text=text)
    with pikepdf.open(tmp_path / "twice/a.pdf") as pdf:
        assert len(pdf.pages[0].Contents) == 2
        assert len(pdf.pages[0].Resources.Font) == 1
    assert pdfs.text((tmp_path / "twice/a.pdf").read_bytes()) == "Neu"


def test_pages_that_are_not_read_again_keep_their_layer(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("one", "two"))
    write(source, tmp_path / "once")
    first = pdfs.parts_of(tmp_path / "once", lines=[[1, 1, 0.0, 0.0, [["Neu", 9, 9, 99, 99, 9]]]])[0]
    write(tmp_path / "once", tmp_path / "twice", [{"a.pdf#0001": first["a.pdf#0001"]}], text="force")
    written = (tmp_path / "twice/a.pdf").read_bytes()
    assert [pdfs.text(written, page) for page in range(2)] == ["Neu", "Hello world"]


@pytest.mark.parametrize("where", ["parent", "parent, by itself", "both pages"])
def test_pages_may_share_what_they_show_with(where: str, tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        for _ in range(2):
            pdfs.with_font(pdf, pdfs.page(pdf), "printed")
        pages = [page.obj for page in pdf.pages]
        shared = pages[0].Resources if where == "parent" else pdf.make_indirect(pages[0].Resources)
        for page in pages:
            del page["/Resources"]
        for node in pages if where == "both pages" else [pdf.Root.Pages]:
            node.Resources = shared
        source = scans(tmp_path / "in", a_pdf=pdfs.saved(pdf))
    write(source, tmp_path / "once")
    anew = pdfs.parts_of(tmp_path / "once", lines=[[1, 1, 0.0, 0.0, [["Žluť", 9, 9, 99, 99, 9]]]])[0]["a.pdf#0001"]
    write(tmp_path / "once", tmp_path / "twice", [{"a.pdf#0001": anew}])
    written = (tmp_path / "twice/a.pdf").read_bytes()
    assert [pdfs.text(written, page) for page in range(2)] == ["Žluť\nprinted", "Hello world\nprinted"]


@pytest.mark.parametrize("where", ["page", "form"])
@pytest.mark.parametrize("text", ["skip", "redo", "force"])
def test_invisible_text_of_others_goes_when_asked(where: str, text: str, tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        page = pdfs.page(pdf)
        pdfs.with_font(pdf, page, "earlier", mode=3)
        if where == "form":
            form = pdf.make_stream(
                page.Contents.read_bytes(), Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 612, 792]),
                Resources=page.Resources,
            )  # fmt: skip
            page.Resources = Dictionary(XObject=Dictionary(Fm0=form))
            page.Contents = pdf.make_stream(b"q /Fm0 Do Q")
        source = scans(tmp_path / "in", a_pdf=pdfs.saved(pdf))
    write(source, tmp_path / "out", text=text)
    found = pdfs.text((tmp_path / "out/a.pdf").read_bytes())
    assert "Hello world" in found
    assert ("earlier" in found) == (text == "skip")


def test_visible_text_stays_beside_invisible_text_that_goes(tmp_path: Path) -> None:
    with pikepdf.new() as pdf:
        page = pdfs.page(pdf)
        pdfs.with_font(pdf, page, "x")
        page.Contents = pdf.make_stream(
            b"BT /F1 24 Tf 100 700 Td (printed) Tj ET q 3 Tr BT /F1 24 Tf 9 9 Td [(unseen) -20 (too)] TJ (up) ' ET Q"
            b" BT /F1 24 Tf 100 600 Td (as well) Tj 1 0 0 RG ET"
        )
        before = pdfs.saved(pdf)
        source = scans(tmp_path / "in", a_pdf=before)
    write(source, tmp_path / "out", text="redo")
    written = (tmp_path / "out/a.pdf").read_bytes()
    assert sorted(pdfs.text(written).split()) == ["Hello", "as", "printed", "well", "world"]
    assert pdfs.pixels(written).tobytes() == pdfs.pixels(before).tobytes()


def test_a_page_too_large_to_look_through_is_left_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(earlier, "MOST_BYTES", 1000)
    with pikepdf.new() as pdf:
        pdfs.page(pdf, b"0 0 1 1 re f " * 2000)
        pdfs.page(pdf, b"0 0 1 1 re f")
        source = scans(tmp_path / "in", a_pdf=pdfs.saved(pdf))
    with caplog.at_level(logging.WARNING):
        write(source, tmp_path / "out", text="redo")
    written = (tmp_path / "out/a.pdf").read_bytes()
    assert [pdfs.text(written, page) for page in range(2)] == ["", "Hello world"]
    assert "a.pdf: page 1: stays as it is" in caplog.text


def test_a_signed_pdf_is_left_alone_unless_told(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.signed(pdfs.scan("one")), b_pdf=pdfs.scan("two"))
    with pytest.raises(ValueError, match=r"^a\.pdf: is signed; .*--break-signatures\)$"):
        write(source, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.pdf"]
    assert set(write(source, tmp_path / "out", break_signatures=True)) == {"a.pdf", "b.pdf"}


def locked(data: bytes, *, owner: str, user: str) -> bytes:
    stream = io.BytesIO()
    with pikepdf.open(io.BytesIO(data)) as pdf:
        pdf.save(stream, encryption=pikepdf.Encryption(owner=owner, user=user))
    return stream.getvalue()


@pytest.mark.parametrize("user", ["", "open sesame"])
def test_an_encrypted_pdf_is_written_without_encryption(
    user: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = scans(tmp_path / "in", a_pdf=locked(pdfs.scan("one"), owner="secret", user=user))
    keys = tmp_path / "keys"
    keys.write_text("wrong\nopen sesame\n")
    parts = [
        {item.name: pdfs.record(item.data) for item in chunk}
        for chunk in pages.split([source], password_file=str(keys))
    ]
    with caplog.at_level(logging.WARNING):
        write(source, tmp_path / "out", parts, password_file=str(keys))
    with pikepdf.open(tmp_path / "out/a.pdf") as pdf:
        assert not pdf.is_encrypted
    assert pdfs.text((tmp_path / "out/a.pdf").read_bytes()) == "Hello world"
    assert "a.pdf: was encrypted; what is written of it opens without a password" in caplog.text


def test_an_input_that_was_changed_is_refused_and_named(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("1", "2"), b_jpg=pdfs.picture("3"), c_pdf=pdfs.scan("4"))
    parts = pdfs.parts_of(source)
    scans(source, a_pdf=pdfs.scan("1", "other"), b_jpg=pdfs.picture("other"))
    with pytest.raises(ValueError, match=r"a\.pdf: was changed after .*; b\.jpg: was changed after") as caught:
        write(source, tmp_path / "out", parts)
    assert "c.pdf" not in str(caught.value)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.pdf"]


@pytest.mark.parametrize("now", ["gone", "fewer pages", "no pdf", "empty", "a picture"])
def test_an_input_that_is_another_thing_is_refused(now: str, tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("1", "2"), b_jpg=pdfs.picture("3"))
    parts = pdfs.parts_of(source)
    (source / "a.pdf").unlink()
    new = {"fewer pages": pdfs.scan("1"), "no pdf": b"hello", "empty": b"", "a picture": pdfs.picture("1")}
    if now in new:
        scans(source, a_pdf=new[now])
    with pytest.raises(ValueError, match=r"^a\.pdf: "):
        write(source, tmp_path / "out", parts)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.jpg.pdf"]


def test_what_else_a_document_has_is_kept(tmp_path: Path) -> None:
    with pikepdf.open(io.BytesIO(pdfs.scan("one"))) as pdf:
        pdf.attachments["data.xml"] = b"<data/>"
        with pdf.open_outline() as outline:
            outline.root.append(pikepdf.OutlineItem("Chapter", 0))
        pdf.Root.AcroForm = Dictionary(Fields=Array([]), XFA=pdf.make_stream(b"<xfa/>"))
        pdf.Root.MarkInfo = Dictionary(Marked=True)
        with pdf.open_metadata() as metadata:
            metadata["xmp:ModifyDate"] = "2001-01-01T00:00:00Z"
        pdf.docinfo["/Title"] = "A lease"
        source = scans(tmp_path / "in", a_pdf=pdfs.saved(pdf))
    write(source, tmp_path / "out")
    with pikepdf.open(tmp_path / "out/a.pdf") as pdf:
        assert pdf.attachments["data.xml"].get_file().read_bytes() == b"<data/>"
        with pdf.open_outline() as outline:
            assert [item.title for item in outline.root] == ["Chapter"]
        assert pdf.Root.AcroForm.XFA.read_bytes() == b"<xfa/>"
        assert bool(pdf.Root.MarkInfo.Marked)
        assert str(pdf.docinfo["/Title"]) == "A lease"
        assert str(pdf.docinfo["/ModDate"]).startswith("D:2")
        assert pdf.open_metadata()["xmp:ModifyDate"] > "2020"


def test_documents_of_archives_lie_in_folders_of_their_names(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    with zipfile.ZipFile(source / "phone.zip", "w") as archive:
        archive.writestr("a/book.pdf", pdfs.scan("one", "two"))
        archive.writestr("IMG_1.jpg", pdfs.picture("three"))
    wrote = write(source, tmp_path / "out")
    assert wrote == {
        "phone.zip/IMG_1.jpg": tmp_path / "out/phone.zip/IMG_1.jpg.pdf",
        "phone.zip/a/book.pdf": tmp_path / "out/phone.zip/a/book.pdf",
    }
    assert pdfs.text(wrote["phone.zip/a/book.pdf"].read_bytes(), 1) == "Hello world"


def test_odd_names_become_the_same_names(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a#b.pdf", "100%23.pdf", "two\nlines.pdf", "no suffix"):
        (source / name).write_bytes(pdfs.scan("one"))
    write(source, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a#b.pdf", "100%23.pdf", "two\nlines.pdf", "no suffix.pdf",
    }  # fmt: skip


def test_no_input_is_written_over(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("one"))
    before = (source / "a.pdf").read_bytes()
    with pytest.raises(ValueError, match="would be replaced by what is written"):
        write(source, source)
    assert (source / "a.pdf").read_bytes() == before
    assert [path.name for path in source.iterdir()] == ["a.pdf"]


def test_two_documents_do_not_take_one_name(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", letter_jpg=pdfs.picture("one"), letter_jpg_pdf=pdfs.scan("two"))
    with pytest.raises(ValueError, match=r"letter\.jpg\.pdf: what is written of letter\.jpg has its name"):
        write(source, tmp_path / "out")
    assert images((tmp_path / "out/letter.jpg.pdf").read_bytes()) == [(source / "letter.jpg").read_bytes()]


def test_a_document_that_cannot_be_written_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("one"), b_pdf=pdfs.scan("two"))
    save = searchable.overlay.save

    def full(pdf: pikepdf.Pdf, path: Path) -> None:
        save(pdf, path)
        if not (tmp_path / "out/a.pdf").exists() and not calls:
            calls.append(path)
            raise OSError(errno.EACCES, "Permission denied")

    calls: list[Path] = []
    monkeypatch.setattr(searchable.overlay, "save", full)
    with pytest.raises(ValueError, match=r"^a\.pdf: cannot be written: Permission denied$"):
        write(source, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.pdf"]


def test_documents_come_in_any_order_while_the_run_goes_on(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", **{f"{name}_pdf": pdfs.scan("one", "two") for name in "abc"})
    records = {item: record for part in pdfs.parts_of(source) for item, record in part.items()}
    order = ["c.pdf#0002", "a.pdf#0001", "b.pdf#0002", "c.pdf#0001", "b.pdf#0001", "a.pdf#0002"]
    wrote = write(source, tmp_path / "out", [{item: records[item]} for item in order], pages_of=lambda _: 2)
    assert list(wrote) == ["c.pdf", "b.pdf", "a.pdf"]


def test_the_input_may_lie_in_several_folders_with_the_same_names(tmp_path: Path) -> None:
    one = scans(tmp_path / "one", a_pdf=pdfs.scan("one"))
    two = scans(tmp_path / "two", a_pdf=pdfs.scan("two", "three"))
    parts = [{item.name: pdfs.record(item.data) for item in chunk} for chunk in pages.split([one, two])]
    searchable.write(parts, tmp_path / "out", source=[one, two])
    with pikepdf.open(tmp_path / "out/two/a.pdf") as pdf:
        assert len(pdf.pages) == 2
    assert (tmp_path / "out/one/a.pdf").exists()


def test_damage_that_qpdf_repairs_is_written_whole(tmp_path: Path) -> None:
    data = pdfs.scan("one", "two")
    source = scans(tmp_path / "in", a_pdf=data[: data.rindex(b"startxref")])
    write(source, tmp_path / "out")
    assert pdfs.text((tmp_path / "out/a.pdf").read_bytes(), 1) == "Hello world"


def _loop_of_parents(pdf: pikepdf.Pdf, page: Any) -> None:
    node = pdf.make_indirect(Dictionary(Type=Name.Pages))
    node.Parent = node
    page.Parent = node
    del page.MediaBox


def _form_in_itself(pdf: pikepdf.Pdf, page: Any) -> None:
    form = pdf.make_stream(b"3 Tr /Fm0 Do", Type=Name.XObject, Subtype=Name.Form)
    form.Resources = Dictionary(XObject=Dictionary(Fm0=form))
    page.Resources = form.Resources


def _forms_without_end(pdf: pikepdf.Pdf, page: Any) -> None:
    named = Dictionary()
    for _ in range(100):
        form = pdf.make_stream(b"/F Do", Type=Name.XObject, Subtype=Name.Form, Resources=Dictionary(XObject=named))
        named = Dictionary({"/F": form})
    page.Resources = Dictionary(XObject=named)


def _bomb(pdf: pikepdf.Pdf, page: Any) -> None:
    page.Contents.write(zlib.compress(b" " * (earlier.MOST_BYTES + 1)), filter=Name.FlateDecode)


def _put(name: str, value: Any) -> Callable[[pikepdf.Pdf, Any], None]:
    def put(_: pikepdf.Pdf, page: Any) -> None:
        page[name] = value

    return put


ODD: dict[str, Callable[[pikepdf.Pdf, Any], Any]] = {
    "parents in a loop": _loop_of_parents,
    "a form in itself": _form_in_itself,
    "forms without end": _forms_without_end,
    "a bomb": _bomb,
    "no content": lambda _, page: page.__delitem__("/Contents"),
    "content of another kind": _put("/Contents", Array([1, Name.A, Dictionary(), Array([])])),
    "resources of another kind": _put("/Resources", Array([1])),
    "fonts of another kind": _put("/Resources", Dictionary(Font=Name.A, XObject=Name.B)),
    "forms of another kind": _put("/Resources", Dictionary(XObject=Dictionary(A=1, B=Name.C))),
    "boxes of another kind": _put("/MediaBox", Array([Name.A, 1, 2, Array([])])),
    "a huge box": _put("/MediaBox", Array([-9e30, 0, 9e30, 1])),
    "a box inside out": _put("/MediaBox", Array([612, 792, 0, 0])),
    "a box that shows nothing": _put("/CropBox", Array([5000, 5000, 6000, 6000])),
    "an odd turn": _put("/Rotate", Name.A),
    "broken content": lambda pdf, page: page.Contents.write(b"q q Q Q Q EMC BT ( Tr [ 3 Tr << /a"),
    "content packed in a way nobody knows": lambda pdf, page: page.Contents.write(b"3 Tr", filter=Name.Secret),
}


@pytest.mark.parametrize(
    "filters", [["/FlateDecode"], ["/ASCII85Decode", "/FlateDecode"], ["/ASCIIHexDecode", "/FlateDecode"]]
)
def test_no_more_is_unpacked_than_told(filters: list[str]) -> None:
    packed = zlib.compress(b"0 0 1 1 re f " * 1000)
    packed = base64.a85encode(packed) + b"~>" if "85" in filters[0] else packed
    packed = packed.hex().encode() + b">" if "Hex" in filters[0] else packed
    with pikepdf.new() as pdf:
        stream = pdf.make_stream(b"")
        stream.write(packed, filter=Array([Name(name) for name in filters]))
        assert earlier.unpacked(stream, 13_000) == b"0 0 1 1 re f " * 1000
        with pytest.raises(earlier.TooLarge):
            earlier.unpacked(stream, 12_999)


def test_what_is_packed_twice_is_not_unpacked() -> None:
    with pikepdf.new() as pdf:
        stream = pdf.make_stream(b"")
        stream.write(zlib.compress(zlib.compress(b" " * 1000)), filter=Array([Name.FlateDecode, Name.FlateDecode]))
        with pytest.raises(earlier.TooLarge):
            earlier.unpacked(stream, 10**6)


@pytest.mark.parametrize("odd", ODD)
def test_odd_pages_of_strangers_end_nothing(odd: str) -> None:
    with pikepdf.new() as pdf:
        for _ in range(2):
            pdfs.with_font(pdf, pdfs.page(pdf), "printed")
        ODD[odd](pdf, pdf.pages[0].obj)
        overlay.lay(pdf, [(1, pdfs.record(b"")), (2, pdfs.record(b""))], others=True)
        assert pdfs.text(pdfs.saved(pdf), 1) == "Hello world\nprinted"


def test_what_cannot_be_written_is_listed_and_no_error(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.signed(pdfs.scan("one")), b_pdf=pdfs.scan("two"))
    chosen = result.with_source(Format(searchable.write, folder=True, source=True), [source])
    to = Target(chosen, tmp_path / "out", unwritten=[])
    to.write_parts(chosen, pdfs.parts_of(source))
    assert to.unwritten == ["a.pdf: is signed; writing into it would end that (--break-signatures)"]
    with pytest.raises(errors.NotAllWritten, match=r"^the result cannot be written: a\.pdf: is signed"):
        to._replace(unwritten=None).write_parts(chosen, pdfs.parts_of(source))


def test_pages_before_the_damage_of_a_document_are_written(tmp_path: Path) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("one", "two"))
    parts = [*pdfs.parts_of(source), {"a.pdf": None}]
    write(source, tmp_path / "out", parts)
    assert pdfs.text((tmp_path / "out/a.pdf").read_bytes(), 1) == "Hello world"


def test_a_document_that_cannot_be_taken_apart_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("one"), b_pdf=pdfs.scan("two"))
    parts = pdfs.parts_of(source)

    def is_signed(_: pikepdf.Pdf) -> bool:
        if not (tmp_path / "out/b.pdf").exists() and next(asked, None):
            raise pikepdf.PdfError("loop detected")
        return False

    asked = iter([True])
    monkeypatch.setattr(signatures, "is_signed", is_signed)
    with pytest.raises(ValueError, match=r"^a\.pdf: is damaged: loop detected$"):
        write(source, tmp_path / "out", parts)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.pdf"]


def test_a_full_disk_ends_the_writing_and_is_no_fault_of_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = scans(tmp_path / "in", a_pdf=pdfs.scan("one"), b_pdf=pdfs.scan("two"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "a stream")

    monkeypatch.setattr(overlay, "save", full)
    with pytest.raises(OSError, match=r"No space left on device.*out") as caught:
        write(source, tmp_path / "out")
    assert caught.value.errno == errno.ENOSPC
    assert list((tmp_path / "out").iterdir()) == []
