"""What the page costs and how fast it is: its budgets, each a row.

The page runs in a process of its own, as `cluster web` does; what watches or asks it runs in this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import Case, Options
from tests.benchmarks.page import finding, sending, showing, starting, watching


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """All of them."""
    yield from starting.started(options, folder)
    yield from watching.watched(options, folder)
    yield from showing.shown(options, folder)
    yield from sending.sent(options, folder)
    yield from finding.found(options, folder)
