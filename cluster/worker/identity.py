"""A name for this machine's worker that it keeps: the same when it comes back, another for a second worker."""

from __future__ import annotations

import fcntl
import functools
import logging
import secrets
import socket
from itertools import count
from pathlib import Path
from typing import IO

from cluster import names

log = logging.getLogger(__name__)
_held: list[IO[str]] = []
"""Locks are held as long as this process lives; the kernel lets go of them whatever way it ends."""


@functools.cache
def incarnation() -> str:
    """Tells this life of a worker from others under the same name; its children inherit it."""
    return secrets.token_hex(8)


def take(folder: Path) -> str:
    """The first of ``worker@host``, ``worker2@host``, … that no living worker of this machine has.

    ``folder`` holds a lock file for each; it is made if need be. Where it cannot be, the name is the first one.
    """
    host = socket.gethostname()
    for number in count(1):
        name = "worker" if number == 1 else f"worker{number}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / f"{name}.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
        except OSError as error:  # no folder, or one on a file system without locks
            problem = (
                "the names of this machine's workers cannot be kept in %s (%s): a second worker here needs a name of"
                " its own (-n), or name another folder with CLUSTER_CACHE_DIR"
            )
            log.warning(problem, folder, error.strerror, extra={"event": "no-place-for-name"})
            return names.node("worker", host)
        _held.append(lock)
        return names.node(name, host)
    raise AssertionError("count() does not end")
