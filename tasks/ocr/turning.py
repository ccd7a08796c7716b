"""Tell which way a page lies that was read badly: by a band of it, turned each way.

Tesseract is sure of an upright page to 90 and more, of one that lies wrong to 38-45; a band of a fifth of the page at
half its size tells the same in a sixth of the time. A page that stands on one of its sides is read by Tesseract as it
is; its words are then higher than wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from tasks.ocr.engines import Engine, Reading

DOUBTED = 60
"""A page that is read with less confidence may lie wrong."""
SURE = 80
"""A band that is read with this much is upright."""
GAIN = 10
"""By this much a band must be read better than the whole page was."""
BAND = 5
"""Its height is a fifth of the page's."""
LARGE = 1600
"""Pixels of a band's width from which on half of them are enough."""
WAYS = (180, 90, 270)
LEAST_LETTERS = 3
"""Shorter words may be higher than wide."""


def ways_to_try(reading: Reading) -> tuple[int, ...]:
    """Degrees clockwise by which a page may have to be turned, after this was read on it."""
    if not reading.text.strip():
        return ()
    if reading.confidence < DOUBTED:
        return WAYS
    return (90, 270) if _is_sideways(reading) else ()


def way(page: Image.Image, engine: Engine, dpi: int, reading: Reading, ways: Sequence[int]) -> int:
    """By how many degrees clockwise to turn a page on which ``reading`` was read; 0: not at all."""
    least = reading.confidence + GAIN if reading.confidence < DOUBTED else DOUBTED
    best = 0
    for degrees in ways:
        band, share = _band(turned(page, degrees))
        confidence = engine(band, dpi // share).confidence
        if confidence >= least:
            best, least = degrees, confidence
        if confidence >= SURE:
            break
    return best


def turned(page: Image.Image, degrees: int) -> Image.Image:
    """The page turned clockwise by 0, 90, 180 or 270 degrees."""
    from PIL import Image

    how = Image.Transpose  # they turn the other way
    ways = {90: how.ROTATE_270, 180: how.ROTATE_180, 270: how.ROTATE_90}
    return page.transpose(ways[degrees]) if degrees else page


def _band(page: Image.Image) -> tuple[Image.Image, int]:
    """The middle of a page, and by how much it was made smaller."""
    band = page.crop((0, page.height * (BAND // 2) // BAND, page.width, page.height * (BAND // 2 + 1) // BAND + 1))
    return (band.reduce(2), 2) if band.width >= LARGE and band.height > 2 else (band, 1)


def _is_sideways(reading: Reading) -> bool:
    words = [word for line in reading.lines for word in line[4] if len(word[0]) >= LEAST_LETTERS]
    high = sum(int(y1 - y0 > x1 - x0) for _, x0, y0, x1, y1, _ in words)
    return 2 * high > len(words)
