"""Compiled templates, kept beside Python's own bytecode: to load one takes a fiftieth of the time to compile it."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from jinja2 import FileSystemBytecodeCache
from jinja2.bccache import Bucket

FOLDER = Path(__file__).with_name("__pycache__")


class Compiled(FileSystemBytecodeCache):
    """What cannot be kept, as the disk is full or the folder another user's, is compiled at each start."""

    def __init__(self) -> None:
        super().__init__(str(FOLDER))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """See Jinja."""
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                super().dump_bytecode(bucket)
