"""The model of where one Redis saturates says what its costs say."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks import simulator
from tests.benchmarks.redis_costs import LARGEST_ERROR
from tests.benchmarks.simulator import Cluster, Costs, chunks_per_message, most_nodes, simulate
from tests.kit.programs import ROOT

COSTS = Costs(
    base=0.0, node=0.001, run=0.0, watch=0.0, chunk=0.001, tiny_chunk=0.0001,
    byte_in=1e-9, byte_out=1e-9, submitter_chunk=0.001, submitter_byte=1e-9,
)  # fmt: skip
SMALL = Cluster(10, slots=1, seconds=1.0, size_bytes=1e6)


def test_few_slots_are_all_kept_busy() -> None:
    found = simulate(SMALL, COSTS)
    assert (found.narrowest, found.chunks_per_s, found.efficiency) == ("slots", 10.0, 1.0)
    assert found.redis_load == pytest.approx(10 * 0.001 + 10 * (0.001 + 1e6 * 2e-9))


@pytest.mark.parametrize(
    ("change", "narrowest", "rate"),
    [
        ({"nodes": 500, "network": 1e12, "submitters": 9}, "Redis", (1 - 0.5) / 0.003),
        ({"nodes": 500, "network": 50e6, "submitters": 9}, "network", 50.0),
        ({"nodes": 500, "network": 50e6, "submitters": 9, "blobs_elsewhere": True}, "slots", 500.0),
        ({"nodes": 990, "submitters": 9, "blobs_elsewhere": True}, "Redis", 10.0),
        ({"nodes": 600, "network": 1e12, "blobs_elsewhere": True}, "Redis", 400.0),
        ({"nodes": 600, "network": 1e12, "blobs_elsewhere": True, "size_bytes": 9e6}, "submitter", 100.0),
        ({"nodes": 50, "seconds": 0.01, "size_bytes": 1000.0, "submitters": 9}, "slots", 5000.0),
    ],
)
def test_the_narrowest_place_sets_the_rate(change: dict[str, float], narrowest: str, rate: float) -> None:
    found = simulate(SMALL._replace(**change), COSTS)  # type: ignore[arg-type]
    assert found.narrowest == narrowest
    assert found.chunks_per_s == pytest.approx(rate)


def test_chunks_that_share_a_message_share_its_cost() -> None:
    costs = [COSTS.of_chunk(0, chunks_per_message(seconds)) for seconds in (3.0, 0.2, 0.01)]
    assert costs[0] == COSTS.chunk
    assert costs[2] == pytest.approx(COSTS.tiny_chunk)
    assert costs[2] < costs[1] < costs[0]


def test_as_many_nodes_as_are_told_fill_redis() -> None:
    most = most_nodes(SMALL, COSTS)
    wide = SMALL._replace(network=1e12, submitters=9)
    assert simulate(wide._replace(nodes=most), COSTS).efficiency == 1.0
    assert simulate(wide._replace(nodes=most + 1), COSTS).narrowest == "Redis"


def test_the_costs_on_record_predicted_what_was_seen() -> None:
    told = json.loads(simulator.MEASURED.read_text(encoding="utf-8"))
    assert abs(told["check"]["predicted"] / told["check"]["seen"] - 1) <= LARGEST_ERROR
    assert all(cost >= 0 for cost in simulator.read())


def test_the_paper_has_the_table_of_the_costs_on_record() -> None:
    assert simulator.table(simulator.read()) in (ROOT / "docs" / "explain" / "scaling.md").read_text(encoding="utf-8")
