"""Accuracy over epochs for three ways to cut the rows into shards, with rounds of one step, of some, and of many."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster.simulation.papers import Asked, Finding, inputs, trainings
from cluster.simulation.papers.trainings import Curve, Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("slice", "sample", "sorted")
MEANING = {
    "slice": "rows scrambled, then cut into slices",
    "sample": "each shard draws its rows from all, with replacement",
    "sorted": "rows sorted by their class, then cut: each shard has a few classes alone",
}
NET = "mlp:64"
SHARDS, STEPS, QUICK_STEPS = 4, 300, 100
PER_ROUND = (1, 10, 50)
"""Steps a node makes between two rounds."""


class Line(NamedTuple):
    """A curve and its epochs."""

    curve: Curve
    steps: int
    kind: str
    epochs: Sequence[float]
    accuracy: Sequence[float]


def find(asked: Asked) -> Finding:
    """Train with each kind of shards.

    Raises:
        errors.ClusterError: The input cannot be used, or this machine cannot train.
    """
    trainings.require()
    kinds, total = tuple(asked.values) or KINDS, QUICK_STEPS if asked.quick else STEPS
    pairs = [(steps, kind) for steps in PER_ROUND for kind in kinds]
    runs = [
        Training(f"{kind}, {_rounds_of(steps)}", _options(asked, steps, kind, total), seed, kind == "sorted")
        for steps, kind in pairs
        for seed in range(asked.seeds)
    ]
    with tempfile.TemporaryDirectory() as folder:
        source, named = inputs.digits(asked.source, Path(folder))
        found = trainings.curves(trainings.run_all(runs, source, asked.tell))
    lines = [_line(curve, steps, kind) for curve, (steps, kind) in zip(found, pairs, strict=True)]
    worthless = {line.curve.label: line.curve.why_worthless() for line in lines}
    good = [line for line in lines if not worthless[line.curve.label]]
    return Finding(
        name="partitions",
        title="How the rows are cut into shards",
        claims=[
            "Shards should be alike: scramble the rows and slice them, or sample at random. The paper compares these"
            " two in words, without numbers; sorted rows are the warning example.",
        ],
        found=_found(lines),
        differs=_differs(lines),
        warnings=[why for why in worthless.values() if why],
        table=[
            {
                "steps a round": line.steps,
                "shards": line.kind,
                "accuracy at the end": f"{line.curve.end():.4f} ± {line.curve.error():.4f}",
            }
            for line in lines
        ],
        rows=[
            {"steps": line.steps, "partition": line.kind, "round": number, "epoch": epoch, "accuracy": accuracy}
            for line in lines
            for number, (epoch, accuracy) in enumerate(zip(line.epochs, line.accuracy, strict=True))
        ],
        draw=lambda figure: _draw(figure, good, kinds),
        setting={
            "input": named, "net": asked.net or NET, "seeds": f"0 to {asked.seeds - 1}, curves are means",
            "training": f"train, {SHARDS} nodes, {total} steps of 32 rows on each; one step a round is --mode sync",
            **{kind: MEANING[kind] for kind in kinds},
            "accuracy": f"of {trainings.VALID:.0%} of the rows, held out before the others are cut",
        },
    )  # fmt: skip


def _rounds_of(steps: int) -> str:
    return f"rounds of {steps} step{'' if steps == 1 else 's'}"


def _options(asked: Asked, steps: int, kind: str, total: int) -> Mapping[str, Any]:
    shared = {"net": asked.net or NET, "target": asked.target, "shards": SHARDS, "rounds": max(1, total // steps)}
    shared["partition"] = "slice" if kind == "sorted" else kind
    return {**shared, "mode": "sync", "lr": 0.002} if steps == 1 else {**shared, "steps": steps}


def _line(curve: Curve, steps: int, kind: str) -> Line:
    accuracy = curve.values("accuracy")
    return Line(curve, steps, kind, trainings.epochs(curve.runs[0])[: len(accuracy)], accuracy)


def _ends(lines: Sequence[Line]) -> dict[tuple[int, str], tuple[float, float]]:
    return {(line.steps, line.kind): (line.curve.end(), line.curve.error()) for line in lines}


def _found(lines: Sequence[Line]) -> list[str]:
    ends, told = _ends(lines), []
    for steps in PER_ROUND:
        each = [f"{kind} {ends[at, kind][0]:.3f}" for at, kind in ends if at == steps]
        told.append(f"With {_rounds_of(steps)} the nets ended at: {', '.join(each)}.")
    return told


def _differs(lines: Sequence[Line]) -> list[str]:
    ends, told = _ends(lines), []
    alike = [
        abs(ends[steps, "slice"][0] - ends[steps, "sample"][0])
        <= 3 * max(ends[steps, "slice"][1], ends[steps, "sample"][1])
        for steps in PER_ROUND
        if (steps, "slice") in ends and (steps, "sample") in ends
    ]
    if alike:
        told.append(
            "Slices of scrambled rows and random samples are "
            + (
                "as good as each other here, within the noise."
                if all(alike)
                else "not equally good here: see the table."
            )
        )
    loss = {
        steps: ends[steps, "slice"][0] - ends[steps, "sorted"][0]
        for steps in PER_ROUND
        if (steps, "slice") in ends and (steps, "sorted") in ends
    }
    if loss:
        each = ", ".join(f"{100 * lost:.1f} points with {_rounds_of(steps)}" for steps, lost in loss.items())
        told.append(f"Sorted shards cost {each}: the more steps between two rounds, the farther nodes part.")
    return [*told, "`train` always scrambles, so sorted shards cannot happen by themselves; this command makes them."]


def _draw(figure: Figure, good: Sequence[Line], kinds: Sequence[str]) -> None:
    [panels] = figure.subplots(1, len(PER_ROUND), sharex=True, sharey=True, squeeze=False)
    for axes, steps in zip(panels, PER_ROUND, strict=True):
        axes.set(title=_rounds_of(steps), xlabel="epochs", ylim=(0, 1))
        for line in good:
            if line.steps == steps:
                color = f"C{list(kinds).index(line.kind)}"
                axes.plot(line.epochs, line.accuracy, color=color, label=line.kind, linewidth=1)
        if axes.lines:
            axes.legend(loc="lower right")
    panels[0].set(ylabel="accuracy, held-out rows")
