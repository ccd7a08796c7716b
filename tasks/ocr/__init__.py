"""Read the text on pictures with Tesseract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitters import Chunk
from tasks import Part, pictures
from tasks._picture_files import Page
from tasks.ocr import cleaning, engines, resolution
from tasks.ocr.engines import EngineMissing, engine_name, languages, why_unavailable
from tasks.pictures import UnreadablePicture

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["EngineMissing", "engine_name", "languages", "read_pages", "why_unavailable"]
MAX_SIDE_PIXELS = 32_767
MOST_TOLD = 5
"""Pages of a picture that are told to be unreadable, one by one."""
UNSURE = 50
"""A cleaned page that is read with less confidence than this, 0 to 100, is read as it is, too. Of what it misreads
entirely, say upside down, Tesseract is sure to 20 or 30; receipts are read with 60 and more."""


def read_pages(
    chunk: Chunk, *, lang: str = "eng", max_megapixels: int = 64, clean: bool = False,
    words: bool = False, text: str = "skip", rotate: bool = False, dpi: int = 300, pages: str | None = None,
    password_file: str | None = None, break_signatures: bool = False, engine: str = "tesseract",
    model: str | None = None,
) -> Part[dict[str, str]]:  # fmt: skip
    r"""Read each picture's text; the pages of a multi-page TIFF are joined by form feeds (``\f``).

    Args:
        chunk: Pictures as PNG, JPEG, TIFF, BMP, WebP, PGM or PPM files.
        lang: Tesseract's names of languages, joined by ``+``: ``eng``, ``deu+eng``.
        max_megapixels: Larger pages are refused before they are decoded, in millions of pixels.
        clean: Even out light, darken faint ink and enlarge small letters first. Of a page that becomes hard to read
            by this, the reading with more confidence is taken: that one, or the one of the page as it is.

    A picture that cannot be decoded is reported under its name; the others are done. Of one with several pages the
    readable ones are given, the others are empty, and reported under the picture's name.
    Turned the way its EXIF data says, transparent parts are read as white.

    Raises:
        EngineMissing: No engine, or no data for ``lang``, on this machine.
    """
    loaded = engines.load(lang)
    texts: dict[str, str] = {}
    failures: dict[str, str] = {}
    for item in chunk:
        read, problems = [], {}
        try:
            found = pictures.pages(item.data)
        except UnreadablePicture as error:
            failures[item.name] = str(error)
            continue
        for number, page in enumerate(found, 1):
            try:
                read.append(_text(loaded, item.data, page, max_megapixels, clean=clean))
            except UnreadablePicture as error:
                problems[number] = str(error)
                read.append("")
        if len(problems) < len(found):
            texts[item.name] = "\f".join(read)
        if problems:
            failures[item.name] = _told(problems, len(found))
    return Part(texts, failures)


def _told(problems: dict[int, str], pages: int) -> str:
    if pages == 1:
        return problems[1]
    told = [f"page {number} of {pages}: {why}" for number, why in problems.items()]
    return "; ".join(told[:MOST_TOLD] + ([f"and {len(told) - MOST_TOLD} more pages"] if told[MOST_TOLD:] else []))


def _text(engine: engines.Engine, data: bytes, page: Page, max_megapixels: int, *, clean: bool) -> str:
    """Read the text on one page of a picture.

    Raises:
        UnreadablePicture: The page cannot be read, for any reason.
    """
    with pictures.opened(data, page) as picture:
        if max(picture.size) > MAX_SIDE_PIXELS:
            raise UnreadablePicture(f"{picture.width} x {picture.height} pixels is too long for Tesseract")
        pictures.check_size(picture, max_megapixels)
        claimed = picture.info.get("dpi")
        seen = pictures.plain(picture, max_megapixels=max_megapixels)
        seen.info = {}  # pytesseract would write it to the file that the program reads
    return _read(engine, seen, resolution.to_try(seen, claimed), clean=clean)


def _read(engine: engines.Engine, page: Image.Image, resolutions: tuple[int, ...], *, clean: bool) -> str:
    try:
        if not clean:
            text = ""
            for dpi in resolutions:
                if (text := engine(page, dpi).text).strip():
                    break
            return text
        found = engine(cleaning.clean(page), cleaning.DPI)
        if found.confidence >= UNSURE:
            return found.text
        as_it_is = engine(page, resolutions[0])
        return found.text if found.confidence > as_it_is.confidence else as_it_is.text
    except RuntimeError as error:  # also pytesseract's TesseractError
        raise UnreadablePicture(f"the engine cannot read it: {error}") from None
