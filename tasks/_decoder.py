"""Decode the files of strangers in a child process, which has limits and may crash: PDFs, and pictures of all kinds.

The child is a program of its own, ``tasks._decoder_child``. It is started at the first file, serves this process
until it ends, and is started again after a crash. What ends it, or takes too much memory or time, is a problem of
that page alone: ``UnreadablePicture``. Ctrl-C is for this process; the child ends with it, however it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks._child import Answer, Child, Ended
from tasks.pictures import UnreadablePicture

if TYPE_CHECKING:
    from PIL import Image

PROGRAM = "tasks._decoder_child"
CPU_S = 120
"""Seconds of CPU that opening a file, or a page of it, may take."""
TIME_S = 240.0
"""Seconds that it may take in all: a busy machine gives the child a share only. Less than a chunk may take."""
BASE_BYTES = 2**30
"""Memory that the child may take apart from pixels: the libraries' and the file's."""
PIXEL_BYTES = 24
"""Memory for each pixel of the largest picture that is taken: see the option ``max_megapixels``."""
MOST_CRASHES = 3
"""Pages of one file that end the child; the others are then not tried."""
NEEDED = {"PIL": "Pillow", "pypdfium2": "pypdfium2", "pi_heif": "pi-heif"}
"""Module -> the package that brings it."""


@dataclass(frozen=True)
class Came:
    """A picture as it came from the child."""

    mode: str
    """L or RGB."""
    width: int
    height: int
    data: bytes
    """Its pixels, row by row."""

    @functools.cached_property
    def image(self) -> Image.Image:
        """As Pillow has it: colours are unpacked for this, so that who needs only the pixels does without."""
        from PIL import Image

        return Image.frombuffer(self.mode, (self.width, self.height), self.data, "raw", self.mode, 0, 1)


class Seen(NamedTuple):
    """A page as it is to be read."""

    width: int
    """Pixels of the page, upright, with square pixels."""
    height: int
    claimed: list[float] | None
    """Dots per inch across and down, as its file says; None where it says nothing of use."""
    picture: Came | None
    """None where there is nothing to be read."""
    text: str = ""
    """The text of its own that stays."""
    words: Sequence[Sequence[Sequence[Any]]] = ()
    """Its lines of words ``[text, x0, y0, x1, y1]``."""
    is_pdf: bool = False


def why_unavailable() -> str:
    """Why this machine cannot decode all kinds of files, or ""."""
    missing = [name for module, name in NEEDED.items() if not find_spec(module)]
    return f"{missing[0]} is not installed" if missing else ""


def pixels(picture: Image.Image | Came) -> bytes:
    """The pixels of a picture, row by row."""
    return picture.data if isinstance(picture, Came) else picture.tobytes()


def image(picture: Image.Image | Came) -> Image.Image:
    """A picture as Pillow has it."""
    return picture.image if isinstance(picture, Came) else picture


def start() -> None:
    """Start the child if there is none, so that it gets ready while this process does something else."""
    with _shared() as child:
        child.start()


def megapixels(data: bytes) -> list[float]:
    """The sizes of a file's pages in million pixels, before they are decoded; a page of a PDF has several it may get.

    What cannot be opened has none: the task says what is wrong with it.
    """
    limits = {"cpu_s": CPU_S, "memory_bytes": BASE_BYTES + len(data)}
    with _shared() as child, contextlib.suppress(Ended):
        answer, _ = _ask(child, {"do": "sizes", "limits": limits}, data, 0)
        return [float(size) for size in answer.get("sizes", ())]
    return []


class Document:
    """A file whose pages are decoded.

    Args:
        data: A PDF, or a picture of any of ``pictures.FORMATS``.
        options: As ``_pdf_pages.look`` takes them.

    Raises:
        UnreadablePicture: It cannot be opened.
    """

    def __init__(self, data: bytes, **options: Any) -> None:
        self._data = data
        self._options = options
        self._limits = {
            "cpu_s": CPU_S,
            "memory_bytes": BASE_BYTES + len(data) + PIXEL_BYTES * 1_000_000 * options["max_megapixels"],
        }
        self._crashes = 0
        self._turn = -1  # of the child, when it opened this file
        self.pages = 0
        """How many it has, one at least."""
        if not data:
            raise UnreadablePicture("the file is empty")
        with _shared() as child:
            self._open(child)

    def page(self, number: int) -> Seen:
        """Decode a page, counted from 1.

        Raises:
            UnreadablePicture: It cannot be decoded.
            _child.Interrupted: The child was ended from outside.
        """
        if self._crashes >= MOST_CRASHES:
            raise UnreadablePicture(f"not tried: {self._crashes} pages of this file ended the program that decodes")
        with _shared() as child:
            if self._turn != child.turn or not child.is_alive:
                self._open(child)
            try:
                head, body = self._ask(child, {"do": "page", "number": number, "options": self._options})
            except Ended as error:
                self._crashes += 1
                raise UnreadablePicture(str(error)) from None
        try:
            return _seen(head, body)
        except (ValueError, LookupError, TypeError) as error:  # as no child of ours answers
            raise UnreadablePicture(f"damaged: the program that decodes it answers nonsense ({error})") from None

    def _open(self, child: Child) -> None:
        try:
            head, _ = self._ask(child, {"do": "open"}, self._data)
        except Ended as error:
            raise UnreadablePicture(str(error)) from None
        self._turn = child.turn = child.turn + 1
        self.pages = int(head["pages"])

    def _ask(self, child: Child, head: Mapping[str, Any], body: bytes = b"") -> Answer:
        answer, pixels = _ask(child, {**head, "limits": self._limits}, body, self._limits["memory_bytes"])
        if "problem" in answer:
            raise UnreadablePicture(str(answer["problem"]))
        return answer, pixels


def _ask(child: Child, head: Mapping[str, Any], body: bytes, most_bytes: int) -> Answer:
    return child.ask(head, body, most_bytes, time_s=TIME_S, cpu_s=CPU_S)


def _seen(head: Mapping[str, Any], body: bytes) -> Seen:
    picture = None
    if mode := head["mode"]:
        picture = Came(mode, head["width"], head["height"], body)
        if len(body) != picture.width * picture.height * len(mode):
            raise ValueError(f"{len(body)} bytes for {picture.width} x {picture.height} pixels")
    return Seen(head["width"], head["height"], head["claimed"], picture, head["text"], head["words"], head["is_pdf"])


def _new_child() -> Child:
    return Child(lambda: PROGRAM, "decode", shares=True)


_child = _new_child()


@contextlib.contextmanager
def _shared() -> Iterator[Child]:
    """This process's child, which no other thread uses meanwhile."""
    child = _child
    with child.lock:
        yield child


def _after_fork() -> None:
    global _child  # its lock may be held by a thread that this process does not have
    _child.leave()
    _child = _new_child()


def end() -> None:
    """End this process's child. The next file starts another one."""
    _child.end()


atexit.register(end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
