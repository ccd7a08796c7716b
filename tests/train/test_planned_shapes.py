"""The planner against the simulator: the shape that it chooses on networks drawn by chance."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster import catalog, topology
from cluster.coordinator import deadline
from cluster.simulation import Network, simulate
from tests.kit.networks import drawn

FEATURES, CLASSES, STEPS = 8, 3, 4
HIDDEN = (16, 256, 2000)
ALIKE = 1.02
"""Two shapes take the same time whose rounds differ by less."""
NETWORKS = 20


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("planned") / "table.npz"
    y = np.arange(300) % CLASSES
    np.savez(file, X=np.random.default_rng(0).standard_normal((300, FEATURES)).astype(np.float32), y=y)
    return file


def rounds(table: Path, place: Network, shape: str, hidden: int, number: int) -> list[Mapping[str, Any]]:
    options = {"rounds": number, "steps": STEPS, "net": f"mlp:{hidden}", "batch_size": 4, "topology": shape}
    [found] = simulate(catalog.TRAIN, [table], place, ["barrier"], **options)  # type: ignore[arg-type]
    return [row for row in found.rows if row["kind"] == "train"]


def possible(place: Network) -> list[str]:
    edges = [edge for edge in place.edges.values() if sum(one.of == edge.name for one in place.terminals) > 1]
    trees = ["tree"] if any(edge.aggregates for edge in edges) else []
    return ["star", *trees, *(["ring"] if edges else [])]


def judged(table: Path, seed: int) -> str:
    """Whether the shape that is planned after a round is the fastest, or as fast; says how fast each is."""
    place, hidden = drawn(seed), random.Random(seed).choice(HIDDEN)
    seconds = {shape: rounds(table, place, shape, hidden, 1)[-1]["wall_s"] for shape in possible(place)}
    planned = rounds(table, place, "auto", hidden, 2)[-1]
    figures = ", ".join(f"{shape} {found:.2f} s" for shape, found in seconds.items())
    is_fastest = planned["topology"] == min(seconds, key=lambda shape: seconds[shape])
    verdict = "right" if is_fastest or planned["wall_s"] <= ALIKE * min(seconds.values()) else "wrong"
    return f"{verdict}: network {seed}: {planned['topology']} {planned['wall_s']:.2f} s of {figures}"


@pytest.mark.slow
def test_the_planner_chooses_the_fastest_shape_on_drawn_networks(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, without waiting for five rounds in which it is a fifth faster, so that small gains count, too."""
    monkeypatch.setattr(topology, "ROUNDS", 1)
    monkeypatch.setattr(topology, "GAIN", 0.0)
    monkeypatch.setattr(deadline, "FIRST_JOIN_S", 1000.0)  # parts of a site that joins too late would cost no time
    found = [judged(table, seed) for seed in range(NETWORKS)]
    print("\n".join(found))
    assert sum(one.startswith("right") for one in found) >= 18, found
