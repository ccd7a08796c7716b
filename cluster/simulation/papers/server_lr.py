"""Loss and accuracy over rounds for several learning rates of the server, with fresh gradients and with stale ones."""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster.simulation.papers import Asked, Finding, Row, inputs, trainings
from cluster.simulation.papers.trainings import Curve, Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = (0.1, 0.5, 1.0, 2.0)
MODES = ("sync", "async")
NET = "mlp:64"
SHARDS, ROUNDS, QUICK_ROUNDS = 8, 60, 30
WORKER_LR = 0.3
UNDAMPED = "async, not damped"
NEAR = 0.05
SHAKES = 2.0
"""Times as much as with fresh gradients: from here on a curve is said to shake."""


class Line(NamedTuple):
    """A curve, a value a round."""

    curve: Curve
    mode: str
    rate: float
    accuracy: Sequence[float]
    loss: Sequence[float]

    @property
    def end(self) -> float:
        """Accuracy, the mean of the last tenth of the rounds; NaN where the training diverged."""
        if not self.accuracy:
            return math.nan
        return statistics.fmean(self.accuracy[-max(1, len(self.accuracy) // 10) :])

    @property
    def shake(self) -> float:
        """How far the accuracy falls in a round, the mean of all rounds, in points; rounds without a fall count 0."""
        falls = [max(0.0, before - after) for before, after in itertools.pairwise(self.accuracy)]
        return 100 * statistics.fmean(falls) if falls else math.nan


def find(asked: Asked) -> Finding:
    """Train with each rate of the server.

    Raises:
        errors.ClusterError: The input cannot be used, or this machine cannot train.
    """
    trainings.require()
    rates, rounds = tuple(asked.values) or RATES, QUICK_ROUNDS if asked.quick else ROUNDS
    modes = tuple(asked.modes) or MODES
    shown = (*modes, UNDAMPED) if "async" in modes else modes
    runs = [
        Training(f"{mode}, {rate:g}", _options(asked, mode, rate, rounds), seed)
        for mode in shown
        for rate in rates
        for seed in range(asked.seeds)
    ]
    with tempfile.TemporaryDirectory() as folder:
        source, named = inputs.digits(asked.source, Path(folder))
        found = trainings.curves(trainings.run_all(runs, source, asked.tell))
    pairs = [(mode, rate) for mode in shown for rate in rates]
    lines = [_line(curve, mode, rate) for curve, (mode, rate) in zip(found, pairs, strict=True)]
    worthless = {line.curve.label: line.curve.why_worthless(SHARDS) for line in lines}
    good = [line for line in lines if not worthless[line.curve.label]]
    table = _table(lines, good)
    return Finding(
        name="server-lr",
        title="The learning rate of the server, with fresh and with stale gradients",
        claims=[
            "A small rate of the server wastes updates: the accuracy rises slowly.",
            "A rate of 1 shakes where gradients are stale. The paper shows curves without numbers.",
        ],
        found=_found(good, table),
        differs=_differs(good, rates),
        warnings=[why for why in worthless.values() if why],
        table=table,
        rows=[
            {"mode": line.mode, "server_lr": line.rate, "round": number, "loss": loss, "accuracy": accuracy}
            for line in lines
            for number, (loss, accuracy) in enumerate(zip(line.loss, line.accuracy, strict=True))
        ],
        draw=lambda figure: _draw(figure, good, shown, rates),
        setting={
            "input": named, "net": asked.net or NET, "seeds": f"0 to {asked.seeds - 1}, curves are means",
            "training": f"{SHARDS} nodes; a node's step is plain SGD with a rate of {WORKER_LR:g}, the server's too,"
            " with the rate that is compared; rounds of one step",
            "sync": "train --mode sync: a round has a gradient of each node, all fresh",
            "async": f"train --mode async: nodes go on in turn, so each gradient is {SHARDS - 1} versions old; the"
            " server divides its rate by 1 + that age. A round is as many gradients as there are nodes",
            UNDAMPED: f"the same with the rate times {SHARDS}, which undoes this division: as the paper's server does",
            "rate of a node's step": "chosen so that stale gradients matter: with much less, nothing shakes",
            "accuracy": f"of {trainings.VALID:.0%} of the rows, held out",
        },
    )  # fmt: skip


def _options(asked: Asked, mode: str, rate: float, rounds: int) -> Mapping[str, Any]:
    shared = {
        "net": asked.net or NET, "target": asked.target, "shards": SHARDS, "rounds": rounds, "server": "sgd",
        "lr": WORKER_LR, "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "inner_state": "reset",
        "norm_check": False,
    }  # fmt: skip
    if mode == "sync":
        return {**shared, "mode": "sync", "server_lr": rate}
    apart = {**shared, "mode": "async", "steps": 1, "staleness": 2 * SHARDS}
    return {**apart, "server_lr": rate * SHARDS if mode == UNDAMPED else rate}


def _line(curve: Curve, mode: str, rate: float) -> Line:
    each = 1 if mode == "sync" else SHARDS
    rounds = len(curve.values("accuracy")) // each

    def by_round(name: str) -> list[float]:
        values = curve.values(name)
        groups = [values[at * each : (at + 1) * each] for at in range(rounds)]
        return [statistics.fmean(group) for group in groups]

    return Line(curve, mode, rate, by_round("accuracy"), by_round("loss"))


def _target(good: Sequence[Line]) -> float:
    return max((line.end for line in good), default=1.0) - NEAR


def _table(lines: Sequence[Line], good: Sequence[Line]) -> list[Row]:
    target = _target(good)
    return [
        {
            "mode": line.mode,
            "rate": line.rate,
            "accuracy at the end": line.end,
            f"rounds to {target:.3f}": trainings.first_at(range(len(line.accuracy)), line.accuracy, target),
            "falls in a round, points": line.shake,
        }
        for line in lines
    ]


def _found(good: Sequence[Line], table: Sequence[Row]) -> list[str]:
    told = []
    for mode in dict.fromkeys(line.mode for line in good):
        of_mode = [line for line in good if line.mode == mode]
        best = max(of_mode, key=lambda line: line.end)
        slow = min(of_mode, key=lambda line: line.rate)
        sentence = f"{mode}: the rate {best.rate:g} ended best, at {best.end:.3f}"
        if slow is not best:
            sentence += f"; {slow.rate:g} ended at {slow.end:.3f} after as many rounds"
        told.append(sentence + ".")
    ones = {line.mode: line for line in good if line.rate == 1}
    if "sync" in ones:
        for mode, line in ones.items():
            if mode != "sync":
                told.append(
                    f"At a rate of 1, the accuracy falls by {line.shake:.2f} points a round with {mode}, and by"
                    f" {ones['sync'].shake:.2f} with sync; rises between are not counted."
                )
    return told or ["no curve learnt anything"]


def _differs(good: Sequence[Line], rates: Sequence[float]) -> list[str]:
    told = []
    of_sync = {line.rate: line for line in good if line.mode == "sync"}
    if len(of_sync) > 1:
        slow, best = of_sync[min(of_sync)], max(of_sync.values(), key=lambda line: line.end)
        confirmed = slow.end < best.end - 0.01
        told.append(
            f"That a small rate wastes updates {'is so' if confirmed else 'did not show'} here: {slow.end:.3f} against"
            f" {best.end:.3f} with fresh gradients."
        )
    by = {(line.mode, line.rate): line for line in good}
    for mode in ("async", UNDAMPED):
        if (mode, 1.0) in by and ("sync", 1.0) in by:
            ratio = by[mode, 1.0].shake / max(by["sync", 1.0].shake, 1e-9)
            does = "does shake" if ratio >= SHAKES else "does not shake"
            told.append(f"A rate of 1 {does} with {mode}: it falls {ratio:.1f} times as far as with fresh gradients.")
        elif mode == UNDAMPED and 1.0 in rates and "async" in {line.mode for line in good}:
            told.append(f"A rate of 1 does more than shake with {mode}: it learnt nothing, or diverged.")
    return [
        *told,
        "`cluster` never applies a stale gradient at the full rate: it divides by 1 + its age, which is why the middle"
        " picture is calm. The right one is what it would be without.",
        "An accuracy of async is put together from slices of the held-out rows that met weights some steps apart, so it"
        " is a little smoother than that of sync.",
    ]


def _draw(figure: Figure, good: Sequence[Line], modes: Sequence[str], rates: Sequence[float]) -> None:
    above, below = figure.subplots(2, len(modes), sharex=True, sharey="row", squeeze=False)
    worst = max((line.loss[0] for line in good), default=1.0)
    for column, mode in enumerate(modes):
        above[column].set(title=mode)
        for line in good:
            if line.mode == mode:
                color = f"C{list(rates).index(line.rate)}"
                loss = [value if math.isfinite(value) else math.nan for value in line.loss]
                above[column].plot(loss, color=color, label=f"{line.rate:g}", linewidth=1)
                below[column].plot(line.accuracy, color=color, label=f"{line.rate:g}", linewidth=1)
        below[column].set(xlabel="round", ylim=(0, 1))
        above[column].set(ylim=(0, 1.5 * worst))
        if above[column].lines:
            below[column].legend(title="rate of the server", fontsize="small", loc="lower right")
    above[0].set(ylabel="loss")
    below[0].set(ylabel="accuracy, held-out rows")
