"""Simulated runs of the job train: the numbers are those of the same run without a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster import catalog, errors, simulation
from cluster.client import simulation_check
from cluster.client.simulation import simulate
from cluster.simulation import Simulated, pool

NETWORK = """
part = "2 MB"
[[edge]]
name = "lab"
count = 2
up = "10 Mb/s"
latency = "20 ms"
aggregates = true
[[terminal]]
of = "lab"
count = 6
up = "100 Mb/s"
latency = "1 ms"
compute = ["10 ms/step", "40 ms/step * .34"]
jitter = 0.1
"""
OPTIONS: Mapping[str, Any] = {"net": "mlp:8", "rounds": 4, "steps": 6, "batch_size": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of three classes, and a network."""
    folder, random = tmp_path_factory.mktemp("simulated"), np.random.default_rng(1)
    y = np.arange(600) % 3
    X = (random.standard_normal((3, 5))[y] + 0.4 * random.standard_normal((600, 5))).astype(np.float32)
    np.savez(folder / "table.npz", X=X, y=y)
    (folder / "net.toml").write_text(NETWORK)
    return folder


def run(folder: Path, *policies: str, **more: Any) -> list[Simulated]:
    return simulate(folder / "table.npz", network=folder / "net.toml", policies=policies, **{**OPTIONS, **more})


def test_weights_are_those_of_the_same_run_without_a_network(folder: Path) -> None:
    [simulated] = run(folder, "barrier")
    plain = catalog.TRAIN.run_locally(folder / "table.npz", model="m", shards=6, quorum=1.0, test=0.2, **OPTIONS)
    assert simulated.sha256 == hashlib.sha256(plain.files["weights.safetensors"]).hexdigest()
    assert simulated.metrics["test"]["accuracy"] > 0.45


def test_the_same_call_gives_the_same_rows_and_weights(folder: Path) -> None:
    first, again = (run(folder, "quorum", "async", round_seconds=0.2) for _ in range(2))
    assert first == again


def test_a_tree_is_faster_over_slow_uplinks_and_as_good(folder: Path) -> None:
    [star], [tree] = run(folder, "barrier"), run(folder, "barrier", topology="tree")
    assert star.seconds > 2 * tree.seconds
    assert abs(star.metrics["test"]["accuracy"] - tree.metrics["test"]["accuracy"]) < 0.1
    assert tree.rows[0]["up_bytes"] == 2 * 2_000_000
    assert tree.rows[0]["site_bytes"] == star.rows[0]["up_bytes"] == 6 * 2_000_000
    assert [row["parts"] for row in tree.rows] == [6] * len(tree.rows)


def test_a_ring_takes_the_steps_of_its_shards_together(folder: Path) -> None:
    [ring] = run(folder, "barrier", topology="ring")
    trained = [row for row in ring.rows if row["kind"] == "train"]
    assert [(row["parts"], row["late"], row["steps"], row["rejected"]) for row in trained] == [(6, 0, 36, {})] * 4
    assert trained[0]["up_bytes"] < 2 * 2_000_000 + 6 * 300
    assert ring.metrics["test"]["accuracy"] > 0.45


def test_a_timed_round_gives_slow_terminals_fewer_steps(folder: Path) -> None:
    [simulated] = run(folder, "time", round_seconds=0.4)
    assert all(6 * 10 < row["steps"] < 6 * 40 for row in simulated.rows if row["kind"] == "train")


def test_a_run_ends_after_its_virtual_seconds(folder: Path) -> None:
    [simulated] = run(folder, "barrier", rounds=1000, seconds=30.0)
    assert 30 < simulated.seconds < 45


def test_a_process_beside_gives_the_same_rows_and_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more: dict[str, Any] = {"rounds": 3, "round_seconds": 0.2}
    alone = run(folder, "quorum", **more)
    monkeypatch.setattr(simulation, "is_worth", lambda job, steps: steps == 6 * 25 * 3)
    monkeypatch.setattr(pool, "MOST_PROCESSES", 1)
    assert run(folder, "quorum", **more) == alone


def test_what_cannot_be_simulated_is_refused(folder: Path) -> None:
    (folder / "flat.toml").write_text("[[terminal]]\ncount = 2\n")
    for shape, told in (("tree", "no edge of this network has `aggregates = true`"), ("ring", "no two terminals")):
        with pytest.raises(errors.UsageError, match=told):
            simulate(folder / "table.npz", network=folder / "flat.toml", topology=shape, **OPTIONS)
    with pytest.raises(errors.UsageError, match="a simulation keeps no models: leave out model"):
        run(folder, "barrier", model="letters")


def test_auto_takes_the_shape_that_is_predicted_to_be_fastest(folder: Path) -> None:
    [found] = run(folder, "barrier", topology="auto", rounds=7)
    shapes = [row["topology"] for row in found.rows if row["kind"] == "train"]
    assert (shapes[0], shapes[-1] in ("tree", "ring")) == ("star", True)


def test_a_private_cluster_takes_as_long_and_gives_the_same_weights(folder: Path) -> None:
    """The time is not compared closely here, as other tests run beside it."""
    found = simulation_check.check(
        folder / "table.npz", network=folder / "net.toml", nodes=2, **{**OPTIONS, "steps": 10}
    )
    assert found.virtual_sha256 == found.real_sha256
    assert 0.9 * found.virtual_s < found.real_s < 4 * found.virtual_s
