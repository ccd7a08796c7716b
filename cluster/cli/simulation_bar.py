"""How far a simulation is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Self

from cluster import logs
from cluster.texts.curve_texts import best_of


class Bar:
    """A line on stderr that moves, where there is a terminal. Use it in a ``with``.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._live: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.status import Status

            self._live = Status("reading the input", console=Console(stderr=True))

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, policy: str, row: Mapping[str, Any]) -> None:
        """Tell of a round."""
        if self._live is None:
            return
        scored = best_of([row])
        score = f", {scored[0]} {row[scored[0]]:.4f}" if scored else ""
        self._live.update(logs.plain(f"{policy}: round {row['round']}, {row['at']:.1f} virtual s{score}"))
