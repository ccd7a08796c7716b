"""The command line in this process: a test that is not about the process saves the start of one."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import cli
from tests.kit.programs import NONE, environment


def cluster(*arguments: str | Path, settings: Mapping[str, str] = NONE) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end; takes and gives what the real program's of ``tests.kit.programs`` does."""
    words = [str(word) for word in arguments]
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch, _log_kept():
        for name in set(os.environ) - set(environment()):
            patch.delenv(name)
        for name, value in environment(**settings).items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        code = cli._run(words)
    out, err = (stream.buffer.getvalue().decode() for stream in streams)
    return subprocess.CompletedProcess(["cluster", *words], code, out, err)


@contextmanager
def _log_kept() -> Iterator[None]:
    """Leave pytest its log, in whose place a command puts its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
