"""The spool: all uploads of this page, beginning and dropping one. This process alone fills it."""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from cluster.web import own_files
from cluster.web.problems import Problem
from cluster.web.senders import Senders
from cluster.web.spool_upload import RUNS, Limits, Upload
from splitters import spool as kept
from splitters.spool import Head

_UPLOAD = re.compile(r"u-[0-9a-f]{12}")


class About(NamedTuple):
    """What one needs to know of each upload, also of very many."""

    id: str
    user: str
    at: float
    files: int
    size_bytes: int
    """Also of files of which slices have come."""
    is_closed: bool
    is_readable: bool = True
    """Whether it can be understood; of another one only the size, and the user if that can be told, are known."""


class Unreadable(Problem):
    """An upload that cannot be understood; it can be dropped."""

    def __init__(self, id: str, why: Exception) -> None:
        super().__init__(409, f"the upload {id} cannot be read: {why}; delete it and send its files again")


class Spool:
    """All uploads of this page, in one folder. Any thread may use it.

    It holds the names of the files of all open uploads, and of ``MOST_CLOSED`` closed ones.
    """

    MOST_CLOSED = 4

    def __init__(
        self, folder: Path, limits: Limits | None = None, on_drop: Callable[[Collection[str]], None] = lambda _: None,
        on_drop_run: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """``on_drop`` is given the SHA-256 of each file of an upload that was dropped, ``on_drop_run`` each run that
        was begun with it."""
        self.folder = folder
        self.limits = limits or Limits()
        self._on_drop, self._on_drop_run = on_drop, on_drop_run
        self._lock = threading.Lock()
        self._uploads: OrderedDict[str, Upload] = OrderedDict()
        self._closed: dict[str, About] = {}
        self.senders = Senders()
        self._remove_remains()

    def begin(self, user: str, files: int | None = None, size_bytes: int | None = None, job: str = "") -> Upload:
        """A new upload; ``files`` and ``size_bytes`` are what is to come, as far as that is known.

        Raises:
            Problem: It is more than may be sent (409, 413, 507).
        """
        if files is not None and files > self.limits.files:
            raise Problem(413, f"{files:,} files are more than an upload takes, {self.limits.files:,}: send fewer")
        self.require_room(user, size_bytes or 0)
        opened = sum(not one.is_closed for one in self.listed(user))
        if opened >= self.limits.open_uploads:
            raise Problem(409, f"{user} has {opened} open uploads: close or drop one first")
        upload = f"u-{secrets.token_hex(6)}"
        draft = self.folder / f".{upload}"
        draft.mkdir(mode=0o700, parents=True)
        own_files.write(draft / kept.ORDER, [Head(upload, user, time.time(), files, size_bytes, job).line()])
        draft.rename(self.folder / upload)
        return self.upload(upload)

    def upload(self, id: str) -> Upload:
        """An upload by its id.

        Raises:
            Problem: There is none, or not any more (404).
            Unreadable: It cannot be understood (409).
        """
        with self._lock:
            if id not in self._uploads:
                folder = self.folder / id
                if not _UPLOAD.fullmatch(id) or not (folder / kept.ORDER).is_file():
                    raise Problem(404, f"there is no upload {id[:40]!r} here")
                try:
                    self._uploads[id] = Upload(folder, self.limits)
                except (ValueError, TypeError) as error:
                    raise Unreadable(id, error) from None
            self._uploads.move_to_end(id)
            closed = [one for one, upload in self._uploads.items() if upload.is_closed and one != id]
            for one in closed[: -self.MOST_CLOSED]:
                del self._uploads[one]
            return self._uploads[id]

    def listed(self, user: str | None = None) -> list[About]:
        """The uploads of a user, or of all, the latest first."""
        found = []
        names = {entry.name for entry in self.folder.iterdir()} if self.folder.is_dir() else set()
        for id in filter(_UPLOAD.fullmatch, names):
            try:
                about = self.about(id)
            except (Problem, OSError, ValueError):
                continue  # it is being dropped, or somebody else has written there
            if user in (None, about.user):
                found.append(about)
        return sorted(found, key=lambda about: -about.at)

    def about(self, id: str) -> About:
        """What one needs to know of an upload, also of one that cannot be understood.

        Raises:
            Problem: There is none, or not any more (404).
        """
        if known := self._closed.get(id):
            return known
        try:
            upload = self.upload(id)
        except Unreadable:
            self._closed[id] = _unreadable(self.folder / id)
            return self._closed[id]
        size_bytes = upload.size_bytes + upload.partial_bytes
        about = About(id, upload.head.user, upload.head.at, len(upload), size_bytes, upload.is_closed)
        if about.is_closed:
            self._closed[id] = about
        return about

    def drop(self, id: str) -> None:
        """Remove an upload with all that has arrived; a run that still reads it fails. Done again, it does nothing."""
        try:
            contents = {entry.sha256 for entry in self.upload(id).entries()}
        except Unreadable:
            contents = _contents(self.folder / id)
        except (Problem, OSError):
            contents = set()  # it is gone
        folder, dropped = self.folder / id, self.folder / f".{id}"
        runs = _runs(folder) if _UPLOAD.fullmatch(id) else []
        with self._lock:
            self._uploads.pop(id, None)
            self._closed.pop(id, None)
            if _UPLOAD.fullmatch(id) and folder.is_dir():
                (folder / kept.ORDER).unlink(missing_ok=True)  # whoever reads it sees this
                folder.rename(dropped)  # else who still sends to it would write files beside those that go
        if _UPLOAD.fullmatch(id):
            shutil.rmtree(dropped, ignore_errors=True)
        self._tell_of_drop(contents, runs)

    def _remove_remains(self) -> None:
        """Remove what a kill has left of uploads that were begun or dropped: nobody could, as nobody sees them."""
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            is_one = _UPLOAD.fullmatch(folder.name.removeprefix("."))
            if is_one and (folder.name.startswith(".") or not (folder / kept.ORDER).exists()):
                contents, runs = _contents(folder), _runs(folder)
                shutil.rmtree(folder, ignore_errors=True)
                self._tell_of_drop(contents, runs)

    def _tell_of_drop(self, contents: Collection[str], runs: Collection[str]) -> None:
        self._on_drop(contents)
        for run in runs:
            self._on_drop_run(run)

    def require_room(self, user: str, size_bytes: int) -> None:
        """See that so many bytes may be sent.

        Raises:
            Problem: The user has sent too much (413), or the disk is full (507).
        """
        held = sum(one.size_bytes for one in self.listed(user))
        if held + size_bytes > self.limits.user_bytes:
            raise Problem(
                413, f"{user} has {held:,} bytes here, and {size_bytes:,} more are over the limit of"
                f" {self.limits.user_bytes:,}: forget runs that are not needed any more",
            )  # fmt: skip
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk = shutil.disk_usage(self.folder)
        if disk.free - size_bytes < self.limits.free_share * disk.total:
            raise Problem(
                507, f"the disk of this page is full, {disk.free:,} bytes are free: forget runs that are not needed"
            )


def _contents(folder: Path) -> set[str]:
    """The SHA-256 of each file that lies in an upload, whatever its lines say."""
    return {path.stem for path in folder.glob("??/*")}


def _runs(folder: Path) -> list[str]:
    """The runs that were begun with an upload."""
    try:
        return (folder / RUNS).read_text().split()
    except FileNotFoundError:
        return []


def _unreadable(folder: Path) -> About:
    with (folder / kept.ORDER).open("rb") as stream:
        first = stream.readline()
    try:
        head = Head.parse(first)
    except (ValueError, TypeError):
        head = Head(folder.name, at=folder.stat().st_mtime)
    size_bytes = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    return About(folder.name, head.user, head.at, 0, size_bytes, is_closed=True, is_readable=False)
