"""The program that decodes what strangers send: ``python -m tasks._decoder_child``. See ``tasks._decoder``.

It answers requests on stdin, one after the other, on what was stdout. A request and an answer are a head, JSON in a
line, and ``size`` bytes behind it:

| request | answer |
| --- | --- |
| ``{"do": "open", "limits": {...}}`` and a file | ``{"pages": N}``: which other requests are about |
| ``{"do": "page", "number": N, "options": {...}}`` | ``_decoder.Seen`` as a head, and its pixels, if it has any |
| ``{"do": "sizes", "limits": {...}}`` and a file | ``{"sizes": [...]}``, see ``tasks.ocr.megapixels`` |
| each of these | ``{"problem": WHY}`` |

It ends with its stdin, and with the process that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from tasks import _pdf_pages, pictures
from tasks._picture_files import Page
from tasks.pictures import UnreadablePicture

WATCH_S = 1.0
MOST_HEAD_BYTES = 64 * 2**20
MOST_FILES = 64
Answer = tuple[dict[str, Any], bytes]


def send(stream: IO[bytes], head: Mapping[str, Any], body: bytes = b"") -> None:
    """Write a request or an answer."""
    for data in (json.dumps({**head, "size": len(body)}).encode() + b"\n", body):
        left = memoryview(data)
        while left:  # a signal may cut a write short
            left = left[stream.write(left) :]
    stream.flush()


def receive(stream: IO[bytes], most_bytes: int = 2**40) -> Answer | None:
    """Read a request or an answer; None where the other process has ended.

    Raises:
        ValueError: It is no such thing, or its body has more than ``most_bytes``.
    """
    line = stream.readline(MOST_HEAD_BYTES)
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    size = head.pop("size")
    if not isinstance(size, int) or not 0 <= size <= most_bytes:
        raise ValueError(f"a body of {size} bytes")
    body = stream.read(size)
    return (head, body) if len(body) == size else None


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
    """Let this process take so much memory, and so many more seconds of CPU; nothing where there are no such limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = int(used.ru_utime + used.ru_stime) + 1 + limits["cpu_s"]
    wanted = {resource.RLIMIT_CPU: cpu_s, resource.RLIMIT_AS: limits["memory_bytes"], resource.RLIMIT_CORE: 0,
              resource.RLIMIT_FSIZE: 0, resource.RLIMIT_NOFILE: MOST_FILES}  # fmt: skip
    for what, soft in wanted.items():
        _, hard = resource.getrlimit(what)
        most = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        with contextlib.suppress(OSError, ValueError):  # some systems have no such limit
            resource.setrlimit(what, (most, hard))


def _end_with(parent: int) -> None:
    """End as soon as the process that started this one has ended: another one may hold stdin open."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def _get_ready() -> None:
    """Load what most files need, while the process that started this one loads its engine."""
    from PIL import Image

    Image.preinit()


def main(answering: Callable[[Opened, Mapping[str, Any], bytes], Answer] = answer) -> None:
    """Answer requests until stdin ends."""
    for name in ("SIGINT", "SIGHUP", "SIGTERM"):  # for the process that started this one, which may finish its work
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what libraries print is no answer
    if hasattr(os, "getppid") and sys.platform != "win32":
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _get_ready()
    opened = Opened()
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        while (request := receive(requests)) is not None:
            send(answers, *answering(opened, *request))
    os._exit(0)


if __name__ == "__main__":
    main()
