"""A name for this machine's worker that it keeps: the same when it comes back, another for a second worker."""

from __future__ import annotations

import fcntl
import socket
from itertools import count
from pathlib import Path
from typing import IO

_held: list[IO[str]] = []
"""Locks are held as long as this process lives; the kernel lets go of them whatever way it ends."""


def take(folder: Path) -> str:
    """The first of ``worker@host``, ``worker2@host``, … that no living worker of this machine has.

    ``folder`` holds a lock file for each; it is made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        name = "worker" if number == 1 else f"worker{number}"
        lock = (folder / f"{name}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        return f"{name}@{socket.gethostname()}"
    raise AssertionError("count() does not end")
