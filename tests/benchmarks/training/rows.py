"""The data of the training benchmarks, and the rows that our splitter held out, for the others to be judged by."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster import catalog
from splitters import tables
from tests.benchmarks.contest import SCRIPTS
from tests.benchmarks.measure import ROOT, Failed
from tests.kit.programs import DATA

PEERS = ".venv-peers-training"
"""The environment of the peers, which `make bench-peers` makes."""
LETTER = DATA / "tables" / "letter.npz"
"""KEEL's table "letter": 20,000 rows of 16 numbers, 26 classes."""
LETTER_NET = (16, 128, 128, 26)
"""The widths of `mlp:128,128` on it."""


def missing() -> str:
    """Why the letters cannot be trained here, or ""."""
    if problem := catalog.get("train").why_not_here():
        return problem
    return "" if LETTER.is_file() else f"there is no file {LETTER}"


def digits(folder: Path) -> Path | None:
    """scikit-learn's digits as an npz: 1,797 pictures of 8 x 8; None where its environment is not installed."""
    python = ROOT / PEERS / "bin" / "python"
    if not python.exists():
        return None
    path = folder / "digits.npz"
    subprocess.run([str(python), str(SCRIPTS / "training_digits.py"), str(path)], check=True, timeout=60)
    return path


def parameters(widths: tuple[int, ...] = LETTER_NET) -> int:
    """How many a fully connected net of these widths has."""
    return sum((before + 1) * after for before, after in itertools.pairwise(widths))


def as_split(source: Path, folder: Path, options: Mapping[str, Any]) -> Path:
    """The rows of all shards that our job cuts the source into with these options, in one npz for the peers.

    Raises:
        Failed: The card tells of other numbers of rows.
    """
    import numpy as np

    job = catalog.get("train")
    _, *shards = job.chunks([source], job.check_options({"model": "m", **options}))
    found = [tables.arrays(shard) for shard in shards]
    joined = {name: np.concatenate([each[name] for each in found]) for name in ("X", "y", "test_X", "test_y")}
    with np.load(source, allow_pickle=False) as whole:
        number = len(whole["y"])
    if sum(len(each["y"]) + len(each["valid_y"]) + len(each["test_y"]) for each in found) != number:
        raise Failed(f"the shards of {source.name} have not all of its {number} rows")
    path = folder / f"rows-{options.get('seed', 0)}.npz"
    np.savez(path, X=joined["X"], y=joined["y"], X_test=joined["test_X"], y_test=joined["test_y"])
    return path
