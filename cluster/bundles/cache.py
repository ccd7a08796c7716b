"""The bundles that a machine has fetched: one folder each, named by its digest, checked before use, limited in size.

Several workers of a machine share it. A folder appears whole or not at all; one that was tampered with is dropped.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import stat
import sys
import sysconfig
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from cluster import errors
from cluster.bundles import Read, folder
from cluster.bundles.folder import Pause
from cluster.bundles.manifest import File, Manifest
from cluster.bundles.paths import DESCRIPTION, DRAFT

ATTEMPTS = 3
LOCK = ".lock"
PACKAGES = "packages-"
UNLOCKED_S = 24 * 3600
"""Seconds after which a draft without a lock file is removed: its process was killed between two lines."""
log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """Something the cache holds."""

    path: Path
    size_bytes: int
    used: float
    """When it was last asked for, in seconds since 1970."""

    @property
    def name(self) -> str:
        """The digest of a bundle, or the folder of packages installed for some."""
        return self.path.name


class Cache:
    """Keeps up to ``limit_bytes`` in a folder, across restarts. Any thread and process may call its methods.

    What a manifest describes differently is another bundle: versions with the same content, under whatever
    names and in whatever clusters, are one entry.
    """

    def __init__(self, place: Path, limit_bytes: int) -> None:
        self.place = place
        """The folder of its entries, made when the first one comes."""
        self.limit_bytes = limit_bytes
        self._verified: dict[str, frozenset[tuple[str, int, int, int]]] = {}

    def get(self, manifest: Manifest) -> Path | None:
        """The folder of a bundle, complete and right; None if it must be fetched.

        All files are read and compared by the first call in this process, and whenever one of them looks changed since;
        otherwise it costs a look at each file's time. What is wrong is dropped.
        """
        path = self.place / manifest.digest
        try:
            now = folder.signature(path)
        except FileNotFoundError:
            return None
        except OSError:  # no folder at all, or one that cannot be read
            self._drop(path)
            return None
        if self._verified.get(manifest.digest) != now:
            if problem := folder.problem(path, manifest):
                log.warning(
                    "the bundle %s in %s is dropped: %s", manifest.ref, path, problem, extra={"event": "bundle-dropped"}
                )
                self._drop(path)
                return None
            self._verified[manifest.digest] = now
        for used in (path, self.packages(manifest.requirements)):
            with suppress(OSError):
                os.utime(used)
        return path

    def fetch(self, manifest: Manifest, read: Read, pause: Pause | None = None, keep: Collection[str] = ()) -> Path:
        """Get a bundle piece by piece, and give its folder. If it is there already, nothing is read.

        Where it would go over the limit, others go first, those not used for the longest before the rest. Files that
        an entry has which stays, as another version of the bundle may, are copied from there.

        Args:
            manifest: What to fetch.
            read: ``Bundles.read``.
            pause: Called after each piece with the seconds it took. The default sleeps twice those seconds, so that
                fetching takes a third of the time. May raise, to give the fetch up.
            keep: As for ``evict``.

        Raises:
            errors.BadBundle: It is larger than what ``keep`` leaves of the cache; nothing is dropped then. Or a file of
                it is no data.
            errors.BlobError: Its pieces are gone or wrong. The pieces that were fetched are dropped.
            OSError: The folder cannot be written: no space, no right.
        """
        for _ in range(ATTEMPTS):
            found = self.get(manifest)
            if found:
                return found
            self._make_room(manifest, keep)
            with self._draft() as draft:
                folder.write(draft, manifest, read, pause or leave_two_thirds, self._near)
                try:
                    draft.rename(self.place / manifest.digest)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                    # Another one of this machine has fetched it meanwhile: look at what that one has.
        raise errors.BlobCorrupt(f"the bundle {manifest.ref} is changed in {self.place} as soon as it is there")

    def packages(self, requirements: Sequence[str]) -> Path:
        """The folder for the packages that these requirements ask for; bundles that require the same share it.

        It need not exist. Other versions of Python have another one.
        """
        said = orjson.dumps([sorted(requirements), sys.implementation.cache_tag, sysconfig.get_platform()])
        return self.place / f"{PACKAGES}{hashlib.sha256(said).hexdigest()[:32]}"

    def evict(self, keep: Collection[str]) -> list[str]:
        """Drop what was not used for the longest until the limit is kept, and what died fetches have left.

        Args:
            keep: Digests that stay, with the packages installed for them, even if they are more than the limit.

        Returns:
            The names of the entries that are gone. Others that use this cache, and did not say so here, fetch again.
        """
        self._sweep()
        return self._shrink(list(self._entries()), self._kept(keep), self.limit_bytes)

    def size_bytes(self) -> int:
        """Return the size of all entries together, in bytes."""
        return sum(entry.size_bytes for entry in self._entries())

    def _kept(self, digests: Collection[str]) -> set[str]:
        """The names of these bundles' entries, and of those of their packages."""
        return {*digests, *(self.packages(self._requirements(digest)).name for digest in digests)}

    def _make_room(self, manifest: Manifest, keep: Collection[str]) -> None:
        entries = list(self._entries())
        # Its packages were installed before its files and are evicted with them.
        kept = {*self._kept(keep), self.packages(manifest.requirements).name}
        stay = sum(entry.size_bytes for entry in entries if entry.name in kept)
        wanted = manifest.size_bytes + len(manifest.description)
        if stay + wanted > self.limit_bytes:
            beside = f", which do not fit beside {stay:,} bytes of what it needs and of bundles in use" if stay else ""
            raise errors.BadBundle(
                f"the bundle {manifest.ref} has {wanted:,} bytes{beside}; CLUSTER_BUNDLE_CACHE_BYTES of this machine"
                f" is {self.limit_bytes:,}"
            )
        self._shrink(entries, kept, self.limit_bytes - wanted)

    def _shrink(self, entries: list[Entry], kept: Collection[str], limit_bytes: int) -> list[str]:
        """Drop entries but those ``kept`` until they have ``limit_bytes`` at most; gives the names of those gone."""
        total, gone = sum(entry.size_bytes for entry in entries), []
        for entry in sorted(entries, key=lambda entry: entry.used):
            if total <= limit_bytes:
                break
            if entry.name not in kept:
                self._drop(entry.path)
                total -= entry.size_bytes
                gone.append(entry.name)
        return gone

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """A new folder beside the entries; gone afterwards, unless it was renamed.

        Its lock stands beside it and is held as long as it may grow: the lock of a dead process is free.
        """
        path = self.place / f"{DRAFT}{uuid.uuid4().hex}"
        self.place.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + LOCK)
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            try:
                path.mkdir()
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove the drafts of processes that were killed."""
        for path in self.place.glob(f"{DRAFT}*"):
            name = path.name.removesuffix(LOCK)
            lock = self.place / (name + LOCK)
            with suppress(OSError):
                if not lock.exists():
                    if time.time() - path.stat().st_mtime > UNLOCKED_S:
                        shutil.rmtree(path, ignore_errors=True)
                    continue
                with lock.open("r") as held:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(self.place / name, ignore_errors=True)
                    lock.unlink(missing_ok=True)

    def _drop(self, path: Path) -> None:
        """Make an entry disappear at once, then remove it."""
        with suppress(OSError), self._draft() as draft:
            path.rename(draft / path.name)

    def _entries(self) -> Iterator[Entry]:
        if not self.place.is_dir():
            return
        for path in self.place.iterdir():
            if re.fullmatch(rf"[0-9a-f]{{64}}|{PACKAGES}[0-9a-f]{{32}}", path.name):
                with suppress(OSError):
                    yield Entry(path, folder.size_bytes(path), path.stat().st_mtime)

    def _near(self, file: File) -> Path | None:
        """Where an entry may have the same file; its content is for the caller to compare."""
        for entry in self.place.glob("[0-9a-f]" * 8 + "*"):
            path = entry / file.path
            with suppress(OSError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode) and found.st_size == file.size_bytes > 0:
                    return path
        return None

    def _requirements(self, digest: str) -> list[str]:
        """Read the requirements in an entry's description."""
        try:
            said = orjson.loads((self.place / digest / DESCRIPTION).read_bytes())
            return [str(line) for line in said["requirements"]]
        except (OSError, ValueError, TypeError, KeyError):
            return []


def leave_two_thirds(seconds: float) -> None:
    """Pause twice as long as a piece took."""
    time.sleep(2 * seconds)
