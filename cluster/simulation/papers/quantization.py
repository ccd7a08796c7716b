"""Accuracy over epochs and over virtual seconds, for several shares of rounds whose gradients are quantized."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cluster.simulation.papers import Asked, Finding, Row, inputs, trainings
from cluster.simulation.papers.trainings import Curve, Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PERCENT = (0.0, 25.0, 50.0, 75.0, 100.0)
NET = "cnn:16,32"
SHARDS, ROUNDS, QUICK_ROUNDS = 4, 200, 60
NEAR = 0.03
"""Below the worst end: the accuracy whose epoch and second are compared."""


class Link(NamedTuple):
    """Of a node; each has its own, and the server's is no limit."""

    bytes_s: float = 10e6 / 8
    latency_s: float = 0.005
    step_s: float = 0.010
    """Time of a step of training on a node."""

    def round_s(self, row: Row, shards: int) -> float:
        """Seconds of a round in which all shards do the same at once: the bytes are those that really crossed."""
        moved_s: float = (row["up_bytes"] + row["down_bytes"]) / shards / self.bytes_s
        work_s: float = self.step_s * row.get("steps", 0) / shards
        return moved_s + 2 * self.latency_s + work_s


class Line(NamedTuple):
    """A curve with both of its axes."""

    curve: Curve
    epochs: Sequence[float]
    seconds: Sequence[float]
    accuracy: Sequence[float]


def find(asked: Asked) -> Finding:
    """Train with each share of quantized rounds.

    Raises:
        errors.ClusterError: The input cannot be used, or this machine cannot train.
    """
    trainings.require()
    rounds, link = QUICK_ROUNDS if asked.quick else ROUNDS, Link()
    percents = tuple(asked.values) or PERCENT
    options = {"net": asked.net or NET, "mode": "sync", "rounds": rounds, "shards": SHARDS, "target": asked.target}
    runs = [
        Training(f"{percent:g} %", {**options, "quantize": percent}, seed)
        for percent in percents
        for seed in range(asked.seeds)
    ]
    with tempfile.TemporaryDirectory() as folder:
        source, named = inputs.digits(asked.source, Path(folder))
        found = trainings.curves(trainings.run_all(runs, source, asked.tell))
    lines = [_line(curve, link) for curve in found]
    warnings = [why for curve in found if (why := curve.why_worthless())]
    good = [line for line in lines if not line.curve.why_worthless()]
    table = _table(lines, good)
    return Finding(
        name="quantization",
        title="Quantized gradients: accuracy over epochs and over seconds",
        claims=[
            "Quantizing the gradients of a larger share of the rounds (0, 25, 50, 75, 100 %) speeds up early"
            " convergence, and the accuracy at the end is the same. The paper shows curves without numbers.",
        ],
        found=_found(table, good),
        differs=_differs(table, good),
        warnings=warnings,
        table=table,
        rows=[
            {"quantized": line.curve.label, "round": number, "epoch": epoch, "seconds": second, "accuracy": value}
            for line in lines
            for number, (epoch, second, value) in enumerate(zip(line.epochs, line.seconds, line.accuracy, strict=True))
        ],
        draw=lambda figure: _draw(figure, good),
        setting={
            "input": named, "net": options["net"], "seeds": f"0 to {asked.seeds - 1}, curves are means",
            "training": f"train --mode sync, {SHARDS} nodes, {rounds} rounds of one step of 32 rows each; the server's"
            " optimizer is adam",
            "quantized rounds": "int4 in blocks of 256 values, stochastic, spread over the run; other rounds send"
            " float32. What nodes are sent has 8 bits in all runs",
            "accuracy": f"of {trainings.VALID:.0%} of the rows, held out",
            "virtual seconds": f"each node has a link of {link.bytes_s * 8 / 1e6:g} Mb/s with {link.latency_s * 1e3:g}"
            f" ms each way, a step takes {link.step_s * 1e3:g} ms, bytes are the real ones of each round, compressed",
        },
    )  # fmt: skip


