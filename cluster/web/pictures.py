"""Pictures as the page shows them: always a WebP of our own, made by a limited child, never the bytes that were sent.

``/runs/{run}/picture/{item}?size=thumb`` gives one. What was made is kept in the page's folder, by content: the same
picture of two runs is made once.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import queue
import re
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import anyio
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, Response

from cluster.web.problems import Problem
from cluster.web.routes import Asked, Route, Stream
from cluster.web.runs import run_of
from splitters import page_names
from tasks._child import Answer, Child, Ended, Interrupted

if TYPE_CHECKING:
    from cluster.client.run import Status
    from cluster.web.context import Web

Size = Literal["thumb", "face", "view"]
SIDES: dict[str, int] = {"thumb": 96, "face": 160, "view": 1600}
"""Pixels of the longer side."""
PROGRAM = "cluster.web.picture_program"
CHILDREN = 2
WAIT_S = 10.0
"""How long a picture that somebody looks at waits for a child."""
MOST_AT_A_TIME = 8
"""Requests for pictures that have a thread; more of them wait without one."""
TIME_S, CPU_S = 10.0, 10
MEMORY_BYTES = 3 * 2**29
MOST_WEBP_BYTES = 16 * 2**20
MOST_KEPT_BYTES = 2**30
KEPT_EVERY = 500
"""Pictures that are made between two looks at how much is kept."""
DIGEST_CHARS = 64
DIGEST = re.compile(r"[0-9a-f]{64}")
NOT_HERE = "this picture is not on this page's machine: only what was sent by the page can be shown"


class Wanted(NamedTuple):
    """What is shown of a picture."""

    side: int
    """Pixels of the longer side, at most."""
    page: int = 1
    """Of a document, counted from 1."""
    turn: int = 0
    """Degrees clockwise by which it is turned, after what its file says: 0, 90, 180 or 270."""
    box: tuple[int, int, int, int] | None = None
    """``(x, y, width, height)`` of the part to show, in pixels of the whole."""

    entry: str = ""
    """The name of the picture's file in an archive; "" for no archive."""

    @property
    def name(self) -> str:
        """As it stands in a file's name."""
        parts: list[object] = [self.page, self.side, self.turn]
        if self.box is not None:
            parts.append(".".join(map(str, self.box)))
        if self.entry:
            parts.append(hashlib.sha256(self.entry.encode()).hexdigest()[:16])
        return "-".join(map(str, parts))


class Pictures:
    """Makes pictures and keeps them. Any thread may use it.

    Args:
        folder: Where they are kept; it is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: queue.LifoQueue[Child] = queue.LifoQueue()
        for _ in range(CHILDREN):
            self._children.put(Child(lambda: PROGRAM, "show"))
        self._made = 0
        self._lock = threading.Lock()

    @functools.cached_property
    def threads(self) -> anyio.CapacityLimiter:
        """Of requests for pictures: these wait for children, and other requests do not wait for them."""
        return anyio.CapacityLimiter(MOST_AT_A_TIME)

    def webp(self, path: Path, wanted: Wanted, wait_s: float | None = None) -> bytes:
        """A picture of what is in a file; where it must be made, it waits up to ``wait_s`` or ``WAIT_S`` for its turn.

        Raises:
            Problem: It cannot be shown (422), or right now not (503).
            OSError: The file cannot be read, or the disk is full.
        """
        kept = self._folder / (key := content(path))[:2] / f"{key}-{wanted.name}.webp"
        try:
            data = kept.read_bytes()
            os.utime(kept)
        except OSError:
            _, data = self._ask(path, wanted, wait_s)
            _put(kept, data, path)
            self._count()
        return data

    def whole(self, path: Path, page: int = 1) -> tuple[int, int]:
        """Width and height in pixels of the whole picture in a file, upright.

        Raises:
            Problem: It cannot be shown (422), or right now not (503).
            OSError: The file cannot be read, or the disk is full.
        """
        kept = self._folder / (key := content(path))[:2] / f"{key}-{page}.size"
        try:
            wide, high = map(int, kept.read_text().split())
        except (OSError, ValueError):
            answer, _ = self._ask(path, Wanted(SIDES["thumb"], page))
            wide, high = answer["whole"]
            _put(kept, f"{wide} {high}".encode(), path)
        return wide, high

    def forget(self, contents: Iterable[str]) -> None:
        """Remove all that was made of these contents: see ``content``."""
        keys = frozenset(contents)
        if keys:
            for kept in self._folder.glob("??/*"):
                if kept.name[:DIGEST_CHARS] in keys:
                    kept.unlink(missing_ok=True)

    def close(self) -> None:
        """End the programs that make pictures; those at work first make theirs."""
        for _ in range(CHILDREN):
            self._children.get().end()

    def _ask(self, path: Path, wanted: Wanted, wait_s: float | None = None) -> Answer:
        limits = {"cpu_s": CPU_S, "memory_bytes": MEMORY_BYTES}
        head = {"path": str(path), **wanted._asdict(), "limits": limits}
        try:
            child = self._children.get(timeout=WAIT_S if wait_s is None else wait_s)
        except queue.Empty:
            raise Problem(503, "many pictures are being made: load it again soon", {"Retry-After": "5"}) from None
        try:
            with child.lock:
                answer, data = child.ask(head, b"", MOST_WEBP_BYTES, time_s=TIME_S, cpu_s=CPU_S)
        except Ended as error:
            raise Problem(422, f"cannot be shown: {error}") from None
        except Interrupted:
            raise Problem(503, "this picture could not be made right now: load it again") from None
        finally:
            self._children.put(child)
        if "problem" in answer:
            raise Problem(422, f"cannot be shown: {answer['problem']}")
        return answer, data

    def _count(self) -> None:
        with self._lock:
            self._made += 1
            is_time = self._made % KEPT_EVERY == 0
        if is_time:
            self.trim(MOST_KEPT_BYTES)

    def trim(self, most_bytes: int) -> None:
        """Remove the pictures that were not looked at for longest, so that so many bytes are left at most."""
        found = []
        for kept in self._folder.glob("??/*.webp"):
            try:
                status = kept.stat()
            except FileNotFoundError:
                continue
            found.append((status.st_mtime, status.st_size, kept))
        total = sum(size for _, size, _ in found)
        for _, size, kept in sorted(found):
            if total <= most_bytes:
                return
            kept.unlink(missing_ok=True)
            total -= size


class Original(NamedTuple):
    """A file as it was sent."""

    name: str
    path: Path
    page: int
    """The page of it that an item is, counted from 1."""
    entry: str
    """The name of the item's file in it, where it is an archive; else ""."""


