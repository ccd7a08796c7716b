"""Read one page: by which resolution, made legible first or as it is, and turned if need be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tasks import _decoder
from tasks.ocr import cleaning, resolution, turning
from tasks.ocr import words as places
from tasks.ocr.engines import Engine, Reading
from tasks.pictures import UnreadablePicture

if TYPE_CHECKING:
    from PIL import Image

    from tasks._decoder import Came, Seen

UNSURE = 50
"""A cleaned page that is read with less confidence than this, 0 to 100, is read as it is, too. Of what it misreads
entirely, say upside down, Tesseract is sure to 20 or 30; receipts are read with 60 and more."""
OWN = 100
"""The confidence of text that a page brings."""


class Found(NamedTuple):
    """What a page says."""

    text: str
    confidence: int
    lines: list[places.Line]
    """Where words were wanted."""
    page: tuple[int, int, int]
    """Width and height of the page as it was read, in pixels, and its dots per inch; 0 where nobody knows them."""
    turn: int = 0
    """Degrees clockwise by which it was turned."""
    is_own: bool = False
    """The text is the page's own."""


def read(seen: Seen, engine: Engine, *, clean: bool, words: bool, rotate: bool) -> Found:
    """Read a page.

    Raises:
        UnreadablePicture: The engine cannot read it.
    """
    if seen.picture is None:
        dpi = round(max(seen.claimed or [0.0]))
        return Found(seen.text, OWN, _own_lines(seen) if words else [], (seen.width, seen.height, dpi), is_own=True)
    resolutions = resolution.to_try(seen.picture, seen.claimed)
    page: Image.Image | Came = seen.picture
    turn = 0
    try:
        reading = _read(engine, page, resolutions, clean=clean, words=words)
        if rotate and (ways := turning.ways_to_try(reading)):
            turn = turning.way(_decoder.image(page), engine, resolutions[0], reading, ways)
        if turn:
            page = turning.turned(_decoder.image(page), turn)
            again = _read(engine, page, resolutions, clean=clean, words=words)
            if again.confidence > reading.confidence or reading.confidence >= turning.DOUBTED:
                reading = again
            else:
                page, turn = seen.picture, 0
    except RuntimeError as error:  # also pytesseract's TesseractError
        raise UnreadablePicture(f"the engine cannot read it: {error}") from None
    return Found(
        seen.text + reading.text, reading.confidence, reading.lines, (page.width, page.height, resolutions[0]), turn
    )


def _read(
    engine: Engine, page: Image.Image | Came, resolutions: tuple[int, ...], *, clean: bool, words: bool
) -> Reading:  # fmt: skip
    if clean:
        legible = cleaning.clean(_decoder.image(page))
        found = engine(legible, cleaning.DPI, words=words)
        if found.confidence < UNSURE:
            as_it_is = engine(page, resolutions[0], words=words)
            if found.confidence <= as_it_is.confidence:
                return as_it_is
        return found._replace(lines=places.scaled(found.lines, legible.width / page.width, page.width, page.height))
    found = engine(page, resolutions[0], words=words)
    for dpi in resolutions[1:]:
        if found.text.strip():
            break
        found = engine(page, dpi, words=words)
    return found


def _own_lines(seen: Seen) -> list[places.Line]:
    lines = [
        [1, 1, 0.0, 0.0, [word for text, *box in line
                          if (word := places.word_of(text, box, OWN, seen.width, seen.height))]]
        for line in seen.words
    ]  # fmt: skip
    return [line for line in lines if line[4]]
