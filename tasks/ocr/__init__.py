"""Read the text on pictures with Tesseract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from splitters import Chunk
from tasks import Part, _pictures
from tasks._pictures import UnreadablePicture
from tasks.ocr import cleaning, engines
from tasks.ocr.engines import EngineMissing, engine_name, languages, unavailable

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["EngineMissing", "engine_name", "languages", "read_pages", "unavailable"]
MAX_SIDE_PIXELS = 32_767
SANE_DPI = range(70, 2401)  # outside it Tesseract guesses from the text, as it does without one
UNSURE = 50
"""A cleaned page that is read with less confidence than this, 0 to 100, is read as it is, too. Of what it misreads
entirely, say upside down, Tesseract is sure to 20 or 30; receipts are read with 60 and more."""


def read_pages(
    chunk: Chunk, *, lang: str = "eng", max_megapixels: int = 64, clean: bool = False
) -> Part[dict[str, str]]:
    r"""Read each picture's text; the pages of a multi-page TIFF are joined by form feeds (``\f``).

    Args:
        chunk: Pictures as PNG, JPEG, TIFF, BMP, WebP, PGM or PPM files.
        lang: Tesseract's names of languages, joined by ``+``: ``eng``, ``deu+eng``.
        max_megapixels: Larger pages are refused before they are decoded, in millions of pixels.
        clean: Even out light, darken faint ink and enlarge small letters first. Of a page that becomes hard to read
            by this, the reading with more confidence is taken: that one, or the one of the page as it is.

    A picture that cannot be decoded is reported under its name; the others are done.
    Turned the way its EXIF data says, transparent parts are read as white.

    Raises:
        EngineMissing: No engine, or no data for ``lang``, on this machine.
    """
    engine = engines.load(lang)
    texts: dict[str, str] = {}
    failures: dict[str, str] = {}
    for item in chunk:
        try:
            pages = _pages(item.data, max_megapixels)
            texts[item.name] = "\f".join(_read(engine, page, dpi, clean=clean) for page, dpi in pages)
        except UnreadablePicture as error:
            failures[item.name] = str(error)
    return Part(texts, failures)


def _read(engine: engines.Engine, page: Image.Image, dpi: int, *, clean: bool) -> str:
    try:
        if not clean:
            return engine(page, dpi).text
        found = engine(cleaning.clean(page), cleaning.DPI)
        if found.confidence >= UNSURE:
            return found.text
        as_it_is = engine(page, dpi)
        return found.text if found.confidence > as_it_is.confidence else as_it_is.text
    except RuntimeError as error:  # also pytesseract's TesseractError
        raise UnreadablePicture(f"the engine cannot read it: {error}") from None


def _pages(data: bytes, max_megapixels: int) -> Iterator[tuple[Image.Image, int]]:
    """Decode a picture page by page into what both engines take unchanged.

    Raises:
        UnreadablePicture: Whatever is wrong with it.
    """
    with _pictures.opened(data) as picture:
        # In the other formats further frames are animations and thumbnails, not pages.
        for number in range(getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1):
            picture.seek(number)
            if max(picture.size) > MAX_SIDE_PIXELS:
                raise UnreadablePicture(f"{picture.width} x {picture.height} pixels is too long for Tesseract")
            _pictures.check_size(picture, max_megapixels)
            dpi, page = _dpi(picture.info), _pictures.plain(picture)
            page.info = {}  # pytesseract would write it to the file that the program reads
            yield page, dpi


def _dpi(info: Mapping[Any, Any]) -> int:
    """The resolution a file claims, or 0 where it claims none that can be true."""
    try:
        dpi = round(float(info["dpi"][0]))
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError):
        return 0
    return dpi if dpi in SANE_DPI else 0
