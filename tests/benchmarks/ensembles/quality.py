"""How good an ensemble is beside a forest of the whole table, and whether ``--combine auto`` chooses well."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cluster
from tests.benchmarks import Case, Options
from tests.benchmarks.ensembles import made_sets
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.training.trained import Grounds, grounds
from tests.kit.ensembles import Made

PARTS, TREES, SEEDS = 8, 100, 3
SMALL_TREES = 5
MIXED = "rf:trees=30 hgb:trees=20"
"""Sub-models of different strength: there combiners differ."""
DIFFER = 1e-6
WAYS: Mapping[str, Mapping[str, Any]] = {
    "all": {"by": "all"},
    "sample": {"by": "sample", "share": 0.5},
    "auto": {"by": "rows"},
    "average": {"by": "rows", "combine": "average"},
}


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Letters by ``--by``, then the choice on five sets; three seeds unless told otherwise."""
    if problem := made_sets.missing():
        yield Case(name="ensembles", skipped=problem)
        return
    seeds = range(1 if options.small else min(options.repeat, SEEDS))
    with grounds(folder / "cluster", {}, {}) as ground:
        yield _letters(ground, folder, seeds, small=options.small)
    yield _choice(folder, seeds, small=options.small)


def _letters(ground: Grounds, folder: Path, seeds: range, *, small: bool) -> Case:
    trees, parts = (SMALL_TREES, 2) if small else (TREES, PARTS)
    ours: dict[str, list[float]] = {}
    whole: dict[int, list[float]] = {trees: [], parts * trees: []}
    for seed in seeds:
        for name, more in WAYS.items():
            given = {
                "model": f"letters-{name}-{seed}",
                "kind": f"rf:trees={trees}",
                "parts": parts,
                "seed": seed,
                **more,
            }
            ours.setdefault(name, []).append(_accuracy(ground, given, folder))
        for number, found in whole.items():
            found.append(
                made_sets.forest(Made(made_sets.LETTER, seed=seed, by="all", kind="rf", parts=1), number, seed)
            )

    def row(what: str, name: str, against: str, theirs: list[float], points: float) -> Row:
        return Row(
            work=f"letters, rf:trees={trees}, {parts} parts, {what}: accuracy", against=against, unit="",
            more_is_better=True, ours=ours[name], theirs=theirs, goal=Goal(">=", points, "points"),
        )  # fmt: skip

    return Case(
        name="ensembles, letters",
        rows=[
            row("--by all", "all", f"scikit-learn, one forest of {parts * trees} trees", whole[parts * trees], -0.3),
            row("--by sample --share .5", "sample", f"scikit-learn, one forest of {trees} trees", whole[trees], -1.0),
            row("--by rows --combine auto", "auto", "--by rows --combine average", ours["average"], 1.0),
        ],
    )


def _accuracy(ground: Grounds, given: Mapping[str, Any], folder: Path) -> float:
    """Of a run on the cluster, once the bundle was seen to answer so.

    Raises:
        Failed: The bundle gives another accuracy than the report.
    """
    from aggregators.ensemble import predictor

    report = ground.train(made_sets.LETTER, given, "ensemble").report
    place = folder / str(given["model"])
    with cluster.connect(ground.url) as client:
        client.models.pull(report["model"], place)
    made = Made(made_sets.LETTER, **{name: value for name, value in given.items() if name != "model"})
    X, y = made_sets.rows(made, "test_")
    found = made_sets.accuracy(predictor.load(place).scores(X), y)
    if abs(found - report["test"]["accuracy"]) > DIFFER:
        raise Failed(f"{report['model']} is right in {found:.4%} of the test rows, and the report tells otherwise")
    return found


def _choice(folder: Path, seeds: range, *, small: bool) -> Case:
    """On each set, the mean of the seeds, of what is chosen and of the combiner that is the best on the test rows."""
    rows = []
    for name in made_sets.SETS:
        chosen, best = [], []
        for seed in seeds:
            source = made_sets.write(name, seed, folder, small=small)
            kind = "rf:trees=5 tree" if small else MIXED
            found = Made(source, kind=kind, by="rows", parts=2 if small else 4, seed=seed).on_test_rows()
            chosen.append(found.pop("auto"))
            best.append(max(found.values()))
        rows.append(
            Row(
                work=f"{name}, {kind}, --by rows --combine auto: accuracy, mean of {len(seeds)}",
                against="the best combiner on the test rows", unit="", more_is_better=True,
                ours=[statistics.fmean(chosen)], theirs=[statistics.fmean(best)], goal=Goal(">=", -0.3, "points"),
            )
        )  # fmt: skip
    return Case(name="ensembles, choice", rows=rows)
