"""Which shard a slot that stays goes on with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cluster.wire import MapMessage
from cluster.worker import stay, turns


@pytest.fixture
def slot(monkeypatch: pytest.MonkeyPatch) -> stay.Slot:
    """A slot that did shards 0 and 1 in round 7, and shard 2 in round 5. Chunks 40 to 43 are shards 0 to 3."""
    monkeypatch.setitem(turns._seen, "r-1", SimpleNamespace(rounds={0: 7, 1: 7, 2: 5}))
    made = stay.Slot(None, MapMessage(run="r-1", chunks=[36]), None)  # type: ignore[arg-type]
    made._shard_of = {40 + shard: shard for shard in range(4)}
    return made


def chosen(slot: stay.Slot, waiting: set[int]) -> set[int]:
    """All that it may choose; by chance one of them is left out once in 10^15 times."""
    return {slot._choose(waiting) for _ in range(100)}


def test_a_slot_goes_on_with_the_shards_it_did_last(slot: stay.Slot) -> None:
    assert chosen(slot, {40, 41, 42, 43}) == {40, 41}


def test_a_slot_takes_an_older_shard_of_its_own_before_a_strange_one(slot: stay.Slot) -> None:
    assert chosen(slot, {42, 43}) == {42}


def test_a_slot_takes_any_shard_when_its_own_are_taken(slot: stay.Slot) -> None:
    assert chosen(slot, {43, 44}) == {43, 44}
