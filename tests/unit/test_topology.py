"""Which shape a round takes: predicted from what the nodes have measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cluster import topology
from cluster.nodes import sites
from cluster.nodes.registry import Links
from cluster.topology import Planner, Shape, Site, Sizes
from tests.kit.nodes import a_node

MBIT = 1e6 / 8
SIZES = Sizes(up_bytes=4e6, down_bytes=4e6, work_s=1.0, parameters=1_000_000, steps=10)
SLOW = Site("lab", 8, up_bytes_s=10 * MBIT, down_bytes_s=50 * MBIT, rtt_s=0.04, near_bytes_s=100 * MBIT, edges=("e1",))
FAST = SLOW._replace(up_bytes_s=10_000 * MBIT, down_bytes_s=10_000 * MBIT, rtt_s=0.001)


def alone_s(shape: Shape, site: Site, sizes: Sizes = SIZES) -> float:
    return topology.seconds(shape, [site], sizes, [site.name])


def test_a_star_takes_each_part_through_the_shared_way_up() -> None:
    assert alone_s("star", SLOW) == pytest.approx(1 + 8 * (3.2 + 0.64) + 0.12)


def test_a_tree_takes_one_part_through_the_way_up() -> None:
    joined_s = 8 * 4e6 / topology.JOIN_BYTES_S
    expected_s = 1 + 8 * 0.32 + joined_s + 2 * topology.NEAR_RTT_S + 3.2 + 8 * 0.64 + 0.2
    assert alone_s("tree", SLOW) == pytest.approx(expected_s)


def test_a_ring_pays_for_the_gradients_of_each_step() -> None:
    ring = SLOW._replace(seats=8, near_rtt_s=0.002, peer_bytes_s=100 * MBIT)
    step_s = 2 * 7 / 8 * 4e6 / (100 * MBIT) + 2 * 7 * 0.001
    assert alone_s("ring", ring) == pytest.approx(1 + 10 * step_s + 3.2 + 8 * 0.64 + 0.12)


def test_a_site_of_slow_machines_takes_as_long_as_they_work() -> None:
    slow_s, fast_s = (alone_s("star", site) for site in (FAST._replace(works_s=(9.0,) * 8), FAST))
    assert slow_s - fast_s == pytest.approx(8.0)


def test_those_that_are_done_send_while_others_work() -> None:
    site = SLOW._replace(parts=3, works_s=(20.0, 1.0, 3.0), down_bytes_s=None, rtt_s=0.0)
    assert alone_s("star", site) == pytest.approx(20 + 3.2)
    assert alone_s("star", site._replace(works_s=(2.0, 1.0, 3.0))) == pytest.approx(1 + 3 * 3.2)


def test_parts_without_a_seat_go_up_by_themselves() -> None:
    whole, half = (alone_s("ring", SLOW._replace(seats=seats), SIZES._replace(steps=0)) for seats in (8, 4))
    assert half - whole == pytest.approx(4 * 3.2)


@pytest.mark.parametrize(
    ("site", "shape"),
    [
        (SLOW, "tree"),
        (FAST, "star"),
        (SLOW._replace(edges=()), "star"),
        (SLOW._replace(edges=("e1", "e2")), "star"),
        (SLOW._replace(parts=1), "star"),
        (SLOW._replace(edges=(), seats=8), "ring"),
        (SLOW._replace(edges=(), seats=1), "star"),
        (SLOW._replace(up_bytes_s=None, down_bytes_s=None), "star"),
    ],
)
def test_the_fastest_shape_that_is_possible_is_planned(site: Site, shape: Shape) -> None:
    found = topology.plan("auto", [site], SIZES)
    assert found.shape == shape
    assert found.sites == (() if shape == "star" else ("lab",))
    assert set(found.seconds) <= {"star", shape} | ({"tree"} if site.may("tree") else set())


def test_only_the_sites_that_gain_take_the_tree() -> None:
    found = topology.plan("auto", [SLOW, FAST._replace(name="office")], SIZES)
    assert (found.shape, found.sites) == ("tree", ("lab",))
    assert found.seconds["tree"] == pytest.approx(alone_s("tree", SLOW))


def test_a_slow_join_of_one_site_is_paid_by_all() -> None:
    far = FAST._replace(name="far", up_bytes_s=20 * MBIT, down_bytes_s=None, works_s=(30.0,) * 8)
    first_s, second_s = topology.halves("tree", SLOW, SIZES)
    assert first_s + second_s < 30
    found = topology.plan("auto", [SLOW, far], SIZES)
    assert (found.shape, found.sites) == ("tree", ("far",))
    assert found.join_s == topology.halves("tree", far, SIZES)[1] < second_s
    assert found.seconds["tree"] < topology.seconds("tree", [SLOW, far], SIZES, ["lab", "far"])


def test_what_is_given_is_taken_wherever_it_is_possible() -> None:
    assert topology.plan("tree", [FAST], SIZES)[::3] == ("tree", ("lab",))
    assert topology.plan("star", [SLOW], SIZES).shape == "star"
    found = topology.plan("ring", [SLOW], SIZES)
    assert found.shape == "star"
    assert "two nodes with CLUSTER_LAN=allow" in found.why


def test_nothing_is_planned_of_links_that_nobody_measured() -> None:
    found = topology.plan("auto", [SLOW._replace(up_bytes_s=None)], SIZES)
    assert (found.shape, found.why) == ("star", "no link is measured yet")
    assert topology.plan("auto", [], SIZES).shape == "star"


def test_a_shape_changes_after_five_rounds_in_a_row() -> None:
    planner = Planner("auto")
    assert [planner.plan([SLOW], SIZES).shape for _ in range(6)] == ["star"] * 4 + ["tree"] * 2
    assert [planner.plan([FAST], SIZES).shape for _ in range(6)] == ["tree"] * 4 + ["star"] * 2


def test_one_round_that_disagrees_begins_the_count_anew() -> None:
    planner = Planner("auto")
    seen = [SLOW] * 4 + [FAST] + [SLOW] * 5
    assert [planner.plan([site], SIZES).shape for site in seen] == ["star"] * 9 + ["tree"]


def test_a_gain_below_a_fifth_changes_nothing() -> None:
    site = SLOW._replace(parts=2, up_bytes_s=30 * MBIT, down_bytes_s=30 * MBIT)
    star_s, tree_s = (alone_s(shape, site) for shape in ("star", "tree"))
    assert 0.8 * star_s < tree_s < star_s
    planner = Planner("auto")
    found = [planner.plan([site], SIZES) for _ in range(9)]
    assert {plan.shape for plan in found} == {"star"}
    assert found[-1].why.startswith("star stays: tree is the fastest: ")
    assert found[-1].why.endswith("by less than 20%")
    assert {Planner("auto", "tree").plan([site], SIZES).shape for _ in range(9)} == {"tree"}


def test_a_shape_that_is_possible_no_more_is_left_at_once() -> None:
    planner = Planner("auto", "tree")
    assert planner.plan([SLOW], SIZES).shape == "tree"
    assert planner.plan([SLOW._replace(edges=())], SIZES).shape == "star"


def test_the_row_says_for_how_many_rounds_another_shape_was_better() -> None:
    planner = Planner("auto")
    whys = [planner.plan([SLOW], SIZES).why for _ in range(5)]
    assert whys[1].endswith("for 2 of 5 rounds")
    assert whys[4] == topology.plan("auto", [SLOW], SIZES).why


def links(up: float | None, rtt_s: float | None = None) -> Links:
    return Links(up_bytes_s=up, down_bytes_s=up and 2 * up, rtt_s=rtt_s)


def test_the_speed_of_a_site_is_the_sum_of_what_its_nodes_share() -> None:
    nodes = [
        a_node("a", site="lab", links=links(10, 0.1), edge="e1", lan="10.0.0.1"),
        a_node("b", site="lab", links=links(20, 0.3), edge="e1", edge_links=Links(up_bytes_s=5, down_bytes_s=5)),
        a_node("idle", site="lab", links=links(1000), edge="e2"),
        a_node("new", site="lab", links=links(None)),
        a_node("c", links=links(7)),
    ]
    parts = {"a": 1, "b": 2, "new": 1, "c": 1}
    alone, lab = sites.of(nodes, parts)
    assert (alone.name, alone.parts, alone.up_bytes_s) == ("c", 1, 7)
    assert (lab.name, lab.parts, lab.edges, lab.seats, lab.rtt_s) == ("lab", 4, ("e1",), 1, 0.3)
    assert lab.up_bytes_s == pytest.approx((10 + 2 * 20) / 3 * 4)  # the new node is taken to be as the others
    assert lab.down_bytes_s == pytest.approx((20 + 2 * 40) / 3 * 4)
    assert lab.near_bytes_s == lab.peer_bytes_s == 5
    assert sites.of(nodes, parts, "tree")[1].up_bytes_s == 20


def test_a_clock_that_is_an_hour_off_changes_no_plan() -> None:
    told = {"site": "lab", "links": links(10), "edge": "e1"}
    off = datetime.now(UTC) + timedelta(hours=1)
    right = [a_node("a", **told), a_node("b", **told)]
    wrong = [right[0], a_node("b", **told, joined_at=off, last_seen_at=off)]
    assert sites.of(right, {"a": 1, "b": 1}) == sites.of(wrong, {"a": 1, "b": 1})


def test_a_site_with_two_edge_stores_is_told_in_a_sentence() -> None:
    nodes = [a_node("b", site="lab", edge="e1"), a_node("a", site="lab", edge="e1"), a_node("c", site="lab", edge="e2")]
    [told] = sites.odd_edges(nodes)
    assert told.startswith("site lab appears with 2 edge stores: e1 (a, b); e2 (c). ")
    assert sites.odd_edges([*nodes[:2], a_node("d", site="other", edge="e2")]) == []