def _line(curve: Curve, link: Link) -> Line:
    accuracy = curve.values("accuracy")
    first = curve.runs[0]
    spent = [
        [link.round_s(row, SHARDS) for row in trained.rows[: len(accuracy) - 1]] for trained in curve.runs
    ]  # fmt: skip
    each = [sum(beside) / len(beside) for beside in zip(*spent, strict=True)]
    return Line(
        curve, trainings.epochs(first)[: len(accuracy)], [0.0, *itertools.accumulate(each)][: len(accuracy)], accuracy
    )


def _table(lines: Sequence[Line], good: Sequence[Line]) -> list[Row]:
    target = min((line.curve.end() for line in good), default=1.0) - NEAR
    return [
        {
            "quantized": line.curve.label,
            "accuracy at the end": f"{line.curve.end():.4f} ± {line.curve.error():.4f}",
            f"epochs to {target:.3f}": trainings.first_at(line.epochs, line.accuracy, target),
            f"virtual seconds to {target:.3f}": trainings.first_at(line.seconds, line.accuracy, target),
            "KB up a node and round": sum(row["up_bytes"] for row in line.curve.runs[0].rows[:-1])
            / SHARDS / max(1, len(line.accuracy) - 1) / 1000,
        }
        for line in lines
    ]  # fmt: skip


def _reached(table: Sequence[Row], place: int) -> dict[str, float]:
    name = list(table[0])[place]
    return {row["quantized"]: row[name] for row in table if row[name] is not None}


def _found(table: Sequence[Row], good: Sequence[Line]) -> list[str]:
    if len(good) < 2:
        return ["too few curves learnt anything to compare them"]
    ends = [line.curve.end() for line in good]
    error = max(line.curve.error() for line in good)
    by_epoch, by_second = _reached(table, 2), _reached(table, 3)
    first, last = good[0].curve.label, good[-1].curve.label
    spread = max(ends) - min(ends)
    told = [
        f"The accuracies at the end lie within {100 * spread:.1f} points; one standard error is {100 * error:.1f}"
        f" points, so {'no curve is better than another' if spread <= 3 * error else 'the curves do differ'}."
    ]
    if first in by_epoch and last in by_epoch:
        told.append(
            f"By epochs, {first} quantized rounds reach the compared accuracy after {by_epoch[first]:.1f}, {last} after"
            f" {by_epoch[last]:.1f}."
        )
        told.append(
            f"By virtual seconds it is {by_second[first]:.1f} and {by_second[last]:.1f}:"
            f" {by_second[first] / by_second[last]:.2f} times as fast, for the bytes alone."
        )
    return told


def _differs(table: Sequence[Row], good: Sequence[Line]) -> list[str]:
    by_epoch = _reached(table, 2)
    labels = [line.curve.label for line in good if line.curve.label in by_epoch]
    if len(labels) < 2:
        return []
    first, last = by_epoch[labels[0]], by_epoch[labels[-1]]
    faster = first / last if last else 1.0
    told = (
        "By epochs quantization made nothing faster here: what helps is that the same epochs take fewer seconds on a"
        " slow link."
        if faster < 1.15
        else f"By epochs {labels[-1]} was {faster:.2f} times as fast here; look at other seeds before believing it."
    )
    return [
        told,
        "The link is chosen slow enough to matter. On a fast one the two axes look alike.",
        "Net, data and number of nodes are small ones of our own: the paper names other data and no numbers to compare"
        " with.",
    ]


def _draw(figure: Figure, good: Sequence[Line]) -> None:
    by_epoch, by_second = figure.subplots(1, 2, sharey=True)
    for line in good:
        by_epoch.plot(line.epochs, line.accuracy, label=line.curve.label, linewidth=1)
        by_second.plot(line.seconds, line.accuracy, label=line.curve.label, linewidth=1)
    by_epoch.set(xlabel="epochs", ylabel="accuracy, held-out rows")
    by_second.set(xlabel="virtual seconds at 10 Mb/s")
    if good:
        by_second.legend(title="quantized rounds", loc="lower right")
