"""Each kind of input is learnt from, by the job as it stands in the catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregators import Model
from cluster import catalog
from tests.kit.programs import cluster
from tests.kit.tables import pictures, write

LAYERS = """
[[layers]]
type = "linear"
units = 16

[[layers]]
type = "relu"

[[layers]]
type = "linear"
units = "outputs"
"""


def train(source: Path, **options: Any) -> dict[str, Any]:
    model = catalog.TRAIN.run_locally(source, **{"model": "m", "rounds": 8, "steps": 20, "lr": 0.01, **options})
    assert isinstance(model, Model)
    return dict(model.report)


def goods(path: Path, number: int, seed: int) -> Path:
    """Write a table whose price depends on a number, of which some are missing, and on a text."""
    chance = np.random.default_rng(seed)
    weight, kind = chance.normal(10, 3, number), chance.choice(["tea", "coffee"], number)
    price = 50 + 4 * weight + 30 * (kind == "tea")
    shown = ["" if at % 20 == 0 else f"{one:.3f}" for at, one in enumerate(weight)]
    return write(path, {"weight": shown, "kind": kind, "price": [f"{one:.2f}" for one in price]}, ";")


def test_a_table_with_texts_and_gaps_is_learnt(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(LAYERS)
    report = train(goods(tmp_path / "a.csv", 800, 1), target="price", net=str(tmp_path / "model.toml"), shards=3)
    assert (report["task"], report["net"], report["shards"]) == ("regression", "declared", 3)
    assert report["test"]["r2"] > 0.8
    assert report["test"]["rmse"] < report["baseline"]["rmse"] / 2


def test_rows_of_a_test_file_decide_what_a_net_is_worth(tmp_path: Path) -> None:
    test = goods(tmp_path / "test.csv", 50, 2)
    report = train(goods(tmp_path / "a.csv", 800, 1), target="price", net="mlp:16", test_file=str(test))
    assert report["rows"] == {"train": 720, "valid": 80, "test": 50}
    assert report["test"]["rows"] == 50
    assert report["test"]["r2"] > 0.8


@pytest.mark.parametrize("partition", ["slice", "sample"])
def test_pictures_are_learnt_as_bytes(tmp_path: Path, partition: str) -> None:
    report = train(pictures(tmp_path / "all", 40, (8, 8)), net="cnn:4", shards=2, partition=partition, augment="flip")
    assert report["test"]["accuracy"] == 1


def test_the_command_learns_from_pictures_and_names_the_broken(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "all", 40, (9, 7))
    (folder / "dark" / "broken.png").write_text("no picture")
    options = ["--net", "cnn:4", "--size", "8x8", "--grey", "--rounds", "3", "--steps", "20", "--shards", "2"]
    settings = {"CLUSTER_MODELS_DIR": str(tmp_path / "models")}
    done = cluster("submit", "--job", "train", folder, "--model", "light", *options, timeout_s=100, settings=settings)
    assert done.returncode == 3, done.stderr
    assert "dark/broken.png: is no picture of a kind that can be read" in done.stderr
    report = json.loads(done.stdout)
    assert report["model"].startswith("light:1")
    assert report["rows"] == {"train": 56, "valid": 8, "test": 16}
    assert report["test"]["accuracy"] == 1
