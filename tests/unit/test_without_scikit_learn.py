"""A sub-model of every kind is loaded and answers where scikit-learn is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aggregators import submodels
from aggregators.submodels import spec
from tests.kit.programs import ROOT

np = pytest.importorskip("numpy")
pytest.importorskip("sklearn")

ANSWER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("sklearn", "scipy", "joblib", "threadpoolctl"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
try:
    import sklearn
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("scikit-learn is there")

from pathlib import Path
import numpy as np
from aggregators import submodels

folder = Path(sys.argv[1])
rows = np.load(folder / "rows.npy")
for path in sorted(folder.glob("*.npz")):
    np.save(path.with_suffix(".answer.npy"), submodels.unpack(path.read_bytes()).scores(rows))
"""
FAST = {"rf": "rf:trees=3", "et": "et:trees=3", "hgb": "hgb:trees=3", "mlp": "mlp:units=8,epochs=3"}


def test_every_kind_answers_without_scikit_learn(tmp_path: Path) -> None:
    from tasks.ensemble import fit

    draw = np.random.default_rng(0)
    rows = draw.normal(size=(200, 5)).astype(np.float32)
    labels = np.digitize(rows[:, 0] + rows[:, 1], [-1, 0, 1])
    np.save(tmp_path / "rows.npy", rows)
    wanted = {}
    for kind, each in spec.KINDS.items():
        for task in each.tasks:
            by_class = task == "classification"
            model = fit.fit(spec.parse(FAST.get(kind, kind)), rows, labels, 4 if by_class else 0, 0)
            (tmp_path / f"{kind}-{task}.npz").write_bytes(submodels.pack(model))
            wanted[f"{kind}-{task}"] = model.scores(rows)
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(wanted) == 12
    for name, scores in wanted.items():
        assert np.array_equal(np.load(tmp_path / f"{name}.answer.npy"), scores), name
