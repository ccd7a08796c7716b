"""Show on stderr how many steps of a long command are done: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from cluster.cli import say

PLAIN_EVERY_S = 10.0


class StepsBar:
    """Call it with the number of steps that are done, and of all. Use it in a ``with``."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what, self._quiet = what, quiet
        self._bar: Any = None
        self._next = time.monotonic() + PLAIN_EVERY_S

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}", markup=False), BarColumn(bar_width=30), MofNCompleteColumn(),
                TimeRemainingColumn(),
            )  # fmt: skip
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task(self._what, total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show it."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total)
        elif not self._quiet and time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_EVERY_S
            say(f"{self._what}: {done} of {total}")
