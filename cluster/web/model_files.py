"""The files of a model that a browser or a program sends, laid out as a folder.

They come in the body of one request, in one of two forms: a ZIP archive, or file after file, each as a line of JSON,
``{"name": "data/net.onnx", "size": 1234}``, with its bytes behind. One folder around all of them is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from cluster.client.models import MAX_BYTES, MAX_FILES
from cluster.web.problems import Problem
from splitters import spool

MAX_LINE_BYTES = 4096
IDLE_S = 30.0
"""Seconds without a byte after which a body is given up."""
WRITE_BYTES = 2**20
SPARE_BYTES = 2**30
"""Bytes of the disk that stay free."""
ZIP = b"PK"
FORMS = 'send a ZIP archive, or each file as a line {"name": "…", "size": …} with its bytes behind'


@asynccontextmanager
async def received(request: Request, place: Path) -> AsyncIterator[Path]:
    """The folder of the files in a body, below ``place``; it is removed when the ``with`` ends.

    Raises:
        Problem: The body is of another form (422), breaks off (400), is too large (413) or slow (408), or there is no
            room for it (507).
    """
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as made:
        folder = Path(made) / "files"
        folder.mkdir()
        body = _Body(request, Path(made))
        if (await body.peek(len(ZIP))).startswith(ZIP):
            archive = Path(made) / "sent.zip"
            with archive.open("wb") as out:
                await body.copy(out, MAX_BYTES)
            await run_in_threadpool(unpack, archive, folder)
        else:
            await _files(body, folder)
        yield _innermost(folder)


class _Body:
    """Reads a body piece by piece."""

    def __init__(self, request: Request, place: Path) -> None:
        self._pieces = request.stream()
        self._place = place
        self._held = bytearray()
        self._ended = False

    async def peek(self, size: int) -> bytes:
        """The next bytes, fewer at the end; they stay."""
        while len(self._held) < size and await self._more():
            pass
        return bytes(self._held[:size])

    async def line(self) -> bytes:
        """The next line without its end; b"" where there is none."""
        while b"\n" not in self._held and len(self._held) <= MAX_LINE_BYTES and await self._more():
            pass
        line, _, _ = self._held.partition(b"\n")
        if len(line) > MAX_LINE_BYTES:
            raise Problem(422, f"a line has over {MAX_LINE_BYTES} bytes: {FORMS}")
        del self._held[: len(line) + 1]
        return bytes(line)

    async def copy(self, out: BinaryIO, most: int, size: int | None = None) -> None:
        """Write the next ``size`` bytes, or all that come, to a file; of at most ``most``."""
        written = 0
        while size is None or written < size:
            if not self._held and not await self._more():
                break
            data = bytes(self._held if size is None else self._held[: size - written])
            del self._held[: len(data)]
            written += len(data)
            if written > most:
                raise Problem(413, f"there are over {most:,} bytes; that is the limit of a model")
            await run_in_threadpool(out.write, data)
        if size is not None and written < size:
            raise Problem(422, f"the body ended {size - written:,} bytes too early")

    async def _more(self) -> bool:
        """Wait until there is about a ``WRITE_BYTES`` more, or the end; whether anything came."""
        before = len(self._held)
        while not self._ended and len(self._held) - before < WRITE_BYTES:
            try:
                self._held += await asyncio.wait_for(anext(self._pieces), IDLE_S)
            except StopAsyncIteration:
                self._ended = True
            except TimeoutError:
                raise Problem(408, f"no byte came for {IDLE_S:g} s: send it again") from None
            except ClientDisconnect:
                raise Problem(400, "the sender has gone") from None
        if shutil.disk_usage(self._place).free < SPARE_BYTES:
            raise Problem(507, "the disk of this page is full: nothing was pushed")
        return len(self._held) > before


async def _files(body: _Body, folder: Path) -> None:
    room, names = MAX_BYTES, set[str]()
    while line := await body.line():
        try:
            said = orjson.loads(line)
            name, size = said["name"], said["size"]
            if not isinstance(name, str) or type(size) is not int or size < 0:
                raise TypeError
        except (orjson.JSONDecodeError, LookupError, TypeError):
            raise Problem(422, f"{line[:80]!r} describes no file: {FORMS}") from None
        with _opened(folder, name, names) as out:
            await body.copy(out, room, size)
        room -= size


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of a ZIP archive into a folder; links and other odd things in it become plain files or nothing.

    Raises:
        Problem: It is none, or too large.
    """
    room, names = MAX_BYTES, set[str]()
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if entry.is_dir():
                    continue
                with opened.open(entry) as data, _opened(folder, entry.filename, names) as out:
                    while piece := data.read(WRITE_BYTES):
                        room -= len(piece)
                        if room < 0:
                            raise Problem(413, f"there are over {MAX_BYTES:,} bytes; that is the limit of a model")
                        out.write(piece)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise Problem(422, f"the archive cannot be read: {error}") from None


@contextlib.contextmanager
def _opened(folder: Path, name: str, names: set[str]) -> Iterator[BinaryIO]:
    """A new file of that name below a folder."""
    try:
        spool.check_name(name)
    except ValueError as error:
        raise Problem(422, f"{name[:200]!r}: {error}") from None
    if name in names:
        raise Problem(422, f"{name[:200]!r} came twice")
    names.add(name)
    if len(names) > MAX_FILES:
        raise Problem(413, f"a model has at most {MAX_FILES:,} files")
    path = folder / PurePosixPath(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out:
            yield out
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise Problem(422, f"{name[:200]!r} lies where another file or folder of that name is") from None


def _innermost(folder: Path) -> Path:
    """The folder itself, or the only one in it: people choose or pack a folder, and mean what is in it."""
    found = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    return found[0] if len(found) == 1 and found[0].is_dir() else folder
