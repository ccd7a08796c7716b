"""The trainings that the figures of ``cluster reproduce`` are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster import errors
from cluster.simulation.papers import trainings
from cluster.simulation.papers.trainings import Training

OPTIONS: dict[str, Any] = {"net": "mlp:16", "shards": 2, "rounds": 4, "steps": 5, "lr": 0.01}


@pytest.fixture
def points(tmp_path: Path) -> Path:
    random = np.random.default_rng(5)
    y = np.arange(400) % 4
    np.savez(tmp_path / "points.npz", X=random.standard_normal((4, 6))[y] + 0.3 * random.standard_normal((400, 6)), y=y)
    return tmp_path / "points.npz"


def test_a_curve_rises_and_has_its_epochs(points: Path) -> None:
    trained = trainings.run(Training("x", OPTIONS), points)
    [curve] = trainings.curves([trained])
    assert curve.values("accuracy")[0] < curve.end()
    assert curve.why_worthless() == ""
    assert trainings.epochs(trained)[1] == pytest.approx(5 * 32 * 2 / 300)


def test_a_training_that_diverges_is_an_answer(points: Path) -> None:
    wild = {**OPTIONS, "optimizer": "sgd", "server": "sgd", "lr": 1e9, "server_lr": 1e9}
    [curve] = trainings.curves([trainings.run(Training("x", wild), points)])
    assert "diverged" in curve.why_worthless()


def test_a_target_that_is_a_number_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "sums.npz", X=np.eye(60, 3), y=np.linspace(0, 1, 60))
    with pytest.raises(errors.UsageError, match="figures are about classes"):
        trainings.run(Training("x", OPTIONS), tmp_path / "sums.npz")
