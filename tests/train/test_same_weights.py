"""A training gives the same weights wherever it is done, also if its submitter dies on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cluster import catalog, settings
from cluster.stores import Stores
from tests.kit.programs import RedisServer, Worker, cluster, start_cluster
from tests.kit.waiting import wait_until

WEIGHTS = "weights.safetensors"
ROUNDS = 8
OPTIONS: Mapping[str, Any] = {
    "model": "odd", "net": "mlp:16", "shards": 3, "rounds": ROUNDS, "steps": 10, "inner_state": "reset", "seed": 3,
}  # fmt: skip
STEP_S = "0.02"
"""Each step takes longer than it need, where a run is to be caught in the middle."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 rows of 6 numbers, whose class is told by three of them."""
    import numpy as np

    chance = np.random.default_rng(5)
    rows = chance.normal(size=(600, 6)).astype(np.float32)
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    np.savez(path, X=rows, y=np.digitize(rows[:, 0] + rows[:, 1] * rows[:, 2], [-0.5, 0.5]))
    return path


@pytest.fixture(scope="module")
def digest(source: Path) -> str:
    """Of the weights that `Job.run_locally` gives: what the job means."""
    model = catalog.get("train").run_locally(source, **OPTIONS)
    return hashlib.sha256(model.files[WEIGHTS]).hexdigest()


def flags(options: Mapping[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def pulled(folder: Path, **settings: str) -> str:
    """The digest of the weights that were published."""
    told = cluster("models", "pull", "odd", folder, settings=settings)
    assert told.returncode == 0, told.stderr
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def test_another_seed_gives_other_weights(source: Path, digest: str) -> None:
    model = catalog.get("train").run_locally(source, **{**OPTIONS, "seed": 4})

    assert hashlib.sha256(model.files[WEIGHTS]).hexdigest() != digest


def test_a_private_cluster_gives_the_same_weights(source: Path, digest: str, tmp_path: Path) -> None:
    place = {"CLUSTER_CACHE_DIR": str(tmp_path / "cache"), "CLUSTER_MODELS_DIR": str(tmp_path / "models")}

    told = cluster("submit", "--job", "train", *flags(OPTIONS), source, settings=place, timeout_s=100)

    assert told.returncode == 0, told.stderr
    assert pulled(tmp_path / "model", **place) == digest


def test_two_nodes_give_the_same_weights(source: Path, digest: str, tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "redis") as server,
        Worker("one", server.url, tmp_path, "-c", "1"),
        Worker("two", server.url, tmp_path, "-c", "1"),
    ):
        told = cluster("submit", "--job", "train", *flags(OPTIONS), source, "--broker", server.url, timeout_s=100)

        assert told.returncode == 0, told.stderr
        assert pulled(tmp_path / "model", CLUSTER_BROKER_URL=server.url) == digest
        [found] = Stores.connect(settings.load(broker_url=server.url)).ledger.runs.latest(1)
        assert len(found.nodes) == 2, "one of the nodes did nothing"


def test_a_run_resumed_without_its_input_gives_the_same_weights(source: Path, digest: str, tmp_path: Path) -> None:
    """Its submitter is killed at half, its input is gone, and its nodes are lost and come back with nothing."""
    copy = tmp_path / "copy.npz"
    copy.write_bytes(source.read_bytes())
    slow = {"CLUSTER_TEST_STEP_S": STEP_S}
    with (
        RedisServer(tmp_path / "redis") as server,
        Worker("one", server.url, tmp_path, "-c", "1", **slow) as one,
        Worker("two", server.url, tmp_path, "-c", "1", **slow),
    ):
        ledger = Stores.connect(settings.load(broker_url=server.url)).ledger
        options = flags(OPTIONS)
        with start_cluster("submit", "--job", "train-padded", *options, copy, "--broker", server.url) as submitter:
            run = wait_until("there is a run", lambda: [each.run for each in ledger.runs.latest(1)])[0]

            def is_half_done() -> bool:
                row = ledger.rounds.of(run)
                return row is not None and row.round >= ROUNDS // 2

            wait_until("half of the rounds are closed", is_half_done, 60)
            submitter.kill()
            submitter.communicate()
        one.kill()
        one.start()
        copy.unlink()
        assert ledger.runs.progress(run).state == "running"

        told = cluster("resume", run, "--broker", server.url, timeout_s=100)

        assert told.returncode == 0, told.stderr
        assert pulled(tmp_path / "model", CLUSTER_BROKER_URL=server.url) == digest
        rows = [row for _, row in ledger.rounds.curve(run)]
        assert not any(row["late_chunks"] for row in rows), "a part was left out, so the weights could not be the same"
