"""Accuracy and bytes by the share of rounds in which the changes are quantized."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.training import accuracy, rows
from tests.benchmarks.training.trained import Trained, grounds

SHARES = (0, 25, 50, 75, 100)
BITS, BLOCK, SCALE_BYTES, BIAS_BYTES = 4, 256, 4, 2
OFF = 0.02


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """A case for each share, all against none."""
    if problem := rows.missing():
        yield Case(name="training-quantized", skipped=problem)
        return
    seeds = range(1 if options.small else min(options.repeat, accuracy.SEEDS))
    shares = SHARES[::4] if options.small else SHARES
    found: dict[int, list[Trained]] = {share: [] for share in shares}
    with grounds(folder / "cluster", {}, {}) as ground:
        for seed in seeds:
            given = accuracy.letters(seed, small=options.small)
            for share in shares:
                found[share].append(ground.train(rows.LETTER, given | {"quantize": share, "bits": BITS}))
                _check_bytes(found[share][-1], given, share)
    exact = [each.accuracy for each in found[0]]
    for share in shares:
        codes, ups = (
            [each.report["traffic"][name] / 1e6 for each in found[share]] for name in ("codes_bytes", "up_bytes")
        )
        formula = [up_bytes(given, share) / 1e6] * len(ups)
        yield Case(
            name=f"training-quantized, {share} %",
            rows=[
                *([] if share == 0 else [
                    Row(
                        work=f"letters, {share} % of the rounds at {BITS} bits: accuracy", against="0 %", unit="",
                        more_is_better=True, ours=[each.accuracy for each in found[share]], theirs=exact,
                        goal=Goal(">=", -1, "points"),
                    )
                ]),
                Row(
                    work=f"letters, {share} % of the rounds at {BITS} bits: bytes of the changes", unit="MB",
                    against="by formula", ours=codes, theirs=formula, goal=Goal("<=", 1 + OFF),
                ),
                Row(
                    work=f"letters, {share} % of the rounds at {BITS} bits: bytes up, compressed", unit="MB",
                    against="by formula", ours=ups, theirs=formula, goal=Goal("<=", 1),
                ),
            ],
        )  # fmt: skip


def up_bytes(given: Mapping[str, Any], share: float, widths: Sequence[int] = rows.LETTER_NET) -> int:
    """By formula: weights of 4 bits and a scale for each block of 256, biases of 16 bits; or float32 for all."""
    quantized = int(given["rounds"] * share / 100)
    pairs = list(itertools.pairwise(widths))
    small = sum(
        math.ceil(before * after * BITS / 8) + SCALE_BYTES * math.ceil(before * after / BLOCK) + BIAS_BYTES * after
        for before, after in pairs
    )
    exact = 4 * rows.parameters(tuple(widths))
    return int(given["shards"] * (quantized * small + (given["rounds"] - quantized) * exact))


def _check_bytes(found: Trained, given: Mapping[str, Any], share: float) -> None:
    told, formula = found.report["traffic"]["codes_bytes"], up_bytes(given, share)
    if not found.report["late"] and abs(told / formula - 1) > OFF:
        raise Failed(f"the changes took {told:,} bytes with {share} % quantized; the formula says {formula:,}")
