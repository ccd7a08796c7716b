"""Cut PDFs into pages, each a PDF of its own, by a child process: see ``_pdf_program``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from splitters import _pdf_program as program
from splitters import child_environment, files

Answer = TypeVar("Answer")
MOST_BYTES = 2 * 2**30
MOST_PAGES = 20_000
MOST_TIMES = 100
"""All pages of a file together have at most this many times its bytes, or ``FREE_BYTES``: more is a bomb."""
FREE_BYTES = 4 * 2**30
ANSWER_S = 120.0
NOT_INSTALLED = "pypdfium2 is not installed where the run was submitted: pip install 'cluster[pdf]'"
END_S = 5.0
"""How long the process may take to end by itself."""
MOST_OPEN = 4
"""Documents that stay open, as pages are counted some documents before they are cut."""
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM)
MOST_CRASHES = 5
"""Of one document; its other pages are not tried then."""


class Damaged(ValueError):
    """Why a document, or a page of it, cannot be read."""


class _Killed(Damaged):
    """The process was ended from outside, for want of memory, say."""


class Pages(NamedTuple):
    """The pages of a document."""

    number: int
    missing: str
    """Why there may be more, or ""."""


class _Document:
    def __init__(self, number: int, pages: Pages, file_bytes: int) -> None:
        self.number = number
        self.pages = pages
        self.most_bytes = max(FREE_BYTES, MOST_TIMES * file_bytes)
        self.given_bytes = 0


class Cutter:
    """Counts and cuts the pages of PDFs. Use it in a ``with``; its process starts with the first document.

    Args:
        passwords: Tried in turn where a document is encrypted.
    """

    def __init__(self, passwords: Sequence[str] = ()) -> None:
        self._passwords = passwords
        self._numbers = count(1)
        self._open: OrderedDict[Path, _Document] = OrderedDict()
        self._crashes: dict[Path, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def count(self, path: Path) -> Pages:
        """The pages of the PDF at ``path``.

        Raises:
            Damaged: It has none that can be cut; the message says why.
            OSError: The file cannot be read.
        """
        return self._twice(lambda: self._opened(path).pages)

    def cut(self, path: Path, number: int) -> bytes:
        """Page ``number`` of the PDF at ``path``, counted from 1, as a PDF: the same bytes each time.

        Raises:
            Damaged: That page cannot be cut. Others may.
            OSError: The file cannot be read.
        """
        return self._twice(lambda: self._cut(path, number))

    def _twice(self, act: Callable[[], Answer]) -> Answer:
        """Once more where the process was ended from outside, which is no file's fault."""
        try:
            return act()
        except _Killed:
            return act()

    def _cut(self, path: Path, number: int) -> bytes:
        document = self._opened(path)
        if document.given_bytes > document.most_bytes:
            raise Damaged(f"the pages before it have over {MOST_TIMES} times the bytes of the whole file")
        data = self._ask(path, program.CUT, [document.number, number - 1])
        document.given_bytes += len(data)
        return data

    def _opened(self, path: Path) -> _Document:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        if not find_spec("pypdfium2"):
            raise Damaged(NOT_INSTALLED)
        if len(self._open) == MOST_OPEN:
            self._close(self._open.popitem(last=False)[1].number)
        number = next(self._numbers)
        with files.reached(path) as near, near.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if not size:
                raise Damaged("the file is empty")
            if size > MOST_BYTES:
                raise Damaged(f"{size:,} bytes is over the limit of {MOST_BYTES:,}")
            answer = self._ask(path, program.OPEN, [number, list(self._passwords)], stream.fileno())
        pages = Pages(*json.loads(answer))
        if pages.number > MOST_PAGES:
            self._close(number)
            raise Damaged(f"has {pages.number:,} pages; the limit is {MOST_PAGES:,}")
        self._open[path] = _Document(number, pages, size)
        return self._open[path]

    def _close(self, number: int) -> None:
        try:
            self._tell(program.CLOSE, [number])
        except OSError:
            self._end()

    def _ask(self, path: Path, kind: bytes, asked: object, handle: int = -1) -> bytes:
        if self._crashes.get(path, 0) >= MOST_CRASHES:
            raise Damaged(f"damaged: {MOST_CRASHES} pages of the file ended the program that cuts it")
        try:
            self._tell(kind, asked, handle)
            answer, size = program.HEAD.unpack(self._receive(program.HEAD.size))
            if size > program.MOST_PAGE_BYTES:  # as no program of ours answers
                raise EOFError
            data = self._receive(size)
        except (EOFError, TimeoutError, BrokenPipeError, ConnectionResetError) as error:
            is_late = isinstance(error, TimeoutError)
            how = self._end(is_late=is_late)
            self._crashes = {path: self._crashes.get(path, 0) + 1}  # of the last such file
            was_killed = not is_late and self._process is not None and -self._process.returncode in FROM_OUTSIDE
            raise (_Killed if was_killed else Damaged)(f"damaged: {how}") from None
        if answer == program.PROBLEM:
            raise Damaged(data.decode())
        return data

    def _tell(self, kind: bytes, asked: object, handle: int = -1) -> None:
        if self._line is None:
            self._line = self._start()
        data = json.dumps(asked).encode()
        socket.send_fds(self._line, [program.HEAD.pack(kind, len(data))], [handle] if handle >= 0 else [])
        self._line.sendall(data)

    def _receive(self, size: int) -> bytes:
        assert self._line is not None  # noqa: S101 - it was told something
        found = bytearray(size)
        at = 0
        while at < size:
            got = self._line.recv_into(memoryview(found)[at:])
            if not got:
                raise EOFError
            at += got
        return bytes(found)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # By its path and without the folder: modules of ours have names that others may look for.
            command = [sys.executable, "-P", program.__file__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, env=child_environment.variables(),
            )  # fmt: skip
        ours.settimeout(ANSWER_S)
        return ours

    def _end(self, *, is_late: bool = False) -> str:
        """End the process; gives how it ended, in words."""
        if self._line is None or self._process is None:
            return ""
        self._line.close()
        self._line = None
        self._open.clear()
        if is_late:
            self._process.kill()
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if is_late:
            return f"the program that cuts it gave no answer within {ANSWER_S:.0f} s"
        with suppress(ValueError):
            return f"the program that cuts it ended by {signal.Signals(-code).name}"
        return f"the program that cuts it ended with code {code}"
