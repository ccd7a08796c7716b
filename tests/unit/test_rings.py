"""Which shards are done together, and what the ledger tells a node of that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from pydantic import SecretStr

from cluster.coordinator import rings
from cluster.coordinator.round_parts import Got, Together
from cluster.coordinator.standing import Open, Shape
from cluster.settings import Settings
from cluster.wire import ChunkEntry, Ring, TurnEntry, View
from cluster.worker import edge, seats
from tests.kit.nodes import a_node

RING = Ring("lab", [0, 2])
NODES = [a_node(name, site="lab", lan="10.0.0.1", slots=2) for name in "abc"]
NODES += [a_node("d", site="lab", slots=2), a_node("e", site="home", lan="10.0.0.2", slots=2)]


def entry(shard: int, ring: Ring | None = RING) -> TurnEntry:
    view = View(0, True, "c" * 64, 9)
    return TurnEntry(round=1, shard=shard, shards=3, kind="train", seconds=None, base="0", views=[view], ring=ring)


def config(**given: Any) -> Settings:
    return Settings(broker_url=SecretStr("redis://127.0.0.1:6379/0"), site="lab", **given)


@pytest.mark.parametrize(
    ("done_by", "found"),
    [
        ({0: "a", 1: "b", 2: "a", 3: "d", 4: "e"}, [0, 1, 2]),
        ({0: "a", 1: "b", 2: "a", 3: "a", 4: "c"}, [1, 4]),  # a has more shards than slots
        ({0: "a", 1: "a"}, []),
        ({0: "d", 1: "e", 2: "a"}, []),
        ({}, []),
    ],
)
def test_a_ring_has_the_shards_of_nodes_that_may(done_by: dict[int, str], found: list[int]) -> None:
    expected = (Ring("lab", found),) if found else ()
    assert rings.of(("lab", "home"), NODES, done_by) == expected
    assert rings.of(("home",), NODES, done_by) == ()


def test_a_ring_that_broke_did_form_and_one_that_did_not_failed() -> None:
    batch = Open(0, 0, (0, 1, 2), 0, 0, 0, Shape("ring", rings=(RING,)))
    got = Got({}, {}, {}, {}, {}, False, (), rings={0: Together(1, "nobody came"), 2: Together(1, "late")})
    assert rings.failed(batch, got) == {"lab": "its nodes formed no ring: nobody came"}
    assert rings.failed(batch, got._replace(rings={**got.rings, 2: Together(2, "the ring broke")})) == {}
    assert rings.failed(batch, got._replace(rings={})) == {}


def test_rings_come_back_from_the_ledger_as_they_went() -> None:
    batch = Open(3, 9, (0, 1, 2), 4, 100, 5, Shape("ring", "as given", sites=("lab",), rings=(RING,)))
    assert Open.unpack(batch.packed()) == batch
    chunk = ChunkEntry(names=["one"], refs=[], last=[False], batch=0, turn=entry(2))
    assert ChunkEntry.unpack(chunk.pack()) == chunk


def test_a_shard_must_be_among_those_of_its_ring() -> None:
    with pytest.raises(pydantic.ValidationError, match="shard 1 is not among those"):
        entry(1)


def test_a_node_has_a_seat_where_its_owner_lets_others_connect() -> None:
    told: dict[str, Any] = {}
    rounds: Any = SimpleNamespace(tell_ring=print, ring=print)
    seat = seats.of("run", entry(2), config(lan="allow"), rounds, told)
    assert seat is not None
    assert (seat.number, seat.shards, seat.host) == (1, (0, 2), "127.0.0.1")
    seat.report(1, "nobody came")
    assert told == {"ring": [1, "nobody came"]}
    assert seats.of("run", entry(2), config(), rounds, told) is None
    assert seats.of("run", entry(2, Ring("home", [0, 2])), config(lan="allow"), rounds, told) is None
    assert seats.of("run", entry(2, None), config(lan="allow"), rounds, told) is None


def test_only_nodes_that_let_others_connect_have_the_place_of_a_ring() -> None:
    assert edge.places(config(lan="allow")) == ["ring:lab"]
    assert edge.places(config()) == []
