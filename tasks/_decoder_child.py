"""The program that decodes what strangers send: ``python -m tasks._decoder_child``. See ``tasks._decoder``.

It answers requests as ``tasks._child`` has them:

| request | answer |
| --- | --- |
| ``{"do": "open", "limits": {...}}`` and a file | ``{"pages": N}``: which other requests are about |
| ``{"do": "page", "number": N, "options": {...}}`` | ``_decoder.Seen`` as a head, and its pixels, if it has any |
| ``{"do": "sizes", "limits": {...}}`` and a file | ``{"sizes": [...]}``, see ``tasks.ocr.megapixels`` |
| each of these | ``{"problem": WHY}`` |
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from tasks import _child, _pdf_pages, pictures
from tasks._child import Answer
from tasks._picture_files import Page
from tasks.pictures import UnreadablePicture

MOST_FILES = 64


class Opened:
    """The file that requests are about."""

    def __init__(self) -> None:
        self._data = b""
        self._pages: list[Page] = []
        self._document: Any = None
        self._open = contextlib.ExitStack()

    def open(self, data: bytes) -> int:
        """Open a file in place of the one before; gives how many pages it has.

        Raises:
            UnreadablePicture: It cannot be opened.
        """
        self._open.close()
        self._data, self._document = data, None
        if _pdf_pages.HEAD in data[: _pdf_pages.HEAD_WITHIN]:
            self._document = self._open.enter_context(_pdf_pages.document(data))
            return len(self._document)
        self._pages = pictures.pages(data)
        return len(self._pages)

    def page(self, number: int, options: Mapping[str, Any]) -> Answer:
        """Decode a page, counted from 1.

        Raises:
            UnreadablePicture: It cannot be decoded.
        """
        if self._document is None:
            return _of_picture(self._data, self._pages[number - 1], options["max_megapixels"])
        found = _pdf_pages.look(self._document, number, **options)
        size = found.size
        head = {"width": size.width, "height": size.height, "claimed": [size.dpi, size.dpi], "mode": "",
                "text": found.text, "words": found.words, "is_pdf": True}  # fmt: skip
        if found.picture is None:
            return head, b""
        # The last digit of its size is PDFium's to round.
        head |= {"mode": found.picture.mode, "width": found.picture.width, "height": found.picture.height}
        return head, found.picture.tobytes()


def _of_picture(data: bytes, page: Page, max_megapixels: int) -> Answer:
    with pictures.opened(data, page) as picture:
        if max(picture.size) > pictures.MOST_SIDE:
            raise UnreadablePicture(f"{picture.width} x {picture.height} pixels is too long for Tesseract")
        pictures.check_size(picture, max_megapixels)
        claimed = _numbers(picture.info.get("dpi"))
        seen = pictures.plain(picture, max_megapixels=max_megapixels)
    head = {"width": seen.width, "height": seen.height, "claimed": claimed, "mode": seen.mode, "text": "", "words": [],
            "is_pdf": False}  # fmt: skip
    return head, seen.tobytes()


def _sizes(data: bytes) -> list[float]:
    if _pdf_pages.HEAD not in data[: _pdf_pages.HEAD_WITHIN]:
        return pictures.megapixels(data)
    with _pdf_pages.document(data) as document:
        return _pdf_pages.megapixels(document)


def _numbers(claimed: Any) -> list[float] | None:
    try:
        return [float(value) for value in claimed]
    except (TypeError, ValueError, ArithmeticError):
        return None


def answer(opened: Opened, head: Mapping[str, Any], body: bytes) -> Answer:
    """Do what a request says."""
    try:
        _limit(head["limits"])
        if head["do"] == "open":
            return {"pages": opened.open(body)}, b""
        if head["do"] == "sizes":
            return {"sizes": _sizes(body)}, b""
        return opened.page(head["number"], head["options"])
    except UnreadablePicture as error:
        return {"problem": str(error)}, b""
    except MemoryError:
        return {"problem": f"takes more than {head['limits']['memory_bytes'] >> 20} MiB of memory to decode"}, b""
    except Exception as error:  # noqa: BLE001 - libraries raise all sorts on what is damaged
        return {"problem": f"damaged: {type(error).__name__}: {error}"}, b""


def _limit(limits: Mapping[str, int]) -> None:
    """Let this process take so much memory, and so many more seconds of CPU."""
    _child.limit(limits["cpu_s"], AS=limits["memory_bytes"], FSIZE=0, NOFILE=MOST_FILES)


def _get_ready() -> None:
    """Load what most files need, while the process that started this one loads its engine."""
    from PIL import Image

    Image.preinit()


def main(answering: Callable[[Opened, Mapping[str, Any], bytes], Answer] = answer) -> None:
    """Answer requests until stdin ends."""
    opened = Opened()
    _child.serve(lambda head, body: answering(opened, head, body), _get_ready)


if __name__ == "__main__":
    main()
