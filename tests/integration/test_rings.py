"""Rounds in which nodes of a site do their shards together. The test plays the nodes; none needs PyTorch."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from pydantic import SecretStr

from cluster import keys, names
from cluster.coordinator import rounds
from cluster.stores import Stores
from cluster.worker.map_chunk import TryAgain
from tests.kit.driven import Driven
from tests.kit.nodes import a_report
from tests.kit.played_rounds import on
from tests.kit.played_run import CONFIG
from tests.kit.programs import admin
from tests.kit.waiting import wait_until

SHARDS = 3
NEAR = CONFIG.model_copy(
    update={"site": "lab", "lan": "allow", "broker_url": SecretStr("redis://127.0.0.1:6379/0")}
)  # fmt: skip
CONFIGS = {"first": NEAR, "second": NEAR, "far": CONFIG}


class Played:
    """A run of three shards, two of which are done by nodes of a site that let each other connect."""

    def __init__(self, app: Celery, stores: Stores) -> None:
        self.run = Driven(app, stores, shards=SHARDS, rounds=9, topology="ring")
        self.stores = stores
        told = a_report(jobs=["count-turns"], slots=1, site="lab", lan="127.0.0.1")
        for node in ("first", "second"):
            stores.nodes.heartbeat(on(node).node, secrets.token_hex(4), "here", told)
        self.run.driver.start()

    def do(self, chunk: int, node: str) -> Any:
        return self.run.do(chunk, node=node, config=CONFIGS[node], stays=True)

    def star(self) -> None:
        for chunk, node in enumerate(CONFIGS):
            assert self.do(chunk, node) == "settled now"
        self.run.closed(0)


@pytest.fixture
def played(app: Celery, stores: Stores) -> Iterator[Played]:
    found = Played(app, stores)
    found.star()
    yield found
    found.run.driver.stop(10)


def test_the_nodes_of_a_site_do_the_shards_of_the_last_round_together(played: Played) -> None:
    played.stores.ledger.rounds.tell_ring(played.run.run, 1, 0, "")
    assert [played.do(SHARDS + at, node) for at, node in enumerate(CONFIGS)] == ["settled now"] * SHARDS
    played.run.closed(1)
    row = played.run.rows[1]
    assert (row["topology"], row["alone"], row["parts"], row["late"]) == ("ring", {}, SHARDS, 0)
    assert set(played.run.counted.values()) == {1}


def test_a_row_names_the_shards_that_were_done_alone(played: Played, redis_url: str) -> None:
    played.stores.ledger.rounds.tell_ring(played.run.run, 1, 0, "the ring broke")
    left_s: Any = admin(redis_url).ttl(keys.ring(played.run.run, 1, 0))
    assert 0 < left_s <= 60
    for at, node in enumerate(CONFIGS):
        played.do(SHARDS + at, node)
    played.run.closed(1)
    assert played.run.rows[1]["alone"] == {"0": "the ring broke", "1": "the ring broke"}


def test_seats_are_for_nodes_of_the_site_until_these_had_time(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    chunks = played.stores.ledger.chunks
    assert isinstance(played.do(SHARDS, "far"), TryAgain)
    assert chunks.waiting(played.run.run, []) == {SHARDS + 2}
    assert chunks.waiting(played.run.run, [names.ring_place("lab")]) == {SHARDS, SHARDS + 1, SHARDS + 2}
    monkeypatch.setattr(rounds, "SEATS_S", 0.0)
    wait_until("others may", lambda: len(chunks.waiting(played.run.run, [])) == SHARDS, 10)
    assert [played.do(SHARDS + at, "far") for at in range(SHARDS)] == ["settled now"] * SHARDS
    played.run.closed(1)
    why = "its node is none of the site, or lets no other connect"
    assert played.run.rows[1]["alone"] == {"0": why, "1": why}
    # Who did no shard in a round has no seat in the next one.
    for at in range(SHARDS):
        played.do(2 * SHARDS + at, "far")
    played.run.closed(2)
    assert played.run.rows[2]["topology"] == "star"
