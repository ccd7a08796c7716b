"""Get the figures of published experiments again, each with what the paper claims beside what came out here.

One module a figure. Each has ``find(asked) -> Finding``; ``page.write`` makes the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]


def tell_nobody(done: int, total: int) -> None:
    """Show no progress."""


class Asked(NamedTuple):
    """What a figure is made of."""

    source: Path | None = None
    """The input; None: what the figure takes by default."""
    target: str | None = None
    """The column to learn, as in the option ``--target`` of train."""
    net: str = ""
    """As in the option ``--net`` of train; "": the figure's own."""
    values: Sequence[Any] = ()
    """What differs between the curves or bars; empty: the figure's own."""
    modes: Sequence[str] = ()
    """For ``server-lr``: of "sync" and "async"."""
    seeds: int = 3
    """How often everything is done, with other chance each time."""
    quick: bool = False
    """Fewer rounds: shows that it runs, not much more."""
    tell: Callable[[int, int], None] = tell_nobody
    """Is called with the number of steps that are done, and of all."""


class Finding(NamedTuple):
    """A figure, and the sentences that go with it."""

    name: str
    """Of the files."""
    title: str
    claims: Sequence[str]
    """Of the paper."""
    found: Sequence[str]
    """What came out here."""
    differs: Sequence[str]
    """Where this is not what the paper claims, or not how it was measured."""
    warnings: Sequence[str]
    """Why a part of the answer is worth nothing; such a part is not drawn as a curve."""
    table: Sequence[Row]
    """For people: a line a curve or bar; all have the same fields, in the same order."""
    rows: Sequence[Row]
    """For the CSV: every point."""
    draw: Callable[[Figure], None]
    setting: Mapping[str, Any]
    """How it was done: name -> value."""

    @property
    def told(self) -> dict[str, Any]:
        """All but the points and the picture, as JSON types."""
        return {
            "figure": self.name, "title": self.title, "claims": [*self.claims], "found": [*self.found],
            "differs": [*self.differs], "warnings": [*self.warnings], "table": [*self.table],
            "setting": {**self.setting},
        }  # fmt: skip
