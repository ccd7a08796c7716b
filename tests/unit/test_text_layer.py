"""Invisible words stand where the words are, however a page is turned, cropped and scaled."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pikepdf
import pytest

from aggregators.readings import Reading
from cluster.searchable import font, overlay, text_layer
from cluster.searchable.space import Space
from tests.kit import glyphless_font, pdfs

TURNS = (0, 90, 180, 270)
NEAR_PT = 3.0
CODE = "etaoinshrdlucmfwypvbgkqjxz"


def marked(turn: int, media: list[float], crop: list[float] | None, unit: float | None) -> tuple[bytes, list[pdfs.Box]]:
    """A page with 20 black bars in the place of words, and where they are; 3 pt apart at least."""
    left, bottom, right, top = crop or media
    pdf = pikepdf.new()
    bars = []
    for number in range(20):
        row, column = divmod(number, 4)
        long, high = 12 + 7 * column, 10 + row
        across, up = (long, high) if turn in (0, 180) else (high, long)
        x = left + 20 + column * (right - left - 80) / 4
        y = bottom + 20 + row * (top - bottom - 60) / 5
        bars.append((x, y, x + across, y + up))
    content = "\n".join(f"{x0} {y0} {x1 - x0} {y1 - y0} re f" for x0, y0, x1, y1 in bars).encode()
    entries: dict[str, Any] = (
        {"Rotate": turn} | ({"CropBox": crop} if crop else {}) | ({"UserUnit": unit} if unit else {})
    )
    pdfs.page(pdf, content, media, **entries)
    return pdfs.saved(pdf), bars


def seen_bars(data: bytes, turn: int = 0) -> tuple[tuple[int, int], list[tuple[int, int, int, int]]]:
    """Size of the page as it looks, turned clockwise by ``turn``, and the boxes of what is black, in pixels."""
    looks = pdfs.pixels(data, scale=2.0).rotate(-turn, expand=True)
    black = looks.point(lambda value: 255 * (value < 128))
    boxes = []
    while box := black.getbbox():
        # Bars do not touch: the first row of pixels holds the top of one or more, whose left end is the first.
        row = black.crop((0, box[1], black.width, box[1] + 1)).getbbox()
        x0 = row[0]
        x1, y1 = x0, box[1]
        while x1 < black.width and black.getpixel((x1, box[1])):
            x1 += 1
        while y1 < black.height and black.getpixel((x0, y1)):
            y1 += 1
        boxes.append((x0, box[1], x1, y1))
        black.paste(0, boxes[-1])
    return looks.size, boxes


def as_read(data: bytes, turn: int = 0) -> Reading:
    """What an engine reads: a word a bar, each a line."""
    size, boxes = seen_bars(data, turn)
    assert len(boxes) == 20
    lines = [[1, 1, 0.0, 0.0, [[CODE[number] * 3, *box, 90]]] for number, box in enumerate(boxes)]
    entries: dict[str, Any] = {"turn": turn} if turn else {}
    return pdfs.record(data, size=size, lines=lines, **entries)


def laid(data: bytes, *records: Reading) -> bytes:
    with pikepdf.open(io.BytesIO(data)) as pdf:
        overlay.lay(pdf, enumerate(records, 1))
        return pdfs.saved(pdf)


def blank(*lines: list[Any], size: tuple[int, int] = (850, 1100)) -> bytes:
    """A page without anything but these lines of words, at 100 dpi."""
    with pikepdf.new() as pdf:
        pdfs.page(pdf)
        overlay.lay(pdf, [(1, pdfs.record(b"", size=size, lines=list(lines)))])
        return pdfs.saved(pdf)


BOXES: dict[str, tuple[list[float], list[float] | None, float | None]] = {
    "plain": ([0, 0, 400, 300], None, None),
    "cropped": ([0, 0, 500, 400], [60, 40, 460, 340], None),
    "scaled": ([0, 0, 400, 300], None, 2.0),
    "offset": ([-100, 250, 300, 550], None, None),
    "all": ([-100, 250, 400, 650], [-40, 300, 360, 600], 2.0),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("boxes", BOXES)
def test_words_lie_within_three_points_of_their_places(turn: int, boxes: str) -> None:
    media, crop, unit = BOXES[boxes]
    data, bars = marked(turn, media, crop, unit)
    written = laid(data, as_read(data))
    _near(pdfs.words(written), bars, NEAR_PT / (unit or 1))
    assert pdfs.pixels(written).tobytes() == pdfs.pixels(data).tobytes()
    assert pdfs.problems(written) == []


def _near(found: list[pdfs.Boxed], bars: list[pdfs.Box], most: float) -> None:
    assert len(found) == 20
    left = list(bars)
    for word in found:
        nearest = min(left, key=lambda bar: _apart(bar, word.box))
        assert _apart(nearest, word.box) <= most, (word, nearest)
        left.remove(nearest)


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_page_that_had_to_be_turned_is_turned(turn: int) -> None:
    data, bars = marked((90 + turn) % 360, [0, 0, 400, 300], [20, 20, 380, 280], None)
    with pikepdf.open(io.BytesIO(data)) as pdf:
        pdf.pages[0].obj.Rotate = 90
        data = pdfs.saved(pdf)
    written = laid(data, as_read(data, turn))
    with pikepdf.open(io.BytesIO(written)) as pdf:
        assert pdf.pages[0].obj.Rotate == (90 + turn) % 360
    _near(pdfs.words(written), bars, NEAR_PT)


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext is not installed")
@pytest.mark.parametrize("turn", TURNS)
def test_poppler_finds_words_at_their_places_too(turn: int, tmp_path: Path) -> None:
    media, crop, _ = BOXES["all"]
    data, _ = marked(turn, media, crop, None)
    record = as_read(data)
    (tmp_path / "a.pdf").write_bytes(laid(data, record))
    subprocess.run(["pdftotext", "-bbox", "-cropbox", "a.pdf"], cwd=tmp_path, check=True, timeout=60)
    found = [
        tuple(float(word.attrib[side]) for side in ("xMin", "yMin", "xMax", "yMax"))
        for word in ElementTree.parse(tmp_path / "a.html").iter("{http://www.w3.org/1999/xhtml}word")
    ]
    wanted = [tuple(side / 2 for side in line[4][0][1:5]) for line in record["lines"]]
    assert len(found) == 20
    for box in wanted:
        assert min(_apart(box, other) for other in found) <= NEAR_PT, (box, found)


def test_boxes_of_parents_hold_for_their_pages() -> None:
    data, bars = marked(90, [0, 0, 500, 400], [60, 40, 460, 340], None)
    with pikepdf.open(io.BytesIO(data)) as pdf:
        page = pdf.pages[0].obj
        for name in ("/MediaBox", "/CropBox", "/Rotate"):
            page.Parent[name] = page[name]
            del page[name]
        data = pdfs.saved(pdf)
    _near(pdfs.words(laid(data, as_read(data))), bars, NEAR_PT)


def test_a_page_without_boxes_is_a_letter() -> None:
    with pikepdf.new() as pdf:
        page = pdfs.page(pdf)
        del page.MediaBox
        page.Resources = pikepdf.Array([])
        page.Rotate = 45
        page.CropBox = pikepdf.Array([5, 5])
        overlay.lay(pdf, [(1, pdfs.record(b""))])
        [hello, _] = pdfs.words(pdfs.saved(pdf))
    assert hello.box == pytest.approx((72, 792 - 140 * 0.72, 180 * 0.72, 720), abs=0.5)


def test_copied_words_have_blanks_between_and_lines_end() -> None:
    line = [["The", 100, 100, 150, 130, 90], ["quick", 156, 100, 250, 138, 90], ["fox", 400, 100, 450, 130, 90]]
    written = blank([1, 1, 0.0, -8.0, line], [1, 1, 0.0, 0.0, [["jumps", 100, 150, 200, 180, 90]]])
    assert pdfs.text(written).splitlines() == ["The quick fox", "jumps"]


def test_a_blank_ends_each_line() -> None:
    """Without it PDFium leaves out some last words of one letter."""
    lines = [[1, 1, 0.0, 0.0, [["plan", 100, y, 200, y + 30, 90], ["B", 210, y, 225, y + 30, 90]]] for y in (100, 150)]
    space = Space((0, 0, 612, 792), 0)
    content = text_layer.content(pdfs.record(b"", lines=lines), space, font.Codes(), "/F")
    assert content.count(b"Tz(\0B\0 )Tj") == 2


def test_words_follow_the_slope_of_their_line() -> None:
    slope = 0.05
    line: list[list[Any]] = [
        [f"w{x}", x, round(200 + slope * x), x + 60, round(240 + slope * (x + 60)), 90] for x in range(50, 800, 100)
    ]
    offset = -slope * (810 - 50) + 0.0
    found = pdfs.words(blank([1, 1, slope, offset, line]))
    assert [word.text for word in found] == [word[0] for word in line]
    for word, (_, x0, _, x1, y1, _) in zip(found, line, strict=True):
        assert word.box[0] == pytest.approx(x0 * 0.72, abs=1.5)
        assert word.box[2] == pytest.approx(x1 * 0.72, abs=NEAR_PT)
        assert word.box[1] == pytest.approx(792 - y1 * 0.72, abs=NEAR_PT)


def test_a_baseline_that_misses_the_words_is_not_believed() -> None:
    line = [["Hello", 100, 100, 200, 130, 90]]
    for slope, offset in ((0.0, -400.0), (0.0, 500.0), (90.0, 0.0)):
        [word] = pdfs.words(blank([1, 1, slope, offset, line]))
        assert word.box == pytest.approx((72, 792 - 130 * 0.72, 144, 720), abs=0.5)


def test_letters_of_any_script_come_out_as_they_went_in() -> None:
    texts = [
        "Zażółć",
        "Größe",
        "日本語",
        "\N{GRINNING FACE}\N{MUSICAL SYMBOL G CLEF}",
        "(a)\\b\r",
        "e\N{COMBINING ACUTE ACCENT}",
    ]
    line = [[text, 100 * n, 100, 100 * n + 90, 130, 90] for n, text in enumerate(texts)]
    assert pdfs.text(blank([1, 1, 0.0, 0.0, line])).split() == [text.strip() for text in texts]


def test_words_that_run_to_the_left_are_read_in_their_order() -> None:
    line = [["שלום", 500, 100, 600, 140, 90], ["עולם", 380, 100, 480, 140, 90], ["טוב", 300, 100, 360, 140, 90]]
    written = blank([1, 1, 0.0, 0.0, line])
    assert pdfs.text(written) == "שלום עולם טוב"
    [first, *_] = pdfs.words(written)
    assert first.box[:3] == pytest.approx((360, 792 - 140 * 0.72, 432), abs=0.5)


def test_more_kinds_of_rare_characters_than_codes_are_no_error() -> None:
    text = "".join(chr(0x20000 + number) for number in range(2100))
    codes = font.Codes()
    encoded = codes.encode(text)
    assert len(encoded) == 4200
    assert encoded.endswith(b"\xff\xfd")
    assert len(list(codes)) == 2049


def test_the_font_is_what_its_recipe_makes(tmp_path: Path) -> None:
    glyphless_font.build(tmp_path / "made.ttf")
    assert (tmp_path / "made.ttf").read_bytes() == (Path(font.__file__).parent / "glyphless.ttf").read_bytes()


def test_a_page_without_words_gets_no_layer() -> None:
    with pikepdf.new() as pdf:
        page = pdfs.page(pdf, b"0 0 1 1 re f")
        overlay.lay(pdf, [(1, pdfs.record(b"", lines=[]))])
        assert page.Contents.read_bytes() == b"0 0 1 1 re f"
