"""Read the text on pages with Tesseract."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from typing import Any

import tasks
from splitters import Chunk, Item
from tasks import Part, _decoder
from tasks._decoder import megapixels
from tasks.ocr import engines, reading
from tasks.ocr.engines import EngineMissing, engine_name, languages, why_unavailable
from tasks.ocr.reading import Found
from tasks.pictures import UnreadablePicture

__all__ = ["EngineMissing", "answer", "engine_name", "languages", "megapixels", "read_pages", "why_unavailable"]
MOST_TOLD = 5
"""Pages of an item that are told to be unreadable, one by one."""
NO_TEXT = re.compile("[\0-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff]")
DIGEST_CHARS = 16


def read_pages(
    chunk: Chunk, *, lang: str = "eng", max_megapixels: int = 64, clean: bool = False, words: bool = False,
    text: str = "skip", rotate: bool = False, dpi: int = 300, engine: str = "tesseract", model: str | None = None,
) -> Part[dict[str, Any]]:  # fmt: skip
    r"""Read each page; gives its record, as ``aggregators.readings`` describes it.

    Args:
        chunk: PDFs of one page, or pictures as PNG, JPEG, TIFF, BMP, WebP, PGM, PPM, HEIC or AVIF files. The texts of
            several pages are joined by form feeds (``\f``).
        lang: Tesseract's names of languages, joined by ``+``: ``eng``, ``deu+eng``.
        max_megapixels: Larger pictures are refused before they are decoded, in millions of pixels; pages of PDFs are
            drawn smaller, down to 100 dots per inch.
        clean: Even out light, darken faint ink and enlarge small letters first. Of a page that becomes hard to read
            by this, the reading with more confidence is taken: that one, or the one of the page as it is.
        words: Keep the place and confidence of each word, of items of one page.
        text: Of PDF pages that have text: "skip": it is taken as it is. "redo": what is visible of it is taken, and
            the rest of the page is read, without invisible text of earlier OCR. "force": all is read as it looks.
        rotate: A page that is read badly is tried turned.
        dpi: Dots per inch that pages of PDFs are drawn with; one that is a single scan is drawn with its own.
        engine: Which one reads.
        model: The folder of its bundle.

    A page that cannot be decoded is reported under its item's name; the others are done. Of an item with several
    pages the readable ones are given, the others are empty, and reported under the item's name.
    Turned the way its EXIF data says, transparent parts are read as white.

    Raises:
        EngineMissing: No engine, or no data for ``lang``, on this machine.
    """
    if chunk:
        _decoder.start()
    loaded = engines.load(lang, engine, model)
    records: dict[str, dict[str, Any]] = {}
    failures: dict[str, str] = {}
    for item in chunk:
        began = time.perf_counter()
        pages: list[Found | None] = []
        problems: dict[int, str] = {}
        try:
            document = _decoder.Document(item.data, text=text, dpi=dpi, max_megapixels=max_megapixels)
        except UnreadablePicture as error:
            failures[item.name] = str(error)
            continue
        for number in range(1, document.pages + 1):
            try:
                seen = document.page(number)
                pages.append(reading.read(seen, loaded, clean=clean, words=words, rotate=rotate))
            except UnreadablePicture as error:
                problems[number] = str(error)
                pages.append(None)
        if len(problems) < len(pages):
            records[item.name] = _record(item, pages, words=words, seconds=time.perf_counter() - began)
        if problems:
            failures[item.name] = _told(problems, len(pages))
    return Part(records, failures)


def answer(value: dict[str, Any], *, words: bool = False) -> Any:
    """What a service answers of an item: its text, or its record with ``words``."""
    return value if words else value["text"]


def _record(item: Item, pages: Sequence[Found | None], *, words: bool, seconds: float) -> dict[str, Any]:
    found = [page for page in pages if page is not None]
    text = "\f".join(page.text if page else "" for page in pages)
    record: dict[str, Any] = {
        "text": NO_TEXT.sub("", text),
        "confidence": round(sum(page.confidence for page in found) / len(found)),
        "seconds": round(seconds, 3),
        "node": tasks.here,
        "digest": hashlib.sha256(item.data).hexdigest()[:DIGEST_CHARS],
    }
    if all(page.is_own for page in found):
        record["source"] = "pdf"
    if len(pages) == 1:
        [page] = found
        if page.turn:
            record["turn"] = page.turn
        if words:
            record |= {"page": list(page.page), "lines": page.lines}
    return record


def _told(problems: dict[int, str], pages: int) -> str:
    if pages == 1:
        return problems[1]
    told = [f"page {number} of {pages}: {why}" for number, why in problems.items()]
    return "; ".join(told[:MOST_TOLD] + ([f"and {len(told) - MOST_TOLD} more pages"] if told[MOST_TOLD:] else []))
