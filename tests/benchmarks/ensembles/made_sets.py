"""The tables of these benchmarks: the letters, and four that are made; and a forest of a whole table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregators.likeliest import likeliest
from cluster import catalog
from tests.kit.ensembles import Made
from tests.kit.programs import DATA

LETTER = DATA / "tables" / "letter.npz"
"""KEEL's table "letter": 20,000 rows of 16 numbers, 26 classes."""
SETS = ("letter", "five classes", "spheres", "shells", "noisy")
ROWS, SMALL_ROWS = 20_000, 600
"""A fifth of them are test rows."""


def missing() -> str:
    """Why nothing can be measured here, or ""."""
    if problem := catalog.get("ensemble").why_not_here():
        return problem
    return "" if LETTER.is_file() else f"there is no file {LETTER}"


def write(name: str, seed: int, folder: Path, *, small: bool = False) -> Path:
    """The file of a set."""
    if name == "letter" and not small:
        return LETTER
    rows = SMALL_ROWS if small else ROWS
    X, y = _made(name, rows, seed)
    path = folder / f"{name.replace(' ', '-')}-{seed}.npz"
    np.savez(path, X=X, y=y)
    return path


def _made(name: str, rows: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn import datasets

    if name == "spheres":
        X, y = datasets.make_hastie_10_2(rows, random_state=seed)
        return X, (y > 0).astype(int)
    if name == "shells":
        X, y = datasets.make_gaussian_quantiles(n_samples=rows, n_features=10, n_classes=4, random_state=seed)
        return X, y
    noisy = name == "noisy"
    X, y = datasets.make_classification(
        rows, 30 if noisy else 20, n_informative=5 if noisy else 10, n_redundant=10 if noisy else 2,
        n_classes=2 if noisy else 5, class_sep=0.6 if noisy else 1.0, flip_y=0.1 if noisy else 0.05, random_state=seed,
    )  # fmt: skip
    return X, y


def rows(made: Made, before: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """All rows of the shards that are for one purpose: "test_", say."""
    found = [made.arrays(shard) for shard in range(made.shards)]
    return np.concatenate([one[f"{before}X"] for one in found]), np.concatenate([one[f"{before}y"] for one in found])


def accuracy(scores: NDArray[Any], y: NDArray[Any]) -> float:
    """Of scores, (rows, classes): of classes that share a row the first counts, as in a report."""
    return float((likeliest(scores) == y).mean())


def forest(made: Made, trees: int, seed: int) -> float:
    """Accuracy of scikit-learn's forest of all training rows on the test rows."""
    from sklearn.ensemble import RandomForestClassifier

    shard = made.arrays(0)
    model = RandomForestClassifier(trees, random_state=seed, n_jobs=2).fit(shard["X"], shard["y"])
    X, y = rows(made, "test_")
    return float((model.predict(X) == y).mean())
