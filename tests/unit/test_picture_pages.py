"""Pictures become pages of PDF as they are, and look as they are meant to."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from PIL import Image, ImageChops, ImageOps

from cluster import searchable
from cluster.searchable import picture_pages
from tasks.pictures import UnreadablePicture
from tests.kit import pdfs

WORD = [["Hello", 100, 100, 300, 140]]


def made(data: bytes, **entries: Any) -> list[bytes]:
    """The PDFs that a picture becomes, of which pages of 850 x 1100 pixels were read at 100 dpi."""
    found = []
    for pdf in picture_pages.make(data, pdfs.record(data, WORD, **entries)):
        with pdf:
            found.append(pdfs.saved(pdf))
    return found


def image(data: bytes) -> Any:
    [found] = pdfs.images(data)
    return found[:3]


def look_alike(data: bytes, wanted: Image.Image) -> bool:
    shown = pdfs.pixels(data, scale=100 / 72)
    if shown.size != wanted.size:
        return False
    apart = ImageChops.difference(shown.reduce(5), wanted.convert("L").reduce(5))
    return all(share < 40 for share in set(apart.tobytes()))


def test_a_jpeg_goes_in_byte_for_byte() -> None:
    data = pdfs.picture("one")
    [pdf] = made(data)
    assert image(pdf)[:2] == (data, "/DCTDecode")
    assert look_alike(pdf, Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_png_goes_in_as_it_is_packed(mode: str) -> None:
    data = pdfs.picture("one", "PNG", mode=mode)
    [pdf] = made(data)
    raw, how, bits = image(pdf)
    assert raw in data
    assert how == "/FlateDecode"
    assert bits == data[24]


def test_a_fax_goes_in_as_it_is_packed() -> None:
    data = pdfs.picture("one", "TIFF", mode="1", compression="group4", strip_size=2**20)
    [pdf] = made(data)
    raw, how, _ = image(pdf)
    assert raw in data
    assert "/CCITTFaxDecode" in how


@pytest.mark.parametrize("form", ["BMP", "WEBP", "PPM"])
def test_forms_that_pdf_does_not_know_go_in_without_loss(form: str) -> None:
    data = pdfs.picture("one", form, mode="RGB")
    [pdf] = made(data)
    [found] = pdfs.images(pdf)
    pixels = found.picture.convert("RGB")
    assert pixels.tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_turn_and_mirror_of_exif_is_honoured(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    drawn = Image.open(io.BytesIO(pdfs.picture("F", size=(400, 300))))
    stream = io.BytesIO()
    drawn.save(stream, "JPEG", exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(stream.getvalue())))
    [pdf] = made(stream.getvalue(), size=upright.size)
    assert image(pdf)[0] == stream.getvalue()
    assert look_alike(pdf, upright)


def test_a_tiff_that_is_turned_is_seen_upright() -> None:
    data = pdfs.picture("F", "TIFF", (400, 300), mode="1", compression="group4", tiffinfo={274: 6})
    [pdf] = made(data, size=(300, 400))
    assert look_alike(pdf, Image.open(io.BytesIO(pdfs.picture("F", size=(400, 300)))).rotate(-90, expand=True))
    assert image(pdf)[2] == 1


def test_what_is_transparent_lies_on_white() -> None:
    clear = Image.new("RGBA", (850, 1100), (0, 0, 0, 0))
    clear.paste((200, 0, 0, 255), (100, 100, 300, 200))
    stream = io.BytesIO()
    clear.save(stream, "PNG")
    [pdf] = made(stream.getvalue())
    shown = pdfs.pixels(pdf, scale=100 / 72)
    assert shown.getpixel((500, 500)) == 255
    assert shown.getpixel((200, 150)) < 100


@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_a_photograph_of_a_phone_becomes_a_jpeg(form: str) -> None:
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    picture = Image.open(io.BytesIO(pdfs.picture("one", mode="RGB")))
    if form == "HEIF":
        heif.from_pillow(picture).save(stream)
    else:
        picture.save(stream, "AVIF")
    [pdf] = made(stream.getvalue())
    assert image(pdf)[1] == "/DCTDecode"
    assert look_alike(pdf, picture)


def test_pages_have_the_size_of_the_paper() -> None:
    [pdf] = made(pdfs.picture("one", dpi=(72, 72)))
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        assert [float(side) for side in opened.pages[0].mediabox] == [0, 0, 612, 792]


@pytest.mark.parametrize(
    ("size", "dpi", "wanted"),
    [((300, 600), 150, (144, 288)), ((300, 600), 72, (72, 144)), ((60000, 60), 0, (14400, 14.4))],
)
def test_a_picture_that_was_not_read_has_a_size_too(
    size: tuple[int, int], dpi: int, wanted: tuple[float, float]
) -> None:
    data = pdfs.picture("", "PNG", size, mode="1", **({"dpi": (dpi, dpi)} if dpi else {}))
    [pdf] = picture_pages.make(data, None)
    with pdf:
        assert [float(side) for side in pdf.pages[0].mediabox[2:]] == pytest.approx(wanted, abs=0.05)


@pytest.mark.parametrize("data", [b"", b"no picture", pdfs.picture("cut", "PNG", mode="RGBA")[:900]])
def test_what_is_no_picture_is_named(data: bytes) -> None:
    with pytest.raises(UnreadablePicture):
        picture_pages.make(data, None)


def test_all_frames_of_a_tiff_are_pages(tmp_path: Path) -> None:
    frames = [Image.open(io.BytesIO(pdfs.picture(text))).convert("1") for text in ("one", "two", "three")]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in/fax.tif", save_all=True, append_images=frames[1:], compression="group4")
    parts = pdfs.parts_of(tmp_path / "in")
    for part in parts:
        if "fax.tif#0002" in part:
            part["fax.tif#0002"] = None
    searchable.write(parts, tmp_path / "out", source=[tmp_path / "in"])
    written = (tmp_path / "out/fax.tif.pdf").read_bytes()
    assert [pdfs.text(written, page) for page in range(3)] == ["Hello world", "", "Hello world"]
    for page, frame in enumerate(frames):
        [found] = pdfs.images(written, page)
        assert found.picture.convert("1").tobytes() == frame.tobytes()


def test_a_frame_that_cannot_be_read_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.open(io.BytesIO(pdfs.picture(text))) for text in ("one", "two", "three")]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in/fax.tif", save_all=True, append_images=frames[1:], compression="tiff_adobe_deflate")
    parts = pdfs.parts_of(tmp_path / "in")
    with Image.open(tmp_path / "in/fax.tif") as picture:
        picture.seek(1)
        start = picture.tag_v2[273][0]  # type: ignore[attr-defined]
    data = bytearray((tmp_path / "in/fax.tif").read_bytes())
    data[start : start + 40] = bytes(40)
    (tmp_path / "in/fax.tif").write_bytes(data)
    for part in parts:
        if "fax.tif#0002" in part:
            part["fax.tif#0002"] = None
    searchable.write(parts, tmp_path / "out", source=[tmp_path / "in"])
    with pikepdf.open(tmp_path / "out/fax.tif.pdf") as pdf:
        assert len(pdf.pages) == 2
    assert "fax.tif: page 2 is not in the PDF: damaged" in caplog.text


def test_a_picture_that_had_to_be_turned_is_turned_with_its_words() -> None:
    from cluster.searchable import overlay

    upright = Image.open(io.BytesIO(pdfs.picture("word", size=(400, 300))))
    stream = io.BytesIO()
    upright.rotate(90, expand=True).save(stream, "PNG")
    record = pdfs.record(stream.getvalue(), [["word", 100, 105, 190, 140]], (400, 300), turn=90)
    [pdf] = picture_pages.make(stream.getvalue(), record)
    with pdf:
        overlay.lay(pdf, [(1, record)])
        written = pdfs.saved(pdf)
    assert look_alike(written, upright)
    [word] = pdfs.words(written)
    # The page's own space has the picture as it is stored: turned a quarter to the left.
    assert word.box == pytest.approx((105 * 0.72, 100 * 0.72, 140 * 0.72, 190 * 0.72), abs=1)
