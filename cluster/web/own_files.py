"""Files of this page, which their owner alone may read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO


def write(path: str | Path, pieces: Iterable[bytes]) -> None:
    """Write a new file that its owner alone may read, down to the disk."""
    with opened(path, os.O_EXCL) as stream:
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        os.fdatasync(stream.fileno())


def opened(path: str | Path, flags: int) -> BinaryIO:
    """A file to write to, made where it is not there, that its owner alone may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600), "wb")
