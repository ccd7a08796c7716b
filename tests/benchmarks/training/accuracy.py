"""How good a net is that two nodes train in rounds, and with how few bytes, beside one process on as many samples."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.training import others, rows
from tests.benchmarks.training.trained import Grounds, Trained, grounds

SHARDS, STEPS, ROUNDS, BATCH_SIZE = 8, 25, 80, 32
SEEDS = 3
RATES = (0.001, 0.002)
"""Learning rates of one process: PyTorch's default and that of ``train``. The better one stands beside ours."""
FP32_BYTES = 8
"""A float32 up and one down for each parameter and step: what synchronous training moves."""
DIGITS_SHARDS, DIGITS_ROUNDS = 8, 40
"""The defaults."""


def letters(seed: int, *, small: bool = False) -> dict[str, Any]:
    """The options of ``submit`` for the letters."""
    return {
        "model": f"letters-{seed}", "net": "mlp:128,128", "shards": SHARDS, "steps": STEPS, "seed": seed,
        "rounds": 6 if small else ROUNDS, "patience": 0,
    }  # fmt: skip


def settings(split: Path, options: Mapping[str, Any], hidden: list[int]) -> dict[str, Any]:
    """What a peer is told, to learn from as many samples."""
    samples = options["shards"] * options["steps"] * options["rounds"] * BATCH_SIZE
    return {
        "rows": str(split), "hidden": hidden, "samples": samples, "rounds": options["rounds"], "seed": options["seed"],
    }  # fmt: skip


def single(split: Path, options: Mapping[str, Any], hidden: list[int]) -> dict[float, float]:
    """The accuracy of one process at each of ``RATES``."""
    told = settings(split, options, hidden)
    return {rate: others.SINGLE.go(told | {"rate": rate}).last.accuracy for rate in RATES}


def at_better_rate(found: Sequence[Mapping[float, float]]) -> tuple[float, list[float]]:
    """The rate with the better mean over the seeds, and the accuracy of each seed at it."""
    rate = max(RATES, key=lambda each: statistics.fmean(accuracies[each] for accuracies in found))
    return rate, [accuracies[rate] for accuracies in found]


def at_each_rate(found: Sequence[Mapping[float, float]]) -> str:
    """All of it in words."""
    return "; ".join(f"rate {rate:g}: " + ", ".join(f"{each[rate]:.4f}" for each in found) for rate in RATES)


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Letters with an MLP, digits with a CNN; three seeds of each unless told otherwise."""
    if problem := rows.missing():
        yield Case(name="training", skipped=problem)
        return
    seeds = range(1 if options.small else min(options.repeat, SEEDS))
    with grounds(folder / "cluster", {}, {}) as ground:
        yield _letters(ground, folder, seeds, {}, small=options.small)
        yield _letters(ground, folder, seeds, {"valid": 0.0}, small=options.small)
        digits = rows.digits(folder)
        if digits is None:
            yield Case(name="training, digits", skipped="`make bench-peers` installs scikit-learn, which has them")
        else:
            yield _digits(ground, digits, folder, seeds, small=options.small)


def _letters(ground: Grounds, folder: Path, seeds: range, more: Mapping[str, Any], *, small: bool) -> Case:
    """A tenth of the rows choose the best round; without them, the last one is taken, and all of these are learnt."""
    ours, singles, moved, synchronous = [], [], [], []
    for seed in seeds:
        given = {**letters(seed, small=small), **more}
        found = ground.train(rows.LETTER, given)
        check(found, given)
        ours.append(found)
        split = rows.as_split(rows.LETTER, folder, given)
        singles.append(single(split, given, [128, 128]))
        moved.append(found.traffic_bytes / 1e6)
        synchronous.append(synchronous_bytes(given, rows.parameters()) / 1e6)
    rate, theirs = at_better_rate(singles)
    flags = "".join(f", --{name} {value:g}" for name, value in more.items())
    work = f"letters, mlp:128,128, {given['shards']} shards x {given['rounds']} rounds x {given['steps']} steps{flags}"
    return Case(
        name=f"training, letters{flags}",
        notes={
            "Redis received and sent, MB": f"{ours[-1].redis_bytes / 1e6:.1f}",
            "wall, s": f"{ours[-1].wall_s:.1f}",
            "late": sum(found.report["late"] for found in ours),
            "one process": at_each_rate(singles),
        },
        rows=[
            Row(
                work=f"{work}: accuracy", against=f"one process, as many samples, rate {rate:g}", unit="",
                more_is_better=True, ours=[found.accuracy for found in ours], theirs=theirs,
                goal=Goal(">=", -0.5, "points"),
            ),
            Row(
                work=f"{work}: traffic", against="synchronous float32, by formula", unit="MB",
                ours=moved, theirs=synchronous, goal=Goal("<=", 0.01),
            ),
        ],
    )  # fmt: skip


def _digits(ground: Grounds, source: Path, folder: Path, seeds: range, *, small: bool) -> Case:
    ours, singles = [], []
    for seed in seeds:
        given = letters(seed, small=small) | {
            "model": f"digits-{seed}", "net": "cnn:16,32", "shards": DIGITS_SHARDS,
            "rounds": 6 if small else DIGITS_ROUNDS,
        }  # fmt: skip
        ours.append(ground.train(source, given))
        split = rows.as_split(source, folder, given)
        singles.append(single(split, given, [16, 32]))
    rate, theirs = at_better_rate(singles)
    return Case(
        name="training, digits",
        notes={"one process": at_each_rate(singles)},
        rows=[
            Row(
                work=f"digits, cnn:16,32, {given['shards']} shards x {given['rounds']} rounds: accuracy",
                against=f"one process, as many samples, rate {rate:g}", unit="", more_is_better=True,
                ours=[found.accuracy for found in ours], theirs=theirs, goal=Goal(">=", 0.975, "itself"),
            )
        ],
    )  # fmt: skip


def synchronous_bytes(given: Mapping[str, Any], parameters: int) -> int:
    """What synchronous training in float32 moves for as many steps of all shards."""
    return int(FP32_BYTES * parameters * given["shards"] * given["steps"] * given["rounds"])


def check(found: Trained, given: Mapping[str, Any]) -> None:
    """See that what is reported fits what was asked for and what Redis moved.

    Raises:
        Failed: It does not.
    """
    share = found.traffic_bytes / synchronous_bytes(given, rows.parameters())
    if abs(found.report["traffic"]["share_of_sync_fp32"] / share - 1) > 0.02:
        raise Failed(f"the report tells a share of {found.report['traffic']['share_of_sync_fp32']}; it is {share:.5f}")
    if found.traffic_bytes > found.redis_bytes:
        raise Failed(f"the report tells {found.traffic_bytes} bytes; Redis moved {found.redis_bytes}")
    steps = sum(row["steps"] for row in found.rounds)
    if not found.report["late"] and steps != given["shards"] * given["steps"] * given["rounds"]:
        raise Failed(f"{steps} steps were made")
