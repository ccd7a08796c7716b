"""The folder of a private run, from which the same command, or `cluster resume`, goes on with it.

DATA/private/RUN/   (DATA is the setting ``data_dir``)

run.json     the run, and the command that opened it
redis/       the append-only file of its Redis
owner.lock   held by the process that works on it, and by its guard; holds the id of that process

A folder goes with the result of its run, or once it was not worked on for as long as runs are kept.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from cluster import errors, names
from cluster.embedded.hub import DATA, OWNER, Hub, new_password

if TYPE_CHECKING:
    from cluster.settings import Settings

FOLDER, ABOUT = "private", "run.json"
LEAST_FREE_BYTES = 256 * 2**20
"""Disk space to begin with: what is on its way (``max_in_flight_bytes``), and room to write that once more."""
ENDING_S = 15.0
"""How long the programs of a killed submitter may take to end: Redis has 10 s to write the last of what it has."""


class About(NamedTuple):
    """A private run on this machine, as its folder tells of it."""

    run: str
    job: str
    command: str
    """Digest of the command, see ``client.origin``; as is ``seen`` of its input."""
    seen: str
    begun_at: float
    """Seconds since 1970."""
    used_at: float
    """When it was worked on last."""
    size_bytes: int
    """On disk."""
    process: int | None
    """The process that works on it now."""


class Private(Hub):
    """The folder of one run, locked. ``LocalCluster`` keeps the data of its Redis there."""

    def __init__(self, folder: Path, lock: IO[str], *, is_over: bool = False) -> None:
        super().__init__(folder, 0, new_password(), lock)
        self.run = folder.name
        self.is_over = is_over
        """Whether the folder is of no use, as its run is not open yet, or its result is written: it goes then."""

    def keep(self, port: int) -> None:
        """The next time it has another port, and another password."""
        self.port = port

    def close(self) -> None:
        """Let go of the folder, whose programs have ended."""
        if self.is_over:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.close()


def folder(config: Settings) -> Path:
    """The folder with the private runs of this machine.

    Before version 0.9 it lay in the cache folder: as long as runs are there, it stays.
    """
    older = config.cache_folder / FOLDER
    with contextlib.suppress(OSError):
        if any(older.iterdir()):
            return older
    return config.data_folder / FOLDER


def make(root: Path, run: str, job: str, command: str, seen: str) -> Private:
    """Make the folder of a new run.

    Raises:
        OSError: It cannot be written, or the disk is nearly full.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (free := shutil.disk_usage(root).free) < LEAST_FREE_BYTES:
        raise OSError(errno.ENOSPC, f"{free // 2**20} MiB are free on the disk", str(root))
    place = root / run
    place.mkdir(mode=0o700)
    lock = _lock(place)
    if lock is None:
        raise OSError(errno.EAGAIN, "another process has it", str(place))
    try:
        (place / DATA).mkdir(mode=0o700)
        told = {"job": job, "command": command, "seen": seen, "begun_at": time.time()}
        _write(place, told)  # last: without it, the folder is nobody's
    except OSError:
        shutil.rmtree(place, ignore_errors=True)
        lock.close()
        raise
    return Private(place, lock, is_over=True)


def reopen(root: Path, run: str) -> Private:
    """Open the folder of a run that was stopped.

    Raises:
        errors.UnknownRun: There is none.
        errors.RunBusy: A process works on it.
    """
    about = find(root, run)
    if about is None:
        raise errors.UnknownRun(f"this machine has no private run {run}; it may be done, or have expired")
    deadline = time.monotonic() + ENDING_S
    while (lock := _lock(root / run)) is None:
        process = _owner(root / run)
        if (process is not None and _lives(process)) or time.monotonic() > deadline:
            raise errors.RunBusy(f"the run {run} is in use: the process {process or '?'} of this machine works on it")
        time.sleep(0.05)  # its programs end
    return Private(root / run, lock)


def find(root: Path, run: str) -> About | None:
    """A private run of this machine; None where there is no such one."""
    return _read(root / run) if names.is_run(run) else None


def listed(root: Path) -> list[About]:
    """The private runs of this machine, the latest first."""
    try:
        folders = list(root.iterdir())
    except OSError:
        return []
    found = filter(None, map(_read, folders))
    return sorted(found, key=lambda about: -about.begun_at)


def is_held(about: About) -> bool:
    """Whether a living process works on it; the programs of one that was killed end soon."""
    return about.process is not None and _lives(about.process)


def disown(root: Path, run: str) -> None:
    """Have the command that opened the run open another one the next time; the run stays."""
    with contextlib.suppress(OSError, ValueError):
        file = root / run / ABOUT
        told = json.loads(file.read_bytes())
        _write(root / run, {**told, "command": ""})


def sweep(root: Path, older_than_s: float) -> list[str]:
    """Remove the runs that nobody works on, and that were not worked on for so long; gives their names."""
    swept = []
    for about in listed(root):
        if about.process is None and time.time() - about.used_at > older_than_s and remove(root, about.run):
            swept.append(about.run)
    return swept


def remove(root: Path, run: str) -> bool:
    """Remove a run that nobody works on; whether it could be."""
    lock = _lock(root / run)
    if lock is None:
        return False
    shutil.rmtree(root / run, ignore_errors=True)
    lock.close()
    return True


def _read(place: Path) -> About | None:
    try:
        told: Any = json.loads((place / ABOUT).read_bytes())
        job, command, seen = (str(told[name]) for name in ("job", "command", "seen"))
        sizes = list(_sizes(place))
        used_at = max(moment for _, moment in sizes)
        process = _owner(place) if _is_locked(place) else None
        size_bytes = sum(size for size, _ in sizes)
        return About(place.name, job, command, seen, float(told["begun_at"]), used_at, size_bytes, process)
    except (OSError, ValueError, TypeError, LookupError):
        return None  # none of ours, or it went meanwhile


def _write(place: Path, told: Mapping[str, Any]) -> None:
    handle, draft = tempfile.mkstemp(dir=place)
    with os.fdopen(handle, "w") as stream:
        json.dump(told, stream)
        stream.flush()
        os.fsync(stream.fileno())
    Path(draft).replace(place / ABOUT)


def _sizes(place: Path) -> Iterator[tuple[int, float]]:
    """The size and time of each file; of a run that goes on, Redis makes and removes some meanwhile."""
    for path in place.rglob("*"):
        with contextlib.suppress(OSError):
            found = path.stat()
            if stat.S_ISREG(found.st_mode):
                yield found.st_size, found.st_mtime


def _lock(place: Path) -> IO[str] | None:
    """Lock the folder for this process, whose id is written there; None where another one has it, or it is gone."""
    try:
        lock = (place / OWNER).open("a+")
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    if not (place / OWNER).exists():  # it was removed meanwhile
        lock.close()
        return None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _is_locked(place: Path) -> bool:
    with (place / OWNER).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _owner(place: Path) -> int | None:
    try:
        return int((place / OWNER).read_text())
    except (OSError, ValueError):
        return None


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
