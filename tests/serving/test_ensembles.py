"""The job ensemble on real nodes: as in one process, whoever dies, and without a sub-model that fails each time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cluster as product
from cluster import catalog
from tests.kit.programs import RedisServer, Worker, cluster
from tests.kit.tables import save
from tests.kit.waiting import wait_until

if problem := catalog.get("ensemble").why_not_here():
    pytest.skip(problem, allow_module_level=True)

OPTIONS: dict[str, Any] = {"model": "points", "kind": "rf:trees=4 tree:depth=5", "parts": 3, "by": "sample"}
FIRST, SECOND = "first@test", "second@test"


@pytest.fixture
def points(tmp_path: Path) -> Path:
    chance = np.random.default_rng(5)
    y = np.arange(600) % 3
    return save(tmp_path / "points.npz", X=chance.normal(size=(600, 4)) + 2 * np.eye(3, 4)[y], y=y)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[str, list[Worker]]]:
    """A Redis, and two nodes of one slot."""
    more = {"OMP_NUM_THREADS": "1", "CLUSTER_RETRY_DELAY_S": "0.05"}
    with (
        RedisServer(tmp_path / "redis") as server,
        Worker("first", server.url, tmp_path / "first", "-c", "1", **more) as first,
        Worker("second", server.url, tmp_path / "second", "-c", "1", **more) as second,
    ):
        yield server.url, [first, second]


def without_times(report: Any) -> dict[str, Any]:
    """What is the same wherever it was made."""
    told = {name: report[name] for name in ("rows", "combine", "test", "baseline", "notes", "missing", "by", "share")}
    sub_models = [{**one, "node": "", "seconds": 0} for one in report["sub_models"]]
    return {**told, "sub_models": sub_models}


def test_two_nodes_give_the_bundle_of_one_process(
    points: Path, nodes: tuple[str, list[Worker]], tmp_path: Path
) -> None:
    url, _ = nodes
    with product.connect(url) as client:
        run = client.submit("ensemble", points, **OPTIONS)
        report = run.result(110)
        client.models.pull(report["model"], tmp_path / "pulled")
        curve = run.curve()

    alone = catalog.ENSEMBLE.run_locally(points, **OPTIONS)
    for name, data in alone.files.items():
        if name != "curve.json":
            assert (tmp_path / "pulled" / name).read_bytes() == data, name
    assert without_times(report) == without_times(alone.report)
    assert {one["node"] for one in report["sub_models"]} == {FIRST, SECOND}
    assert [row["kind"] for row in curve] == ["fit", "predict", "combine", "test"]
    assert run.failures == {}


def test_a_node_killed_while_it_fits_costs_nothing(points: Path, nodes: tuple[str, list[Worker]]) -> None:
    url, [first, _] = nodes
    with product.connect(url) as client:
        run = client.submit("ensemble", points, **{**OPTIONS, "kind": "rf:trees=60"})
        wait_until("a sub-model is being fitted", lambda: run.status().chunks_running > 0, 60)
        first.kill()
        report = run.result(110)

    alone = catalog.ENSEMBLE.run_locally(points, **{**OPTIONS, "kind": "rf:trees=60"})
    assert without_times(report) == without_times(alone.report)
    assert SECOND in {one["node"] for one in report["sub_models"]}


def test_the_command_names_what_a_run_in_rounds_lacks(nodes: tuple[str, list[Worker]], tmp_path: Path) -> None:
    url, _ = nodes
    told = cluster(
        *("submit", "--job", "count-turns", tmp_path, "--rounds", "2", "--broken", "0:2", "--broker", url),
        *("-o", tmp_path / "counts.json"),
        timeout_s=60,
        settings={"CLUSTER_MAX_ATTEMPTS": "1"},
    )

    assert told.returncode == 3, told.stderr
    assert "missing (1):" in told.stderr
    assert "RuntimeError: asked to fail each time" in told.stderr
    assert len(json.loads((tmp_path / "counts.json").read_bytes())["counted"]) == 7
