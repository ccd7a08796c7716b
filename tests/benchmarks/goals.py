"""The table that all benchmarks end with: ours beside another way to do the same work, and the goal."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

SAID = {None: "", True: "yes", False: "**no**"}
HOLDS: Mapping[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge, ">": operator.gt}


class Goal(NamedTuple):
    """``<= 1.05``: ours takes at most 1.05 times what the other takes; ``>= 3``: it is at least three times as good."""

    sign: Literal["<=", ">=", ">"]
    factor: float
    of: Literal["x", "points", "itself"] = "x"
    """What is to be so: the ratio, the percentage points by which our share is above the other's, or our figure."""

    def __str__(self) -> str:
        return f"{self.sign} {self.factor:g}{'' if self.of == 'itself' else f' {self.of}'}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table. What was measured in the same round stands at the same place of ``ours`` and ``theirs``."""

    work: str
    """With its size: ``ocr, 108 pictures``."""
    against: str
    """The other way, and how it was set up: ``Spark, pytesseract, defaults``."""
    ours: list[float]
    theirs: list[float] = field(default_factory=list)
    """Empty where ours is only reported; as many as ``ours``, or another number where no rounds were shared."""
    unit: str = "s"
    more_is_better: bool = False
    """As of rates (``/s``) and shares."""
    goal: Goal | None = None
    theirs_ready: list[float] = field(default_factory=list)
    """What theirs took once it was started up and ready, where that can be told."""
    note: str = ""
    """How its answer differs from ours, and why; what else a reader must know."""
    skipped: str = ""
    """Why the other was not run."""

    def ratios(self, theirs: Sequence[float] | None = None) -> list[float]:
        """In the sense of the goal: of ``<=`` what ours takes of theirs, else how many times as good ours is.

        Where the goal is of points, by how many ours is above theirs.
        """
        theirs = self.theirs if theirs is None else theirs
        if not theirs or not self.ours:
            return []
        if len(theirs) != len(self.ours):
            theirs = [statistics.median(theirs)] * len(self.ours)
        pairs = list(zip(self.ours, theirs, strict=True))
        if self.goal is not None and self.goal.of == "points":
            return [100 * (our - other) for our, other in pairs]
        inverted = self.goal is not None and self.goal.sign != "<=" and not self.more_is_better
        return [other / our if inverted else our / other for our, other in pairs]

    def met(self, theirs: Sequence[float] | None = None) -> bool | None:
        """Whether the median of the ratios is what the goal asks for; None where nothing is asked, or nothing known."""
        ratios = self.ours if self.goal is not None and self.goal.of == "itself" else self.ratios(theirs)
        if self.goal is None or not ratios:
            return None
        return HOLDS[self.goal.sign](statistics.median(ratios), self.goal.factor)

    def as_json(self) -> dict[str, Any]:
        """All figures, with what follows from them."""
        return asdict(self) | {"ratios": self.ratios(), "met": self.met()}


def of_json(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows that were written before; of the same work against the same other way they become one row, by rounds."""
    joined: dict[tuple[str, str], Row] = {}
    for given in rows:
        known = {name: value for name, value in given.items() if name not in ("ratios", "met")}
        row = Row(**{**known, "goal": Goal(*known["goal"]) if known.get("goal") else None})
        before = joined.get((row.work, row.against))
        if before is not None:
            rounds = {
                name: [*getattr(before, name), *getattr(row, name)] for name in ("ours", "theirs", "theirs_ready")
            }
            row = Row(**{**row.__dict__, **rounds})
        joined[row.work, row.against] = row
    return list(joined.values())


def table(rows: Sequence[Row]) -> str:
    """The table (Markdown): medians with the range in brackets."""
    heads = ("work", "against", "ours", "theirs", "theirs, ready", "ratio", "ratio, ready", "goal", "met", "note")
    lines = [_cells(row) for row in rows]
    shown = [
        at for at, head in enumerate(heads) if head in ("work", "against", "ours") or any(line[at] for line in lines)
    ]
    lines = [list(heads), *lines]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(line[at].ljust(widths[at]) for at in shown) + " |" for line in lines)


def spread(values: Sequence[float], unit: str = "") -> str:
    """``7.1``, or ``7.1 [6.9-7.4]`` of several; "" of none."""
    if not values:
        return ""
    middle = f"{short(statistics.median(values))}{f' {unit}' if unit else ''}"
    return middle if len(values) == 1 else f"{middle} [{short(min(values))}-{short(max(values))}]"


def short(number: float) -> str:
    """Three digits, of large numbers all."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _cells(row: Row) -> list[str]:
    met, met_ready = (SAID[row.met(theirs)] for theirs in (row.theirs, row.theirs_ready))
    return [
        row.work,
        row.against,
        spread(row.ours, row.unit),
        f"skipped: {row.skipped}" if row.skipped else spread(row.theirs, row.unit),
        spread(row.theirs_ready, row.unit),
        spread(row.ratios(), "points" if row.goal is not None and row.goal.of == "points" else ""),
        spread(row.ratios(row.theirs_ready)),
        str(row.goal or ""),
        met if met == met_ready or not met_ready else f"{met}; once ready {met_ready}",
        row.note,
    ]
