"""What came of simulated runs: as a table, as CSV, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.simulation import Simulated

SCORES = ("accuracy", "rmse")
MARKS = (0.25, 0.5, 1.0)
"""Shares of the time at which scores are compared: of the longest run."""


def score_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Name of the score that rows have; "" where they have none."""
    return next((name for name in SCORES if any(name in row for row in rows)), "")


def points(rows: Sequence[Mapping[str, Any]], score: str) -> list[tuple[float, float]]:
    """Virtual seconds and the score of the weights that there were then, round by round.

    A row tells the score of the weights that its round began with.
    """
    found = [(row["at"] - row["wall_s"], row[score]) for row in rows if score in row]
    return sorted(found)


def score_at(found: Sequence[tuple[float, float]], at_s: float) -> float | None:
    """The last score until a moment."""
    scores = [score for moment, score in found if moment <= at_s + 1e-9]
    return scores[-1] if scores else None


def summary(runs: Sequence[Simulated]) -> list[dict[str, Any]]:
    """A line for each run, as it is compared with the others."""
    longest = max((run.seconds for run in runs), default=0.0)
    return [_line(run, longest) for run in runs]


def _line(run: Simulated, longest: float) -> dict[str, Any]:
    trained = [row for row in run.rows if row["kind"] == "train"]
    score = score_of(run.rows)
    found = points(run.rows, score) if score else []
    best = (max if score == "accuracy" else min)((value for _, value in found), default=None)
    test = run.metrics.get("test", {})
    return {
        "policy": run.policy,
        "topology": run.topology,
        "rounds": len(trained),
        "seconds": round(run.seconds, 3),
        "round_s": round(sum(row["wall_s"] for row in trained) / max(1, len(trained)), 4),
        "score": score,
        "marks": [score_at(found, mark * longest) for mark in MARKS],
        "best": best,
        "test": test.get(score),
        "parts": sum(row["parts"] for row in run.rows),
        "late": sum(row["late"] for row in run.rows),
        "lost": sum(row.get("lost", 0) for row in run.rows),
        "up_bytes": sum(row["up_bytes"] for row in run.rows),
        "down_bytes": sum(row["down_bytes"] for row in run.rows),
        "sha256": run.sha256,
    }


def csv_rows(runs: Sequence[Simulated]) -> list[dict[str, Any]]:
    """All rows of all curves, each with its policy and topology."""
    return [{"policy": run.policy, "topology": run.topology, **row} for run in runs for row in run.rows]


def as_json(runs: Sequence[Simulated]) -> list[dict[str, Any]]:
    """All that is known of each run."""
    lines = summary(runs)
    return [
        {
            **line,
            "marks_s": [round(mark * max(each.seconds for each in runs), 3) for mark in MARKS],
            "metrics": run.metrics,
            "options": run.options,
            "links": [used._asdict() for used in run.links],
            "rows": list(run.rows),
        }
        for line, run in zip(lines, runs, strict=True)
    ]
