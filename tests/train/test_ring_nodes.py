"""The job train by a ring: two nodes of a site whose owners let each other connect, and two whose owners do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest

import cluster
from cluster.client import Client
from tests.kit.programs import RedisServer, Worker
from tests.kit.waiting import wait_until

OPTIONS: dict[str, Any] = {
    "model": "points", "net": "mlp:64,64", "steps": 10, "rounds": 6, "shards": 2, "lr": 0.01, "seed": 3,
    "topology": "ring",
}  # fmt: skip


class Lab(NamedTuple):
    """Two nodes of one site."""

    url: str
    workers: list[Worker]
    client: Client

    def listening(self, at: int) -> set[str]:
        """The addresses on which the processes of a node listen."""
        main = psutil.Process(self.workers[at].process.pid)
        found = [each for one in (main, *main.children(recursive=True)) for each in _connections(one)]
        return {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN}


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("inet"))
    except psutil.NoSuchProcess:  # it ended meanwhile: one that tries a capability, say
        return []


def lab(folder: Path, lan: str) -> Iterator[Lab]:
    settings = {"OMP_NUM_THREADS": "1", "CLUSTER_SITE": "lab", "CLUSTER_LAN": lan}
    with (
        RedisServer(folder / "redis") as server,
        Worker("first", server.url, folder / "first", "-c", "1", **settings) as first,
        Worker("second", server.url, folder / "second", "-c", "1", **settings) as second,
        cluster.connect(server.url) as client,
    ):
        yield Lab(server.url, [first, second], client)


@pytest.fixture
def allowing(tmp_path: Path) -> Iterator[Lab]:
    yield from lab(tmp_path, "allow")


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[Lab]:
    yield from lab(tmp_path, "never")


@pytest.fixture
def points(tmp_path: Path) -> Path:
    random = np.random.default_rng(5)
    y = np.arange(800) % 4
    X = random.standard_normal((4, 6))[y] + 0.6 * random.standard_normal((800, 6))
    np.savez(tmp_path / "points.npz", X=X, y=y)
    return tmp_path / "points.npz"


def test_a_ring_of_two_nodes_learns_and_outlives_one(allowing: Lab, points: Path) -> None:
    run = allowing.client.submit("train", points, **OPTIONS)
    assert run.result(100)["test"]["accuracy"] > 0.8
    first, *others = [row for row in run.curve() if row["kind"] == "train"]
    assert "topology" not in first or first["topology"] == "star"  # who does which shard shows by then
    assert [(row["topology"], row["alone"], row["rejected"]) for row in others] == [("ring", {}, {})] * len(others)
    assert all(row["steps"] == 2 * OPTIONS["steps"] for row in others)
    assert max(row["up_bytes"] for row in others) < 0.7 * first["up_bytes"]

    long = allowing.client.submit("train", points, **{**OPTIONS, "steps": 0, "round_seconds": 3.0, "rounds": 3})
    wait_until("a ring is formed", lambda: "127.0.0.1" in allowing.listening(1), 60)
    wait_until("its store and both members listen", lambda: allowing.listening(0), 10)
    allowing.workers[1].kill()
    assert long.result(100)["test"]["accuracy"] > 0.8
    rows = [row for row in long.curve() if row["kind"] == "train"]
    [broken] = [row for row in rows if any("the ring broke" in why for why in row.get("alone", {}).values())]
    assert broken["steps"] > 0
    assert max(row["wall_s"] for row in rows) < 40


def test_nodes_that_allow_no_peers_open_no_port(refusing: Lab, points: Path) -> None:
    run = refusing.client.submit("train", points, **{**OPTIONS, "steps": 0, "round_seconds": 1.0})
    heard: set[str] = set()

    def is_over() -> bool:
        heard.update(*(refusing.listening(at) for at in range(2)))
        return run.status().state == "done"

    wait_until("the run is over", is_over, 100)
    assert heard == set()
    rows = [row for row in run.curve() if row["kind"] == "train"]
    assert all(row["topology"] == "star" for row in rows[1:])
    assert "CLUSTER_LAN=allow" in rows[-1]["why"]
