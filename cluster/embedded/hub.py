"""The folder of a hub that outlasts a restart of its machine: the port, the password and the data of its Redis.

hub.json        port and password, for its owner alone (mode 0600)
redis/          Redis's append-only file
owner.lock      held by the `cluster up` or `cluster web` that works on the folder
page/           what `cluster web` keeps, see ``client/page_folder.py``
programs.lock   held as long as a program of it may run: after a `cluster up` that was killed, some seconds more
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from cluster import errors

STATE, DATA, OWNER, PROGRAMS, PAGE = "hub.json", "redis", "owner.lock", "programs.lock", "page"
PASSWORD = re.compile(r"[A-Za-z0-9_-]{16,128}")
"""Form of the passwords of ``new_password``: they need no quoting in Redis's configuration and in URLs."""
PROGRAMS_END_S = 30.0
"""The programs of a `cluster up` that was killed end within this time: a worker has 10 s, Redis 10 s."""
log = logging.getLogger(__name__)


def running(folder: Path, host: str) -> str | None:
    """The broker's URL of the hub that a process keeps open in this folder; None where none does.

    Args:
        folder: The hub's.
        host: Where its Redis listens.
    """
    try:
        with (folder / OWNER).open() as lock:
            if _locked(lock, fcntl.LOCK_SH):
                return None
        port, password = _state(folder)
    except (OSError, errors.UsageError):
        return None
    return f"redis://:{password}@{host}:{port}/0" if port else None


class Hub:
    """The stored state of a hub: its port and password. ``opened`` gives it, locked.

    Args:
        folder: Its folder.
        port: Of its Redis; 0 until it was started once.
        password: Of its Redis.
        lock: Held by each process that must end before another one may work on the folder.
    """

    def __init__(self, folder: Path, port: int, password: str, lock: IO[str]) -> None:
        self.folder = folder
        self.port = port
        self.password = password
        self.lock = lock

    @property
    def data(self) -> Path:
        """The folder where the hub's Redis keeps its data."""
        return self.folder / DATA

    def keep(self, port: int) -> None:
        """Write port and password down, whole or not at all; only then there is a folder for data.

        Raises:
            errors.UsageError: The folder cannot be written.
        """
        self.port = port
        with _named(self.folder):
            handle, draft = tempfile.mkstemp(prefix=f".{STATE}-", dir=self.folder)  # with mode 0600
            with os.fdopen(handle, "w") as stream:
                json.dump({"port": port, "password": self.password}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            Path(draft).replace(self.folder / STATE)
            self.data.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def opened(folder: Path) -> Iterator[Hub]:
    """The hub of a folder, which is made where there is none; it is another's to open only afterwards.

    Raises:
        errors.UsageError: Another program works on it, it is damaged, or it is no folder for a hub.
    """
    folder = folder.absolute()
    with ExitStack() as held:
        with _named(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_is_for_a_hub(folder)
            if not _locked(held.enter_context((folder / OWNER).open("w"))):
                raise errors.UsageError(
                    f"another `cluster up` or `cluster web` works on --data {folder}; `cluster web link` prints a link"
                    " to its page"
                )
            lock = held.enter_context((folder / PROGRAMS).open("w"))
            _wait_for(lock, folder)
            hub = Hub(folder, *_state(folder), lock)
            if not (folder / STATE).exists():
                hub.keep(0)
        yield hub


def _check_is_for_a_hub(folder: Path) -> None:
    """Raise ``errors.UsageError`` for a folder with other things in it."""
    if other := sorted({path.name for path in folder.iterdir()} - {STATE, DATA, OWNER, PROGRAMS, PAGE}):
        if all(name.startswith(f".{STATE}-") for name in other):  # of one that was killed while it wrote
            return
        raise errors.UsageError(f"--data {folder} holds other things ({other[0]}): name a new or empty folder")


def _state(folder: Path) -> tuple[int, str]:
    """Port and password; new ones in a new folder."""
    file = folder / STATE
    if not file.exists() and not (folder / DATA).exists():
        return 0, new_password()
    try:
        said: Any = json.loads(file.read_bytes())
        port, password = said["port"], said["password"]
        if not (type(port) is int and 0 <= port < 2**16 and PASSWORD.fullmatch(password)):
            raise ValueError("it has no valid port or password")
    except (OSError, ValueError, TypeError, LookupError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise errors.UsageError(
            f"{file}, which keeps the port and the password, is damaged ({why}): restore it, or name another folder"
            " with --data and give the machines the line that is printed then"
        ) from None
    return port, password


def new_password() -> str:
    """A random password of 32 letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(24)


def _wait_for(lock: IO[str], folder: Path) -> None:
    """Take the lock once the programs of a `cluster up` that was killed have ended.

    Raises:
        errors.UsageError: They do not.
    """
    deadline, told = time.monotonic() + PROGRAMS_END_S, False
    while not _locked(lock):
        if not told:
            log.warning("waiting for the programs of the last `cluster up` on %s to end", folder)
            told = True
        if time.monotonic() > deadline:
            raise errors.UsageError(f"the programs of the last `cluster up` on --data {folder} do not end")
        time.sleep(0.05)


def _locked(lock: IO[str], kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Turn what the system refuses into a sentence about the folder."""
    try:
        yield
    except OSError as error:
        raise errors.UsageError(f"--data {folder}: {error.strerror or error}") from None
