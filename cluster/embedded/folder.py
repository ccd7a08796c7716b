"""The private folder of an embedded cluster, and those that dead ones have left.

A folder holds a lock file. Its owner and the guard hold the lock together, as one open file that the guard was
born with, so it is free only when both are gone, whatever way they went.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import IO

PREFIX = "cluster-"
LOCK = "cluster-owner.lock"


def make() -> tuple[Path, IO[str]]:
    """A new folder that only this user can enter, and its lock, held: hand it to the guard, close it at the end."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = (folder / LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK).exists():
            return folder, lock
        lock.close()  # another one swept it before it was locked


def sweep() -> list[Path]:
    """Remove the folders whose owner and guard were both killed; gives them. Others' folders are not touched."""
    return [folder for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if _is_left(folder)]


def _is_left(folder: Path) -> bool:
    """Remove a folder if it is one of ours and its owner is gone; return whether it was."""
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return False
        with (folder / LOCK).open("r") as lock:  # made by the owner at once: without one, it is none of ours
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return False
    return not folder.exists()
