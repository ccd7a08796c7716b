"""The same rows fitted by others: Dask-ML's voting of scikit-learn's forests, Spark MLlib's forest."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.contest import Peer
from tests.benchmarks.ensembles import made_sets
from tests.benchmarks.measure import Failed
from tests.kit.ensembles import Made

SPARK_TREES = 20
MOST_POINTS = 5.0
"""How far the accuracy of a peer may be below that of our run."""


class Other(NamedTuple):
    """A peer and its work."""

    peer: Peer
    trees: int
    """That it fits in all."""


def all_of(rows: Path, parts: int, trees: int, against: Sequence[str] = ()) -> list[Other]:
    """Those whose names one of the patterns is found in; all without.

    Args:
        rows: What ``write`` made.
        parts: How many sub-models there are.
        trees: Of each.
        against: See ``Options``.
    """
    few = min(trees, SPARK_TREES)
    found = [
        Other(
            Peer(
                name="Dask-ML, BlockwiseVotingClassifier", script="ensembles_dask.py",
                arguments=[rows, str(parts), str(trees)], note="as many forests, of all rows each; a soft vote",
            ),
            parts * trees,
        ),
        Other(
            Peer(
                name="Spark MLlib, RandomForestClassifier", script="ensembles_spark.py",
                arguments=[rows, "1", str(few)], needs="java", note=f"{few} trees, 20 deep at most: more take long",
            ),
            few,
        ),
    ]  # fmt: skip
    return [each for each in found if not against or any(re.search(one, each.peer.name) for one in against)]


def write(made: Made, path: Path) -> NDArray[Any]:
    """Write the rows that each of our sub-models of ``--by all`` is fitted on, and the test rows; gives their classes.

    Args:
        made: Of the same options as our run.
        path: Of the npz that becomes of it.
    """
    shard = made.arrays(0)
    test_X, test_y = made_sets.rows(made, "test_")
    np.savez(path, X=shard["X"], y=shard["y"], test_X=test_X)
    return test_y


def fit_s(peer: Peer, output: Path, test_y: NDArray[Any], ours: float) -> float:
    """Run a peer; gives how long it took to fit, once it was ready.

    Args:
        peer: One of ``all_of``.
        output: Where it may write.
        test_y: Classes of the test rows.
        ours: The accuracy of our run.

    Raises:
        Failed: It ended badly, or is right less often than ours by more than ``MOST_POINTS``.
    """
    took = peer.run(output).ready_s
    if took is None:
        raise Failed(f"{peer.name} did not say when it was ready")
    check(peer.name, np.array(json.loads(output.read_bytes())), test_y, ours)
    return took


def check(name: str, said: NDArray[Any], test_y: NDArray[Any], ours: float) -> None:
    """See that a peer has learned.

    Raises:
        Failed: It says something of another number of rows, or is too seldom right.
    """
    if said.shape != test_y.shape:
        raise Failed(f"{name} says something of {len(said):,} rows, and {len(test_y):,} are to be told")
    right = float((said == test_y).mean())
    if 100 * (ours - right) > MOST_POINTS:
        raise Failed(f"{name} is right in {right:.2%} of the test rows, and ours in {ours:.2%}")