def content(path: Path) -> str:
    """The SHA-256 of a file; the spool of uploads has it in the file's name."""
    if DIGEST.fullmatch(path.stem):
        return path.stem
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def original(web: Web, status: Status, item: str) -> Original:
    """The file that an item of a run was sent in.

    Raises:
        Problem: It is not on this machine (404).
    """
    entry = folder = None
    if status.upload:
        with contextlib.suppress(Problem):  # it was dropped
            upload = web.spool.upload(status.upload)
            entry, folder = upload.entry(item), upload.folder
    if entry is None or folder is None:
        raise Problem(404, NOT_HERE)
    document, page = page_names.parse(item)
    path, archive = page_names.path(document), f"{entry.name}/"
    within = path.removeprefix(archive) if path.startswith(archive) else ""
    return Original(entry.name, folder / entry.place, page or 1, within)


class Query(BaseModel):
    """What of the picture."""

    size: Size = "view"
    page: int = Field(0, ge=0, le=10**6)
    """Of an item with several pages, counted from 1; 0: the page that the item is, else the first."""
    turn: Literal["0", "90", "180", "270"] = "0"
    """Degrees clockwise."""
    box: str = Field("", pattern=r"^(\d{1,6},\d{1,6},\d{1,6},\d{1,6})?$")
    """``x,y,width,height`` of the part to show, in pixels of the whole; "": all of it."""

    def wanted(self, page: int) -> Wanted:
        """As ``Pictures`` takes it."""
        x, y, width, height = map(int, self.box.split(",")) if self.box else (0, 0, 0, 0)
        return Wanted(SIDES[self.size], page, int(self.turn), (x, y, width, height) if self.box else None)


async def give(asked: Asked) -> Response:
    """The picture of an item."""
    return await anyio.to_thread.run_sync(_give, asked, limiter=asked.web.pictures.threads)


def _give(asked: Asked) -> Response:
    status = run_of(asked).status(failures=False)
    found = original(asked.web, status, asked.at["item"])
    wanted = asked.query.wanted(asked.query.page or found.page)._replace(entry=found.entry)
    tag = f'"{content(found.path)[:32]}-{wanted.name}"'
    headers = {"Cache-Control": "private, no-cache", "ETag": tag}
    if asked.request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(asked.web.pictures.webp(found.path, wanted), media_type="image/webp", headers=headers)


def _put(path: Path, data: bytes, source: Path) -> None:
    """Write a file, which is there whole or not at all; not where ``source``, which it was made of, is gone by now."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")  # what a kill leaves of it is forgotten, too
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    if not source.exists():
        path.unlink(missing_ok=True)


def give_original(asked: Asked) -> Response:
    """The file of an item as it was sent, which no browser shows: only to be kept."""
    found = original(asked.web, run_of(asked).status(failures=False), asked.at["item"])
    name = found.name.rpartition("/")[2]
    return FileResponse(
        found.path, media_type="application/octet-stream", filename=name, content_disposition_type="attachment",
        headers={"Content-Security-Policy": "sandbox; default-src 'none'"},
    )  # fmt: skip


ROUTES: tuple[Route, ...] = (
    Stream(
        "/runs/{run}/original/{item:path}",
        give_original,
        "The file of an item, as it was sent.",
        "application/octet-stream",
        by_link=True,
    ),
    Stream(
        "/runs/{run}/picture/{item:path}",
        give,
        "A picture of an item, as WebP.",
        "image/webp",
        query=Query,
        by_link=True,
    ),
)
