"""The shape of the next round, chosen by what nodes tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aggregators import Step
from cluster.blobs import Ref
from cluster.coordinator import shapes
from cluster.coordinator.deadline import ARRIVALS, JoinDeadline
from cluster.coordinator.round_parts import Got, Noted, Together
from cluster.coordinator.shapes import Shapes
from cluster.coordinator.standing import STAR, Open, Shape, Standing
from cluster.ledger.row import RunRow
from cluster.nodes.registry import Links, Node
from cluster.wire import Ring, View
from tests.kit.jobs.cluster_testturns import COUNT_TURNS
from tests.kit.nodes import a_node

STEP = Step({}, b"", whole=True, kind="train", row={"steps": 100})
NODES = {0: "a", 1: "b", 2: "c", 3: "d"}
SLOW, FAST = Links(up_bytes_s=1e5, down_bytes_s=1e6, rtt_s=0.02), Links(up_bytes_s=1e8, down_bytes_s=1e8)


def site(edges: str = "eeee", up: Links = SLOW) -> list[Node]:
    return [
        a_node(name, site="lab", edge=edge.strip(), links=up, edge_links=FAST)
        for name, edge in zip("abcd", edges, strict=True)
    ]


class Chosen:
    """A driver's choices, round by round."""

    def __init__(self, nodes: list[Node], **options: Any) -> None:
        row: Any = RunRow(options=options)
        stores: Any = SimpleNamespace(nodes=SimpleNamespace(nodes=lambda: nodes))
        self.shapes = Shapes(COUNT_TURNS, stores, row)
        self.shape = STAR
        self.round = 0

    def next(self, **got: Any) -> Shape:
        standing = Standing(self.round, 4, "train", None, 1.0, False, (View(0, True, "c" * 64, 44_000),))
        batch = Open(self.round, 0, (0, 1, 2, 3), 0, 20_000, 0, self.shape)
        parts: Any = {"sizes_bytes": dict.fromkeys(range(4), 400_000), "values": dict.fromkeys(range(4)), **got}
        known = {"odd": {}, "given_up": {}, "times": {}, "staying": True, "chunks": (), **parts}
        self.shape = self.shapes.choose(standing, batch, Got(**known), NODES, STEP)
        self.round += 1
        return self.shape


@pytest.mark.parametrize("given", ["auto", "star"])
def test_without_sites_a_run_is_a_star_and_says_nothing(given: str) -> None:
    assert Chosen(site("    "), topology=given).next() == STAR
    assert Chosen(site()).next() == STAR


def test_a_tree_that_is_asked_for_begins_at_once() -> None:
    shape = Chosen(site(), topology="tree").next()
    assert shape == Shape("tree", "as given", ("e",), ("lab",), join_s=shape.join_s)
    assert shape.join_s > 1  # its link takes a second for the joined part


def test_a_site_with_a_slow_link_has_time_for_its_join() -> None:
    deadline = JoinDeadline()
    for _ in range(ARRIVALS):
        deadline.learn(0.7)  # as those of others take
    assert deadline.seconds(0.5) < 2 * 6.6
    assert deadline.seconds(6.6) > 2 * 6.6


def test_a_tree_without_a_store_is_a_star_that_says_why() -> None:
    shape = Chosen(site("    "), topology="tree").next()
    assert (shape.name, shape.edges) == ("star", ())
    assert "one edge store" in shape.why


def test_a_site_with_two_stores_goes_by_a_star() -> None:
    assert Chosen(site("eeff"), topology="tree").next().name == "star"


def test_auto_takes_a_tree_once_it_was_faster_for_five_rounds() -> None:
    chosen = Chosen(site(), topology="auto")
    assert [chosen.next().name for _ in range(5)] == ["star"] * 4 + ["tree"]
    assert chosen.next().edges == ("e",)
    assert Chosen(site(up=FAST), topology="auto").next().name == "star"


def test_a_store_that_failed_is_spared_for_some_rounds() -> None:
    chosen = Chosen(site(), topology="tree")
    lost = chosen.next(lost_edges={"e": "its disk is full"})
    assert (lost.name, lost.edges) == ("star", ())
    assert lost.why.endswith(f"site lab is spared until round {1 + shapes.SPARED_ROUNDS}: its disk is full")
    names = [chosen.next().name for _ in range(shapes.SPARED_ROUNDS)]
    assert names == ["star"] * (shapes.SPARED_ROUNDS - 1) + ["tree"]


def test_a_site_whose_nodes_formed_no_ring_is_spared_for_some_rounds() -> None:
    near = [a_node(name, site="lab", lan="10.0.0.1", slots=1) for name in "abcd"]
    chosen = Chosen(near, topology="ring")
    assert chosen.next() == Shape("ring", "as given", sites=("lab",), rings=(Ring("lab", [0, 1, 2, 3]),))
    alone = {shard: Together(1, "seat 0 did not say where it waits") for shard in range(4)}
    lost = chosen.next(rings=alone)
    assert (lost.name, lost.rings) == ("star", ())
    assert lost.why.endswith("its nodes formed no ring: seat 0 did not say where it waits")
    names = [chosen.next().name for _ in range(shapes.SPARED_ROUNDS)]
    assert names == ["star"] * (shapes.SPARED_ROUNDS - 1) + ["ring"]


def test_the_end_of_a_run_and_shards_apart_have_no_shape() -> None:
    chosen = Chosen(site(), topology="tree")
    standing = Standing(0, 4, "train", None, 1.0, False, (View(0, True, "c" * 64, 9),))
    batch = Open(0, 0, (0,), 0, 0, 0)
    got = Got({}, {}, {}, {}, {}, False, ())
    for step in (STEP._replace(apart=True), STEP._replace(kind="")):
        assert chosen.shapes.choose(standing, batch, got, {}, step) == STAR


def test_parts_in_a_store_count_with_their_own_size() -> None:
    noted = {shard: Noted("e", Ref("c" * 64, 400_000)) for shard in range(4)}
    few = Chosen(site(), topology="auto")
    few.shape = Shape("tree", "", ("e",), ("lab",))
    kept = few.next(sizes_bytes=dict.fromkeys(range(4), 300), noted=noted)
    assert kept.name == "tree"
