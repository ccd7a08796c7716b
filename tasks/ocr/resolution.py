"""Choose the resolution to tell Tesseract: the one that the page's file claims, unless the letters contradict it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks import _decoder
from tasks.ocr import cleaning

if TYPE_CHECKING:
    from PIL import Image

    from tasks._decoder import Came

SANE_DPI = range(70, 2401)
"""Outside it Tesseract guesses from the text, as it does without one."""
LEAST_LETTERS = 0.04
"""Inches; the height of letters, without what few of them have above and below, below which Tesseract loses words. Of
print in 8 points it is 0.055. A claim by which letters are smaller is not told: Tesseract's own guess is then as good
on pages with small print, and much better on those whose claim is wrong."""
PAPER_SHARE = 4
"""At least a quarter (1 / 4) of a page is paper without ink."""


def to_try(page: Image.Image | Came, claimed: Any) -> tuple[int, ...]:
    """The dots per inch to read a page with, 0 for Tesseract's guess; the next one where the first gives no text.

    Args:
        page: In mode L or RGB, with square pixels.
        claimed: What its file says, across and down, or anything else. The finer one is that of square pixels.
    """
    try:
        dpi = round(max(float(value) for value in claimed))
    except (TypeError, ValueError, ArithmeticError):
        return (0,)
    if dpi not in SANE_DPI:
        return (0,)
    if dpi * LEAST_LETTERS <= cleaning.LEAST_LINE:  # lower letters are not looked for
        return (dpi,)
    rows = _rows(_decoder.image(page))
    height = cleaning.line_height(rows)
    if height:
        return (dpi,) if height >= dpi * LEAST_LETTERS else (0,)
    is_blank = rows.getextrema()[0] >= 255 - cleaning.INKED  # type: ignore[operator]
    return (dpi,) if is_blank else (dpi, 0)


def _rows(page: Image.Image) -> Image.Image:
    """The means of its rows in each of the strips that ``cleaning.line_height`` looks at, on white paper."""
    from PIL import Image, ImageOps

    grey = page.convert("L").resize((cleaning.STRIPS, page.height), Image.Resampling.BOX)
    if cleaning.middle(grey.histogram()) < cleaning.DARK_PAGE:
        grey = ImageOps.invert(grey)
    counts = grey.histogram()
    paper = next((value for value in range(255, 0, -1) if sum(counts[value:]) * PAPER_SHARE >= sum(counts)), 255)
    return grey.point([min(255, 255 * value // paper) for value in range(256)])
