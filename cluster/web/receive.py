"""Takes files that are being sent: many small ones in one request, large ones in slices. Writes them as they come.

A bundle is, file by file, a line of JSON ``{"name": …, "size": bytes, "modified": ms since 1970 or null}``, then that
many bytes. Its whole files count, even if the rest does not come.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import orjson
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from cluster.web import own_files
from cluster.web.problems import Problem
from cluster.web.senders import Turn
from cluster.web.spool_upload import Upload
from splitters.spool import Entry

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Message

IDLE_S = 30.0
"""A sender who has sent nothing for this long is given up."""
PIECE_BYTES, PIECE_S = 2**18, 0.25
"""A piece is written once it is so large, or so old: senders of 1 MiB a second go on without a pause."""
MAX_BUNDLE_BYTES = 64 * 2**20
MAX_BUNDLE_FILES = 1000
MAX_LINE_BYTES = 8192
MOST_OPEN = 64
"""Files of a bundle that are open at a time: a process may have some hundreds in all."""
_to_disk = ThreadPoolExecutor(16, "spool")
"""A disk writes the files of many threads at a time in fewer steps: four times as many a second as one by one. It is
asked to once many are written, as making further files waits for it meanwhile."""


class Sending(BaseModel):
    """A file as its sender tells of it."""

    name: str
    size: int = Field(ge=0)
    modified: int | None = None


class Refused(BaseModel):
    """A file that is not taken."""

    name: str
    why: str


class Received(BaseModel):
    """What has come of a bundle, and of its upload in all."""

    taken: list[str]
    """The files by the names under which they are kept."""
    refused: list[Refused]
    files: int
    """That have arrived of the upload."""
    size_bytes: int


async def take(request: Request, most_bytes: int, taker: Bundle | Slice, turn: Turn) -> None:
    """Give a body to what writes it down, piece by piece; a sender on a slow line has its turn for a piece only.

    Raises:
        Problem: The body is too long (413), stands still (408), its sender has gone (400), or others write (503).
    """
    async with aclosing(pieces(request, most_bytes)) as coming:
        async for piece in coming:
            if piece:
                await turn.take()
                await run_in_threadpool(taker.feed, piece)
            if len(piece) < PIECE_BYTES:
                await run_in_threadpool(taker.settle)
                turn.leave()


async def pieces(request: Request, most_bytes: int) -> AsyncGenerator[bytearray]:
    """The body in pieces of about ``PIECE_BYTES``; what has come before a problem is given first.

    A piece that is shorter, or empty, has waited for more for ``PIECE_S``, or is the last.

    Raises:
        Problem: It is too long (413), stands still (408), or its sender has gone (400).
    """
    held, total = bytearray(), 0
    problem: Problem | None = None
    is_over = False
    due_s = time.monotonic() + PIECE_S
    while not is_over:
        try:
            message = await _received(request, due_s - time.monotonic())
            if message is None:
                yield held
                held = bytearray()
                message = await _received(request, IDLE_S)
                due_s = time.monotonic() + PIECE_S
            body, is_over = _came(message)
        except Problem as error:
            problem, body, is_over = error, b"", True
        total += len(body)
        if total > most_bytes:
            raise Problem(413, f"the body has more than {most_bytes:,} bytes: send less at a time")
        held += body
        if is_over or len(held) >= PIECE_BYTES:
            yield held
            held = bytearray()
            due_s = time.monotonic() + PIECE_S
    if problem is not None:
        raise problem


async def _received(request: Request, most_s: float) -> Message | None:
    """The next message of a body; None if none came in time. It is still there for the next call then."""
    try:
        async with asyncio.timeout(most_s):
            return await request.receive()
    except TimeoutError:
        return None


def _came(message: Message | None) -> tuple[bytes, bool]:
    """What has come of a body, and whether it is the end.

    Raises:
        Problem: Nothing has (408), or its sender has gone (400).
    """
    if message is None:
        raise Problem(408, f"nothing came for {IDLE_S:.0f} s: send the rest again")
    if message["type"] == "http.disconnect":
        raise Problem(400, "the sender has gone")
    return message.get("body", b""), not message.get("more_body", False)


class Bundle:
    """Takes a bundle apart. Its methods write to the disk: call them in a thread, one at a time."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._line = bytearray()
        self._sending: Sending | None = None
        self._left = 0
        self._stream: BinaryIO | None = None
        self._draft = ""
        self._hash = hashlib.sha256()
        self._whole: list[tuple[str, Entry]] = []
        self._known: list[str] = []
        self._refused: list[Refused] = []
        self._written: list[BinaryIO] = []

    def feed(self, data: bytes | bytearray) -> None:
        """Take the next piece of the body.

        Raises:
            Problem: It is no bundle (422), or too many files (413).
        """
        view = memoryview(data)
        while view:
            if self._sending is None:
                view = self._read_line(view)
                continue
            piece, view = view[: self._left], view[self._left :]
            self._left -= len(piece)
            if self._stream is not None:
                self._stream.write(piece)
                self._hash.update(piece)
            if not self._left:
                self._end_file()

    def end(self) -> Received:
        """Keep what has come; the body is over.

        Raises:
            Problem: It ended within a file, or the upload is closed.
        """
        sending = self._sending
        taken = self.keep()
        if sending is not None or self._line:
            name = sending.name if sending else "the line before it"
            raise Problem(422, f"the bundle ends within a file: {name[:200]!r}; the files before it have arrived")
        return Received(
            taken=[*self._known, *(entry.name for entry in taken)], refused=self._refused, files=len(self._upload),
            size_bytes=self._upload.size_bytes,
        )  # fmt: skip

    def settle(self) -> None:
        """Hold no files open but the one that is on its way."""
        self._sync_written()

    def keep(self) -> list[Entry]:
        """Keep the whole files that have come, and drop what has come of another one."""
        self._sending = None
        self._drop_unfinished()
        self._sync_written()
        whole, self._whole = self._whole, []
        if not whole:
            return []
        try:
            taken = self._upload.take(whole)
        except BaseException:
            _drop(whole)
            raise
        self._refused += [Refused(name=name, why=why) for name, why in taken.refused]
        return taken.kept

    def _drop_unfinished(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            Path(self._draft).unlink(missing_ok=True)
            with suppress(OSError):  # a full disk does not take what is held back: it is not wanted any more
                stream.close()

    def _sync_written(self) -> None:
        written, self._written = self._written, []
        syncing = [_to_disk.submit(_sync, stream) for stream in written]
        wait(syncing)  # also for those after one that fails: each closes its file
        try:
            for one in syncing:
                one.result()
        except OSError:
            whole, self._whole = self._whole, []
            _drop(whole)
            raise

    def _read_line(self, view: memoryview) -> memoryview:
        data = bytes(view[:MAX_LINE_BYTES])
        end = data.find(b"\n") + 1
        self._line += data[: end or len(data)]
        if len(self._line) > MAX_LINE_BYTES:
            raise Problem(422, f"a line of the bundle has more than {MAX_LINE_BYTES} bytes")
        if end:
            line, self._line = bytes(self._line), bytearray()
            self._begin_file(line)
        return view[end or len(data) :]

    def _begin_file(self, line: bytes) -> None:
        try:
            sending = Sending.model_validate(orjson.loads(line))
        except (ValidationError, orjson.JSONDecodeError):
            raise Problem(422, f"no line with name and size before a file: {line[:100]!r}") from None
        begun = len(self._whole) + len(self._known) + len(self._refused)
        if begun >= MAX_BUNDLE_FILES:
            raise Problem(413, f"a bundle takes {MAX_BUNDLE_FILES:,} files: send the others in the next one")
        self._sending, self._left = sending, sending.size
        if self._upload.known(sending.name, sending.size, sending.modified):
            self._known.append(sending.name)
        elif why := self._why_not(sending):
            self._refused.append(Refused(name=sending.name, why=why))
        else:
            self._draft = self._upload.draft()
            self._stream = own_files.opened(self._draft, os.O_EXCL)
            self._hash = hashlib.sha256()
        if not self._left:
            self._end_file()

    def _why_not(self, sending: Sending) -> str:
        try:
            self._upload.require_room(sending.name, sending.size, len(self._whole))
        except ValueError as error:
            return str(error)
        return ""

    def _end_file(self) -> None:
        assert self._sending is not None  # noqa: S101 - a file was begun
        sending, self._sending = self._sending, None
        if self._stream is None:
            return
        self._stream.flush()
        self._written.append(self._stream)
        self._stream = None
        entry = Entry(sending.name, sending.size, self._hash.hexdigest(), sending.modified)
        self._whole.append((self._draft, entry))
        if len(self._written) >= MOST_OPEN:
            self._sync_written()


class Slice:
    """Takes the next slice of a large file.

    Args:
        upload: The file's.
        sending: The file.
        offset: Where in the file the slice begins.

    Raises:
        Problem: The file may not be sent (422), or another slice is due (409).
    """

    def __init__(self, upload: Upload, sending: Sending, offset: int) -> None:
        try:
            upload.require_room(sending.name, sending.size)
        except ValueError as error:
            raise Problem(422, f"{sending.name[:200]!r}: {error}") from None
        self._upload, self._sending = upload, sending
        self._path = upload.partial(_key(sending))
        if not upload.lock_partial(self._path):
            raise Problem(409, f"{sending.name!r} is being sent by another request")
        try:
            here = size(self._path)
            if offset != here:
                raise Problem(409, f"the slice at {here} is due, not at {offset}", {"Upload-Offset": str(here)})
            self._stream = own_files.opened(self._path, os.O_APPEND)
        except BaseException:
            upload.free_partial(self._path)
            raise
        self._at = here

    def feed(self, data: bytes | bytearray) -> None:
        """Take the next piece of the slice.

        Raises:
            Problem: The file has more bytes than was said (422).
        """
        if self._at + len(data) > self._sending.size:
            self._stream.truncate(0)
            self._at = 0
            raise Problem(422, f"{self._sending.name!r} has more than the {self._sending.size:,} bytes that were said")
        self._stream.write(data)
        self._at += len(data)

    def settle(self) -> None:
        """There is one file alone, which is on its way."""

    def end(self) -> tuple[int, str]:
        """Keep what has come: how many bytes of the file are here, and the name it got, "" until it is whole.

        Raises:
            Problem: The file is whole, and cannot be kept under its name (422).
            OSError: The disk is full; the slice that follows what it has taken is due.
        """
        try:
            _sync(self._stream)
            here = size(self._path)
            if here != self._sending.size:
                return here, ""
            with self._path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            entry = Entry(self._sending.name, here, digest, self._sending.modified)
            taken = self._upload.take([(str(self._path), entry)])
            for name, why in taken.refused:
                raise Problem(422, f"{name[:200]!r}: {why}")
            return here, taken.kept[0].name
        finally:
            self._upload.free_partial(self._path)


def offset(upload: Upload, sending: Sending) -> int:
    """How many bytes of a large file are here."""
    return sending.size if upload.known(*_key(sending)) else size(upload.partial(_key(sending)))


def size(path: Path) -> int:
    """A file's size in bytes; 0 for none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _key(sending: Sending) -> tuple[str, int, int | None]:
    return sending.name, sending.size, sending.modified


def _drop(drafts: list[tuple[str, Entry]]) -> None:
    for draft, _ in drafts:
        Path(draft).unlink(missing_ok=True)


def _sync(stream: BinaryIO) -> None:
    with stream:
        stream.flush()
        os.fdatasync(stream.fileno())
