"""The report of a run: a table of its items, each with its state, and by whom it was done."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from aggregators import by_name
from cluster import errors, logs
from cluster.client import result
from cluster.format import Format

if TYPE_CHECKING:
    from cluster.client.run import Run, Status
    from cluster.job import Job

COLUMNS = ("item", "state", "reason", "node", "seconds", "confidence")
TOLD = ("node", "seconds", "confidence")
"""Columns that a job may tell of an item."""


def require_items(job: Job) -> None:
    """See that the runs of a job tell of each item.

    Raises:
        errors.UsageError: They do not.
    """
    if not job.joins_by_name:
        raise errors.UsageError(f"the result of {job.name} does not tell of single items: leave out --report")


def write(run: Run, status: Status, file: Path, *, behind: bool = False) -> None:
    """Write the report of a run that is done as CSV: those that are done in the order of the input, then the others.

    The file is there whole or not at all; with ``behind`` its rows stay, and those of this run follow. Reads the parts
    of the run once more, and holds one at a time.

    Raises:
        errors.ClusterError: The run has no result.
        OSError: It cannot be written there.
    """
    missing = {failure.item: failure.reason for failure in status.failures}

    def put(parts: Iterable[Mapping[str, Any]], out: BinaryIO) -> None:
        if behind and file.exists():
            with file.open("rb") as earlier:
                shutil.copyfileobj(earlier, out)
        else:
            out.write(by_name.line(COLUMNS))
        _write(parts, missing, out)

    result.write(Format(put), run.parts(), file)


def _write(parts: Iterable[Mapping[str, Any]], missing: dict[str, str], out: BinaryIO) -> None:
    for part in parts:
        for name, value in part.items():
            if value is not None:
                told = value if isinstance(value, Mapping) else {}
                _row(out, name, "done", logs.plain(missing.pop(name, "")), *(told.get(column, "") for column in TOLD))
    for name, reason in missing.items():
        _row(out, name, "missing", logs.plain(reason))


def _row(out: BinaryIO, *cells: Any) -> None:
    row = [by_name.cell(cell) if isinstance(cell, str) else cell for cell in cells]
    out.write(by_name.line(row + [""] * (len(COLUMNS) - len(row))))
