"""The curve of a run in rounds: a row for each round that is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.ledger.rounds import Rounds


def read(rounds: Rounds, run: str, after: str = "") -> list[tuple[str, dict[str, Any]]]:
    """The rows of a run's curve after the one of that id, each with its id and with ``lost``.

    A part that was late when its round was closed may come later, so ``lost`` can become smaller.
    """
    lost = rounds.late(run)
    return [(entry, _with_lost(row, lost)) for entry, row in rounds.curve(run, after)]


def _with_lost(row: dict[str, Any], lost: set[int]) -> dict[str, Any]:
    late = row.pop("late_chunks")
    return {**row, "lost": len(lost.intersection(late))}
