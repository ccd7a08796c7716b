"""Show measurements to people and to programs."""

from __future__ import annotations

import dataclasses
import os
import platform
import statistics
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psutil

from tests.benchmarks import MB, Case, GiB, Options, goals
from tests.benchmarks.sampling import KINDS

COLUMNS = {
    "case": 31,
    "input": 14,
    "to result, s": 18,
    "per s": 6,
    "run, s": 18,
    "run per s": 9,
    "submitter": 9,
    "redis": 5,
    "guard": 5,
    "worker": 6,
    "child": 5,
    "Redis used": 10,
    "found": 5,
}
"""Column -> its width in characters; from "submitter" on they are peaks of one process, in MB."""


def head() -> str:
    """The two first lines of the table (Markdown)."""
    return f"{_row(dict(zip(COLUMNS, COLUMNS, strict=True)))}\n{_row({name: '-' * w for name, w in COLUMNS.items()})}"


def row(case: Case) -> str:
    """A line of the table: medians, with the range in brackets where a case was repeated."""
    if case.skipped:
        return _row({"case": case.name, "found": f"skipped: {case.skipped}"})
    notes = [
        f"{name} {note:,.4g}" if isinstance(note, float) else f"{name} {note:,}" for name, note in case.notes.items()
    ]
    found = ", ".join([f"WRONG: {case.problem}", *notes] if case.problem else notes)
    if not case.runs:
        return _row({"case": case.name, "found": found})
    return _row(
        {
            "case": case.name,
            "input": f"{case.amount:,.0f} {case.unit}",
            "to result, s": goals.spread([run.result_s for run in case.runs]),
            "per s": goals.short(statistics.median(case.amount / run.result_s for run in case.runs)),
            "run, s": goals.spread([run.run_s for run in case.runs]),
            "run per s": goals.short(statistics.median(case.amount / run.run_s for run in case.runs)),
            **{kind: f"{case.peak_bytes(kind) / MB:.0f}" for kind in KINDS if kind in COLUMNS},
            "Redis used": f"{max(run.redis_used_peak_bytes for run in case.runs) / MB:.1f}",
            "found": found,
        }
    )


def side_by_side(cases: list[Case]) -> str:
    """A table (Markdown) with a column for each case and a line for each of their notes."""
    names = list(dict.fromkeys(name for case in cases for name in case.notes))
    rows = [
        ["", *(case.name for case in cases)],
        *([n, *(str(case.notes.get(n, "")) for case in cases)] for n in names),
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(cases) + 1)]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows)


def as_json(cases: list[Case], options: Options) -> dict[str, Any]:
    """All that was measured, each run by itself, and where."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / GiB, 1),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "settings": {name: value for name, value in os.environ.items() if name.startswith("CLUSTER_")},
        "options": options._asdict(),
        "cases": [dataclasses.asdict(case) | {"rows": [row.as_json() for row in case.rows]} for case in cases],
    }


def _row(cells: Mapping[str, str]) -> str:
    return "| " + " | ".join(cells.get(name, "").ljust(width) for name, width in COLUMNS.items()) + " |"
