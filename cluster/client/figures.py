"""Get the figures of published experiments again: one call a figure, on this machine alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster import errors
from cluster.simulation.papers import (
    Asked,
    Finding,
    clients,
    page,
    partitions,
    quantization,
    server_lr,
    tell_nobody,
    times,
)

FIGURES: Mapping[str, Callable[[Asked], Finding]] = {
    "quantization": quantization.find,
    "times": times.find,
    "server-lr": server_lr.find,
    "partitions": partitions.find,
    "clients": clients.find,
}


def reproduce(
    figure: str, source: str | Path | None = None, *, output: str | Path, target: str | None = None, net: str = "",
    values: Sequence[Any] = (), modes: Sequence[str] = (), seeds: int | None = None, quick: bool = False,
    command: str = "", tell: Callable[[int, int], None] = tell_nobody,
) -> tuple[Finding, list[Path]]:  # fmt: skip
    """Make a figure, and write its picture (PNG), points (CSV) and page (Markdown).

    Args:
        figure: One of ``FIGURES``.
        source: The input; None: what the figure takes by default.
        output: The folder for the files; it is made if there is none.
        target: The column to learn.
        net: As in the option ``--net`` of train; "": the figure's own.
        values: What differs between the curves or bars; empty: the figure's own.
        modes: For "server-lr": of "sync" and "async".
        seeds: Repetitions; None: 3, with ``quick`` 1.
        quick: Do much less.
        command: What a person typed, for the page.
        tell: Is called with the number of steps that are done, and of all.

    Returns:
        What was found, and the files.

    Raises:
        errors.UsageError: The input, an option or the folder cannot be used.
        errors.JobUnavailable: A library is not installed; the message names it.
    """
    if figure not in FIGURES:
        raise errors.UsageError(f"no figure {figure!r}; there are: {', '.join(FIGURES)}")
    page.require()
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise errors.UsageError(f"-o {folder} is no folder")
    count = seeds or (1 if quick else 3)
    asked = Asked(None if source is None else Path(source), target, net, values, modes, count, quick, tell)
    finding = FIGURES[figure](asked)
    return finding, page.write(finding, folder, command or f"reproduce({figure!r})")
