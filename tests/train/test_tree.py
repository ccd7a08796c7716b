"""The job train by a tree: two nodes of a site with a store of its own, and one without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cluster
from cluster.client import Client
from tests.kit.programs import RedisServer, Worker

OPTIONS: dict[str, Any] = {
    "model": "points", "net": "mlp:128,128", "steps": 10, "rounds": 8, "shards": 6, "lr": 0.01, "seed": 3,
}  # fmt: skip


@pytest.fixture
def points(tmp_path: Path) -> Path:
    random = np.random.default_rng(5)
    y = np.arange(2400) % 8
    X = random.standard_normal((8, 16))[y] + 1.2 * random.standard_normal((2400, 16))
    np.savez(tmp_path / "points.npz", X=X, y=y)
    return tmp_path / "points.npz"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("tree")
    with RedisServer(folder / "hub") as hub, RedisServer(folder / "edge") as edge:
        lab = {"OMP_NUM_THREADS": "1", "CLUSTER_SITE": "lab", "CLUSTER_EDGE_URL": edge.url}
        alone = {"OMP_NUM_THREADS": "1", "CLUSTER_SITE": "home"}
        with (
            Worker("first", hub.url, folder / "first", "-c", "1", **lab),
            Worker("second", hub.url, folder / "second", "-c", "1", **lab),
            Worker("third", hub.url, folder / "third", "-c", "1", **alone),
            cluster.connect(hub.url) as connected,
        ):
            yield connected


def test_a_tree_learns_what_a_star_learns_with_fewer_bytes(client: Client, points: Path) -> None:
    star = client.submit("train", points, topology="star", **OPTIONS)
    accuracy = star.result(100)["test"]["accuracy"]
    tree = client.submit("train", points, topology="tree", **OPTIONS)
    assert tree.result(100)["test"]["accuracy"] == pytest.approx(accuracy, abs=0.03)
    trained = [row for row in tree.curve() if row["kind"] == "train" and row.get("topology") == "tree"]
    assert len(trained) >= 4
    assert all(row["parts"] == OPTIONS["shards"] and not row["rejected"] for row in trained)
    up = [sum(row["up_bytes"] for row in run.curve()) for run in (star, tree)]
    assert up[1] < 0.7 * up[0]
    assert sum(row["site_bytes"] for row in trained) > 0.3 * up[0]
