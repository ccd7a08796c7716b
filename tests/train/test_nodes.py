"""The job train on real nodes gives what it gives in one process, and only their slots load torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import cluster
from cluster import catalog
from tests.kit.programs import RedisServer, Worker

WEIGHTS = "weights.safetensors"
OPTIONS: dict[str, Any] = {
    "model": "points", "net": "mlp:16", "steps": 10, "inner_state": "reset", "rounds": 6, "shards": 4, "lr": 0.01,
}  # fmt: skip


@pytest.fixture
def points(tmp_path: Path) -> Path:
    random = np.random.default_rng(5)
    y = np.arange(800) % 4
    X = random.standard_normal((4, 6))[y] + 0.6 * random.standard_normal((800, 6))
    np.savez(tmp_path / "points.npz", X=X, y=y)
    return tmp_path / "points.npz"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[str, list[Worker]]]:
    """A Redis, and two nodes of one slot."""
    one = {"OMP_NUM_THREADS": "1"}
    with (
        RedisServer(tmp_path / "redis") as server,
        Worker("first", server.url, tmp_path / "first", "-c", "1", **one) as first,
        Worker("second", server.url, tmp_path / "second", "-c", "1", **one) as second,
    ):
        yield server.url, [first, second]


def loads_torch(process: psutil.Process) -> bool:
    return any("libtorch" in each.path for each in process.memory_maps())


def test_two_nodes_give_the_weights_of_one_process(
    points: Path, nodes: tuple[str, list[Worker]], tmp_path: Path
) -> None:  # fmt: skip
    url, workers = nodes
    with cluster.connect(url) as client:
        report = client.submit("train", points, **OPTIONS).result(100)
        client.models.pull(report["model"], tmp_path / "pulled")
    alone = catalog.get("train").run_locally(points, **OPTIONS)
    assert (tmp_path / "pulled" / WEIGHTS).read_bytes() == alone.files[WEIGHTS]
    assert report["test"] == alone.report["test"]
    assert len(report["nodes"]) == 2
    mains = [psutil.Process(worker.process.pid) for worker in workers]
    assert not any(map(loads_torch, mains))
    slots = [slot for main in mains for slot in main.children(recursive=True)]
    assert sum(map(loads_torch, slots)) == 2


def test_a_training_goes_on_from_a_checkpoint_when_its_redis_is_emptied(
    points: Path, nodes: tuple[str, list[Worker]], tmp_path: Path
) -> None:  # fmt: skip
    url, _ = nodes
    saved = tmp_path / "saved"
    with cluster.connect(url) as client:
        run = client.submit("train", points, save=saved, **{**OPTIONS, "rounds": 7, "checkpoint": 3})
        accuracy = run.result(100)["test"]["accuracy"]
        assert sorted(path.name for path in saved.iterdir()) == [f"{run.id}-round-000{rounds}" for rounds in (3, 6)]
        client.prune([run.status()])
        again = client.submit("train", points, from_model=str(saved / f"{run.id}-round-0006"), **OPTIONS)
        again.result(100)
        assert again.curve()[0]["accuracy"] > accuracy - 0.05 > 0.7
        assert client.models.push("from-disk", saved / f"{run.id}-round-0003").manifest.job == catalog.TRAIN.bundles
