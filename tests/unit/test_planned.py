"""What is predicted of a round against what comes out when it is simulated."""

from __future__ import annotations

import pytest

from cluster import topology
from cluster.simulation import network, simulate
from cluster.simulation.planned import sites
from cluster.topology import Sizes
from tests.kit.jobs.cluster_testturns import COUNT_TURNS
from tests.kit.networks import drawn

STEPS = 25
LAB = """
[[edge]]
name = "lab"
up = "8 Mb/s"
down = "16 Mb/s"
latency = "40 ms"
aggregates = true
compute = "30 ms/step"
[[terminal]]
of = "lab"
name = "pc"
count = 4
up = "80 Mb/s"
latency = "5 ms"
compute = ["10 ms/step", "20 ms/step * .25"]
[[terminal]]
name = "alone"
up = "8 Mb/s"
latency = "1 ms"
"""


def test_terminals_behind_one_edge_are_a_site() -> None:
    lab, alone = sites(network.parse(LAB), STEPS)
    assert (lab.name, lab.parts, lab.edges, lab.seats) == ("lab", 4, ("lab",), 4)
    assert (lab.up_bytes_s, lab.down_bytes_s, lab.near_bytes_s, lab.peer_bytes_s) == (1e6, 2e6, 4e7, 1e7)
    assert [lab.rtt_s, lab.near_rtt_s] == pytest.approx([0.09, 0.02])
    assert (sorted(lab.works_s), lab.join_s) == ([STEPS * 0.01] * 3 + [STEPS * 0.02], 0.03)
    assert (alone.name, alone.parts, alone.edges, alone.seats) == ("alone", 1, (), 0)
    assert (alone.up_bytes_s, alone.rtt_s) == (1e6, 0.002)


@pytest.mark.parametrize("seed", range(5))
def test_the_seconds_of_a_star_are_those_of_its_simulation(seed: int) -> None:
    place = drawn(seed)
    [found] = simulate(COUNT_TURNS, "x", place, rounds=3)
    sizes = Sizes(place.part_bytes, place.view_bytes, 0.0, 0, STEPS)
    predicted_s = topology.seconds("star", sites(place, STEPS), sizes, ())
    assert 0.98 <= predicted_s / found.rows[-1]["wall_s"] <= 1.1


def test_a_simulation_changes_its_shape_as_a_driver_does(monkeypatch: pytest.MonkeyPatch) -> None:
    place = network.parse(f'part = "1 MB"\n{LAB}')
    [found] = simulate(COUNT_TURNS, "x", place, topology="auto", rounds=8)
    rows = found.rows
    assert [row["topology"] for row in rows[:7]] == ["star"] * 5 + ["tree"] * 2
    assert rows[0]["why"] == "no link is measured yet"
    assert rows[3]["why"].endswith("for 3 of 5 rounds")
    assert rows[5]["why"].startswith("tree is the fastest: ")
    assert rows[6]["wall_s"] < 0.7 * rows[3]["wall_s"]
    assert {row["parts"] for row in rows} == {5}
    assert [row["wall_s"] for row in rows[3:7:3]] == pytest.approx(
        [float(word.split()[1]) for word in rows[5]["why"].partition(": ")[2].split(", ")], rel=0.25
    )


def test_a_slow_join_is_waited_for_beside_fast_ones() -> None:
    fast = '[[edge]]\nname = "fast"\naggregates = true\n[[terminal]]\nof = "fast"\nname = "quick"\ncount = 2\n'
    place = network.parse(f'part = "20 MB"\n{LAB}{fast}')
    [found] = simulate(COUNT_TURNS, "x", place, topology="tree", rounds=4)
    assert [row["parts"] for row in found.rows] == [7] * 4
