"""Show on stderr how far a run is: a live line on a terminal, else a plain line every few seconds."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol, Self

from cluster import logs
from cluster.cli import texts
from cluster.client.nodes import HEARTBEAT_S, Node
from cluster.client.run import Status
from cluster.texts.standing import why_it_stands

LIVE_EVERY_S = 0.25
PLAIN_EVERY_S = 5.0
FIRST_AFTER_S = 1.0
"""A plain line comes no sooner, and before ``PLAIN_EVERY_S`` only if something is done."""
UNCHANGED_EVERY_S = 60.0
LONELY_AFTER_S = 4.0
"""Seconds without a node that takes a chunk, after which the progress says so."""


class View(Protocol):
    """A place where progress is shown."""

    def show(self, status: Status, line: str) -> None:
        """Show the moment; ``line`` says it in words."""
        ...

    def tell(self, status: Status, line: str) -> None:
        """Show what has happened, to stay."""
        ...

    def close(self) -> None:
        """Show no more."""
        ...


class Progress:
    """Call it often; it asks for the status only when something is to be shown. Use it in a ``with``.

    Args:
        status: Gives that of the run.
        nodes: Gives those of the cluster.
        quiet: Show nothing.
        lonely_hint: What helps where no node does the run; "" in a private cluster, whose node is no news either.
    """

    def __init__(
        self, status: Callable[[], Status], nodes: Callable[[], Iterable[Node]], *, quiet: bool = False,
        lonely_hint: str = "",
    ) -> None:  # fmt: skip
        live = sys.stderr.isatty()
        self._live = live
        self._status = status
        self._nodes = nodes
        self._crew = Crew()
        self._looked_at = -math.inf
        self._settled, self._stands_since, self._told = -1, 0.0, ""
        self._quiet = quiet
        self._view: View = LiveView() if live and not quiet else PlainView()
        self._every_s = LIVE_EVERY_S if live else PLAIN_EVERY_S
        self._hint = lonely_hint
        self._began = time.monotonic()
        self._next = self._began + (0 if live else FIRST_AFTER_S)

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
        news: list[str] = []
        if now - self._looked_at >= HEARTBEAT_S:  # they tell no more often
            self._looked_at = now
            nodes = list(self._nodes())
            crew = self._crew.look(nodes, status.requirement)
            news = [*(crew if self._hint else ()), *self._rejected(status, nodes, now)]
        lonely = (
            not status.paused
            and not status.chunks_settled
            and not status.chunks_running
            and now - self._began > LONELY_AFTER_S
        )
        line = f"waiting for a node{self._hint}" if lonely and self._hint else _line(status, self._crew.size)
        with contextlib.suppress(OSError):  # nobody can read it any more: the run goes on
            for one in news:
                self._view.tell(status, one)
            if self._live or lonely or status.items_settled or now - self._began > PLAIN_EVERY_S:
                self._view.show(status, line)
            else:
                self._next = now + FIRST_AFTER_S

    def _rejected(self, status: Status, nodes: list[Node], now: float) -> list[str]:
        """Says once that the run stands, as all its nodes reject the rest of it or are paused, with each reason."""
        told = why_it_stands(status, nodes)
        if not told or status.chunks_settled != self._settled:
            self._settled, self._stands_since = status.chunks_settled, now
        elif now - self._stands_since > LONELY_AFTER_S and told != self._told:
            self._told = told
            return [told, *(f"{logs.plain(node)} {logs.plain(why)}" for node, why in sorted(status.rejections.items()))]
        return []


class Crew:
    """The nodes that serve a requirement, and what has changed since the last look."""

    def __init__(self) -> None:
        self._there: set[str] | None = None
        self._lost: set[str] = set()

    @property
    def size(self) -> int:
        return len(self._there or ())

    def look(self, nodes: Iterable[Node], requirement: str) -> list[str]:
        """Look again; gives a sentence for each that joined, left or was lost. The first look finds no news."""
        rows = {node.name: node for node in nodes}
        there = {
            node.name for node in rows.values() if node.state in ("online", "leaving") and requirement in node.jobs
        }
        news = []
        if self._there is not None:
            for name in sorted(there - self._there):
                news.append(f"{logs.plain(name)} {'is back' if name in self._lost else 'has joined'}")
                self._lost.discard(name)
            for name in sorted(self._there - there):
                row = rows.get(name)
                if row is not None and (row.state in ("online", "leaving") or row.phase != "here"):
                    news.append(f"{logs.plain(name)} has left")
                else:
                    self._lost.add(name)
                    news.append(f"{logs.plain(name)} does not answer any more; others do its chunks")
        self._there = there
        return news


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
        print(logs.plain(f"{status.run}: {line}"), file=sys.stderr, flush=True)

    def tell(self, status: Status, line: str) -> None:
        """See ``View.tell``."""
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
            TextColumn("{task.fields[run]}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.description}", markup=False),
        )
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task: Any = None

    def show(self, status: Status, line: str) -> None:
        """See ``View.show``."""
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task("", run=logs.plain(status.run))
        done, total = status.items_settled, status.items_total
        self._bar.update(self._task, completed=done, total=total, description=logs.plain(line))

    def tell(self, status: Status, line: str) -> None:
        """See ``View.tell``."""
        self._bar.console.print(f"{status.run}: {line}", markup=False, highlight=False)

    def close(self) -> None:
        """See ``View.close``."""
        self._bar.stop()


def _line(status: Status, nodes: int) -> str:
    words = [f"{'paused, ' if status.paused else ''}{texts.items(status)}"]
    if status.items_settled:
        rate = status.items_settled / max(status.seconds, 0.001)
        if status.rounds is None:
            words.append(f"{rate:.1f}/s")
        if status.items_total:
            left = max(0, status.items_total - status.items_settled) / rate
            words.append(f"{texts.duration(left)} left")
    words.append(texts.count(nodes, "node") if nodes else "no node")
    return ", ".join(words)
