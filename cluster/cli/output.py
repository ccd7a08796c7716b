"""Write a result: to stdout, or to a file or folder that is there whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cluster import errors
from cluster.job import Format, Job


def prepare(job: Job, name: str, options: Mapping[str, Any], output: Path | None) -> Format:
    """The format ``name``, once it is sure that it can be written to ``output``: before the work, not after.

    Raises:
        errors.UsageError: The job has no such format, or the output cannot be there.
    """
    chosen = job.writer(name, options)
    if output is None:
        if chosen.folder:
            raise errors.UsageError(f"--format {name} writes a folder: give it with -o FOLDER")
        return chosen
    if chosen.folder:
        if output.exists() and not output.is_dir():
            raise errors.UsageError(f"-o {output} is no folder")
    elif output.is_dir():
        raise errors.UsageError(f"-o {output} is a folder; give the name of a file")
    place = output if output.is_dir() else output.parent
    if not place.is_dir():
        raise errors.UsageError(f"-o {output}: there is no folder {place}")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        output.exists()
    except OSError as error:
        raise errors.UsageError(f"-o {output}: {error.strerror}") from None
    return chosen


def write(chosen: Format, parts: Iterable[Any], output: Path | None) -> None:
    """Write the parts in the format to ``output``, or to stdout without one.

    Raises:
        errors.ClusterError: An item name points outside the output folder.
    """
    try:
        if output is None:
            chosen.write(parts, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        elif chosen.folder:
            output.mkdir(exist_ok=True)
            chosen.write(parts, output)
        else:
            _write_file(chosen, parts, output)
    except ValueError as error:
        raise errors.ClusterError(f"the result cannot be written: {error}") from error


def _write_file(chosen: Format, parts: Iterable[Any], output: Path) -> None:
    if output.exists() and not output.is_file():  # /dev/stdout, a pipe: there is nothing to replace
        with output.open("wb") as stream:
            chosen.write(parts, stream)
        return
    output = output.resolve()  # what a link points to is replaced, not the link
    handle, draft = tempfile.mkstemp(prefix=".cluster-", suffix=".part", dir=output.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            chosen.write(parts, stream)
        umask = os.umask(0)
        os.umask(umask)
        # mkstemp gives the owner alone a right to read
        Path(draft).chmod(output.stat().st_mode & 0o777 if output.exists() else 0o666 & ~umask)
        Path(draft).replace(output)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
