"""What to tell Tesseract of a page's resolution: what its file claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

SANE_DPI = range(70, 2401)
"""Outside it Tesseract guesses from the text, as it does without one."""


def to_try(page: Image.Image, claimed: Any) -> tuple[int, ...]:
    """The dots per inch to read a page with, 0 for Tesseract's guess; the next one where the first gives no text.

    Args:
        page: In mode L or RGB, with square pixels.
        claimed: What its file says, across and down, or anything else. The finer one is that of square pixels.
    """
    try:
        dpi = round(max(float(value) for value in claimed))
    except (TypeError, ValueError, ArithmeticError):
        return (0,)
    return (dpi,) if dpi in SANE_DPI else (0,)
