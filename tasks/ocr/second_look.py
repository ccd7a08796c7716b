"""The engine auto: Tesseract reads each page, and PP-OCR those of which Tesseract is unsure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from tasks._decoder import Came
    from tasks.ocr.engines import Engine, Reading

UNSURE = 85
"""A page that Tesseract reads with less confidence than this, 0 to 100, is read by PP-OCR, too. It reads receipts with
83 and less, and scanned pages with 91 and more; of each receipt PP-OCR was surer, and found as many true words or more.
"""


def engine(first: Engine, load: Callable[[], Engine]) -> Engine:
    """The engine that has pages read a second time.

    Args:
        first: Reads all pages.
        load: Gives the other one, which is loaded with the first page that needs it.
    """
    second = functools.cache(load)

    def read(page: Image.Image | Came, dpi: int, *, words: bool = False) -> Reading:
        found = first(page, dpi, words=words)
        if found.confidence >= UNSURE:
            return found
        again = second()(page, dpi, words=words)
        return again if again.confidence > found.confidence else found

    return read
