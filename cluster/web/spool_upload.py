"""One upload of the spool: files that arrive, a folder as ``splitters.spool`` describes it.

What has arrived is on disk before its sender is told so, and a line of ``order.jsonl`` follows its bytes: a kill at any
moment leaves an upload that can be gone on with.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections import ChainMap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from cluster.web import own_files, spool_names
from cluster.web.problems import Problem
from splitters import MAX_ITEM_BYTES, files, page_names, pdf_cutter
from splitters import spool as kept
from splitters.spool import Entry, Head
from splitters.suffixes import PDF, ZIP

RUNS, PARTIAL, DRAFTS, GONE = "runs", "partial", "drafts", "gone"
"""In an upload's folder: the ids of the runs that read it; files of which slices have come; files on their way; since
when the cluster knows its runs no more."""


class Limits(NamedTuple):
    """How much may be sent to this machine."""

    files: int = 100_000
    """Of an upload."""
    file_bytes: int = MAX_ITEM_BYTES
    document_bytes: int = pdf_cutter.MOST_BYTES
    """Of a PDF or an archive, which are cut into items."""
    user_bytes: int = 50 * 10**9
    """Of all uploads of one user."""
    open_uploads: int = 8
    """Uploads of one user that are not closed."""
    free_share: float = 0.05
    """Of the disk, which stays free."""


class Taken(NamedTuple):
    """What has come of files that were to be kept."""

    kept: list[Entry]
    """By the names that they have got."""
    refused: list[tuple[str, str]]
    """The name of each other one, and why it cannot be kept."""


class Upload:
    """One upload. Any thread may use it; what it knows it reads from its folder."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self.id = folder.name
        self._limits = limits
        self._lock = threading.RLock()
        self._by_name: dict[str, Entry] = {}
        self._in_folder: dict[str, str] = {}
        """Folder of files that have arrived -> one of these."""
        self._is_closed = False
        self._at_risk = b""
        """The last lines of ``order.jsonl``, where the disk has failed to keep them."""
        self._sending: set[Path] = set()
        self._drafts = count(1)
        self._folders: set[str] = set()
        self._root = str(folder)  # a Path for each of very many files takes long
        self.size_bytes = 0
        """Of all files that have arrived."""
        self.head = self._begin()

    def __len__(self) -> int:
        """How many files have arrived."""
        return len(self._by_name)

    @property
    def is_closed(self) -> bool:
        """Whether no more files come."""
        return self._is_closed

    @property
    def touched_at(self) -> float:
        """When something of it arrived last, in seconds since 1970."""
        places = (self.folder / kept.ORDER, *(self.folder / PARTIAL).glob("*"))
        return max((place.stat().st_mtime for place in places if place.exists()), default=0.0)

    @property
    def partial_bytes(self) -> int:
        """Of the slices that have come of files that are not whole."""
        size_bytes = 0
        for place in (self.folder / PARTIAL).glob("*"):
            with suppress(FileNotFoundError):  # it is whole now
                size_bytes += place.stat().st_size
        return size_bytes

    def names(self) -> list[str]:
        """The names of the files that have arrived, in that order."""
        return list(self._by_name)

    def entries(self) -> list[Entry]:
        """The files that have arrived, in that order."""
        return list(self._by_name.values())

    def entry(self, name: str) -> Entry | None:
        """The file of an item: by its own name, else by the document or the archive that the item is a part of."""
        plain = page_names.path(page_names.parse(name)[0])
        for one in dict.fromkeys((name, files.from_text(name), plain, files.from_text(plain))):
            parts = one.split("/")
            for length in range(len(parts), 0, -1):
                if found := self._by_name.get("/".join(parts[:length])):
                    return found
        return None

    def path(self, name: str) -> Path | None:
        """Where the bytes of an item's file lie: see ``entry``. None: it was not sent here."""
        found = self.entry(name)
        return None if found is None else self.folder / found.place

    def known(self, name: str, size_bytes: int, modified_ms: int | None) -> bool:
        """Whether this very file has arrived; only its bytes tell that of one without a time of change.

        Of no file while the disk fails: what is sent again then has the lines that may be lost written again.
        """
        if modified_ms is None or self._at_risk:
            return False
        with self._lock:
            found = self._by_name.get(name)
        return found is not None and (found.size_bytes, found.modified_ms) == (size_bytes, modified_ms)

    def require_room(self, name: str, size_bytes: int, others: int = 0) -> None:
        """See that one more file may be sent, besides ``others`` that are on their way.

        Raises:
            ValueError: It may not; the message says why.
        """
        kept.check_name(name)
        most = self._limits.document_bytes if name.lower().endswith((PDF, ZIP)) else self._limits.file_bytes
        if size_bytes > most:
            raise ValueError(f"{size_bytes:,} bytes is over the limit of {most:,}")
        if len(self._by_name) + others >= self._limits.files:
            raise ValueError(f"an upload takes {self._limits.files:,} files: close this one and begin another")
        with self._lock:
            spool_names.require_no_clash(name, self._by_name, self._in_folder)

    def draft(self) -> str:
        """A place to write the bytes of a file to that is on its way."""
        return f"{self._root}/{DRAFTS}/{next(self._drafts)}"

    def take(self, drafts: Sequence[tuple[str, Entry]]) -> Taken:
        """Keep files whose bytes are written, in that order.

        A name that another file has gets a number, ``scan~2.jpg``. The same name and content again counts once. A name
        that is a folder of another one, or the other way round, is refused: no disk could hold the two.

        Raises:
            Problem: The upload is closed (409).
            OSError: They could not be written down, and are to be sent again. Those whose lines a reader may have seen
                are known nevertheless, and count once.
        """
        with self._lock:
            self._require_open()
            taken = Taken([], [])
            added: dict[str, Entry] = {}
            names, folders = ChainMap(added, self._by_name), ChainMap({}, self._in_folder)
            for draft, entry in drafts:
                try:
                    fresh = spool_names.named(entry, names, folders)
                except ValueError as error:
                    os.unlink(draft)  # noqa: PTH108 - as above
                    taken.refused.append((entry.name, str(error)))
                    continue
                taken.kept.append(fresh)
                if fresh.name in names:
                    os.unlink(draft)  # noqa: PTH108 - as above
                    continue
                place = fresh.place
                self._make_folder(place[:2])
                os.replace(draft, f"{self._root}/{place}")  # noqa: PTH105 - as above
                added[fresh.name] = fresh
                spool_names.note_folders(fresh.name, folders)
            self._append(b"".join(entry.line() for entry in added.values()))
            return taken

    def put(self, name: str, data: bytes, modified_ms: int | None = None) -> Entry:
        """Add a file that this process has made.

        Raises:
            ValueError: It may not have this name, or is too large.
            Problem: The upload is closed (409).
        """
        self.require_room(name, len(data))
        draft = self.draft()
        own_files.write(draft, [data])
        taken = self.take([(draft, Entry(name, len(data), hashlib.sha256(data).hexdigest(), modified_ms))])
        for _, why in taken.refused:
            raise ValueError(why)
        return taken.kept[0]

    def take_from(self, other: Upload, entries: Iterable[Entry]) -> None:
        """Add files of another upload, whose bytes are then in both and on the disk once.

        Raises:
            Problem: The upload is closed, or a file may not have its name (409); the others are added then.
        """
        drafts = []
        for entry in entries:
            draft = self.draft()
            os.link(other.folder / entry.place, draft)
            drafts.append((draft, entry))
        for name, why in self.take(drafts).refused:
            raise Problem(409, f"{name[:200]!r}: {why}")

    def close(self) -> None:
        """No more files come; done again, it changes nothing."""
        with self._lock:
            self._append(b"" if self._is_closed else kept.CLOSED)
            shutil.rmtree(self.folder / PARTIAL, ignore_errors=True)

    def runs(self) -> list[str]:
        """The runs that were begun with it, the earliest first."""
        try:
            return (self.folder / RUNS).read_text().split()
        except FileNotFoundError:
            return []

    def add_run(self, run: str) -> None:
        """Note that a run reads it."""
        with self._lock, own_files.opened(self.folder / RUNS, os.O_APPEND) as stream:
            stream.write(f"{run}\n".encode())

    def gone_for_s(self) -> float:
        """For how many seconds its runs are known to be gone; begins with the first call."""
        path = self.folder / GONE
        if not path.exists():
            path.touch(mode=0o600)
        return time.time() - path.stat().st_mtime

    def is_known(self) -> None:
        """Its runs are known: what ``gone_for_s`` began is over."""
        (self.folder / GONE).unlink(missing_ok=True)

    def partial(self, file: tuple[str, int, int | None]) -> Path:
        """Where slices of a file, by name, size and time of change, lie until all of it has come."""
        return self.folder / PARTIAL / hashlib.sha256(repr(file).encode()).hexdigest()

    def lock_partial(self, path: Path) -> bool:
        """Have a partial file to oneself until ``free_partial``; False: another one has it."""
        with self._lock:
            self._require_open()
            if path in self._sending:
                return False
            self._sending.add(path)
            return True

    def free_partial(self, path: Path) -> None:
        """Leave it to others."""
        with self._lock:
            self._sending.discard(path)

    def _begin(self) -> Head:
        """Read all that has arrived; a last line that a kill has cut off is removed."""
        path = self.folder / kept.ORDER
        lines = path.read_bytes()
        whole = lines.rfind(b"\n") + 1
        if whole < len(lines):
            os.truncate(path, whole)
        head, *rest = lines[:whole].splitlines() or [b""]
        self._learn(rest)
        shutil.rmtree(self.folder / DRAFTS, ignore_errors=True)
        for name in (DRAFTS, PARTIAL):
            if not self._is_closed:
                (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        return Head.parse(head)

    def _make_folder(self, name: str) -> None:
        if name not in self._folders:
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
            self._folders.add(name)

    def _learn(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            if (entry := Entry.parse(line)) is None:
                self._is_closed = True
            else:
                self._by_name[entry.name] = entry
                spool_names.note_folders(entry.name, self._in_folder)
                self.size_bytes += entry.size_bytes

    def _require_open(self) -> None:
        if self._is_closed:
            raise Problem(409, f"the upload {self.id} is closed: begin another one")

    def _append(self, lines: bytes) -> None:
        """Write whole lines down to the disk, and know them.

        A run may read a line as soon as it is written, so none that is whole is taken back where the disk fails. It is
        written again before the next ones: a sync that has failed may have lost it.

        Raises:
            OSError: The disk fails.
        """
        before = len(self._at_risk)
        lines = self._at_risk + lines
        if not lines:
            return
        with (self.folder / kept.ORDER).open("r+b", buffering=0) as stream:
            begin = stream.seek(-before, os.SEEK_END)
            try:
                left = memoryview(lines)
                while left:
                    left = left[stream.write(left) :]
                os.fdatasync(stream.fileno())
            except BaseException:
                whole = lines.rfind(b"\n", 0, stream.tell() - begin) + 1
                lines = self._at_risk = lines[: max(before, whole)]
                stream.truncate(begin + len(lines))
                raise
            else:
                self._at_risk = b""
            finally:
                self._learn(lines[before:].splitlines())
