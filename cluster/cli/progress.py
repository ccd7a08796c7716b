"""Show on stderr how far a run is: a live line on a terminal, else a plain line every few seconds."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from cluster.cli import texts
from cluster.runs.status import Status

LIVE_EVERY_S = 0.25
PLAIN_EVERY_S = 5.0
UNCHANGED_EVERY_S = 60.0
LONELY_AFTER_S = 4.0
"""If no node has taken a chunk for so long, say so."""


class View(Protocol):
    """A place where progress is shown."""

    def show(self, status: Status, line: str) -> None:
        """Show the moment; ``line`` says it in words."""
        ...

    def close(self) -> None:
        """Show no more."""
        ...


class Progress:
    """Call it often; it asks for the status only when something is to be shown. Use it in a ``with``."""

    def __init__(self, status: Callable[[], Status], *, quiet: bool = False, lonely_hint: str = "") -> None:
        live = sys.stderr.isatty()
        self._status = status
        self._quiet = quiet
        self._view: View = LiveView() if live and not quiet else PlainView()
        self._every_s = LIVE_EVERY_S if live else PLAIN_EVERY_S
        self._hint = lonely_hint
        self._began = time.monotonic()
        self._next = self._began + (0 if live else 1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._view.close()

    def __call__(self) -> None:
        """Show the moment, if it is time to."""
        now = time.monotonic()
        if self._quiet or now < self._next:
            return
        self._next = now + self._every_s
        status = self._status()
        lonely = not status.chunks_settled and not status.chunks_running and now - self._began > LONELY_AFTER_S
        line = f"waiting for a node{self._hint}" if lonely and self._hint else _line(status)
        with contextlib.suppress(OSError):  # nobody can read it any more: the run goes on
            self._view.show(status, line)


class PlainView:
    """Lines, for logs and pipes; one that says nothing new only once a minute."""

    def __init__(self) -> None:
        self._last, self._last_at = "", 0.0

    def show(self, status: Status, line: str) -> None:
        """See ``View.show``."""
        now = time.monotonic()
        if line == self._last and now - self._last_at < UNCHANGED_EVERY_S:
            return
        self._last, self._last_at = line, now
        print(f"{status.run}: {line}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """See ``View.close``."""


class LiveView:
    """A bar that moves."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.fields[run]}"),
            BarColumn(bar_width=30),
            TextColumn("{task.description}"),
        )
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task: Any = None

    def show(self, status: Status, line: str) -> None:
        """See ``View.show``."""
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task("", run=status.run)
        self._bar.update(self._task, completed=status.items_settled, total=status.items_total, description=line)

    def close(self) -> None:
        """See ``View.close``."""
        self._bar.stop()


def _line(status: Status) -> str:
    words = [texts.items(status)]
    if status.items_settled:
        rate = status.items_settled / max(status.seconds, 0.001)
        words.append(f"{rate:.1f}/s")
        if status.items_total:
            left = max(0, status.items_total - status.items_settled) / rate
            words.append(f"{texts.duration(left)} left")
    count = len(status.nodes)
    words.append(f"{count} node{'' if count == 1 else 's'}")
    return ", ".join(words)
