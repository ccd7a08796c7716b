"""Draw the curve of a run as a PNG. Needs matplotlib, which the extra ``[plots]`` installs."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import errors
from cluster.cli import output as outputs
from cluster.texts.curve_texts import COORDINATOR_TIMES, TIMES, Row, best_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = (11.0, 7.0)
DPI = 120
MIB = 2**20


def check(csv: Path | None, picture: Path | None, flag: str) -> None:
    """See that ``--csv``, and what a flag names as the picture, can be written; and that pictures can be drawn here.

    Raises:
        errors.UsageError: They cannot, or are one file.
        errors.NotInstalled: matplotlib is missing.
    """
    for name, file in (("--csv", csv), (flag, picture)):
        if file is not None:
            outputs.check_file(name, file)
    if picture is None:
        return
    if picture == csv:
        raise errors.UsageError(f"--csv and {flag} are both {csv}")
    try:
        import matplotlib.figure  # noqa: F401 - whether it can be imported
    except ImportError:
        raise errors.NotInstalled(
            f'{flag} needs matplotlib: {sys.executable} -m pip install "cluster[plots]" (--csv needs nothing)'
        ) from None


def png(rows: Sequence[Row], title: str) -> bytes:
    """Draw loss and score by round and by seconds, the traffic, and where the time of each round went.

    Args:
        rows: All rows of the run, the first round first.
        title: Stands above the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    figure.suptitle(title.replace("$", r"\$"))  # a dollar begins a formula
    [[by_round, by_time], [traffic, times]] = figure.subplots(2, 2)
    rounds = [row["round"] for row in rows]
    _course(by_round, rows, rounds, "round")
    _course(by_time, rows, [row["at"] for row in rows], "seconds since the run began")
    for name in ("up", "down"):
        sums = itertools.accumulate(row.get(f"{name}_bytes", 0) / MIB for row in rows)
        traffic.plot(rounds, list(sums), label=name)
    traffic.set(xlabel="round", ylabel="MiB, all shards, summed up", ylim=(0, None))
    traffic.legend()
    _times(times, rows, rounds)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI)
    return out.getvalue()


def _course(axes: Axes, rows: Sequence[Row], across: list[float], label: str) -> None:
    """Loss, with its axis on the left, and the score on the right."""
    lines: list[Any] = []
    axes.set(xlabel=label)
    if any("loss" in row for row in rows):
        lines += axes.plot(across, _values(rows, "loss"), ".-", color="tab:orange", label="loss")
        axes.set(ylabel="loss")
    if best := best_of(rows):
        name, _ = best
        beside = axes.twinx()
        lines += beside.plot(across, _values(rows, name), ".-", color="tab:blue", label=name)
        beside.set(ylabel=name)
    if lines:
        axes.legend(lines, [line.get_label() for line in lines], loc="center right")


def _values(rows: Sequence[Row], name: str) -> list[float]:
    return [row.get(name, float("nan")) for row in rows]


def _times(axes: Axes, rows: Sequence[Row], rounds: list[int]) -> None:
    told = [name for name in TIMES if name != "join" or any(name in row.get("times", {}) for row in rows)]
    spent = [[row.get("times", {}).get(name, 0.0) for row in rows] for name in told]
    labels = [f"{name} ({'coordinator' if name in COORDINATOR_TIMES else 'node'})" for name in told]
    axes.stackplot(rounds, spent, labels=labels)
    axes.set(xlabel="round", ylabel="seconds", ylim=(0, None))
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), reverse=True)
