"""Slots that stay for a run in rounds: what they do without a message is never lost, and they leave in time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery

from cluster import keys
from cluster.coordinator import lost_messages
from cluster.job import Job
from cluster.ledger.row import Limits
from cluster.messaging import publish
from cluster.names import Unit
from cluster.stores import Stores
from cluster.wire import MapMessage
from cluster.worker import stay
from cluster.worker.tasks import Delivery, Node, chunks_cut_short, chunks_timed_out, map_chunks
from tasks import Turn
from tests.kit.jobs.cluster_testturns import COUNT_TURNS
from tests.kit.nodes import a_report
from tests.kit.played_rounds import PlayedRounds, on
from tests.kit.played_run import CONFIG

Ended = Callable[[Node, MapMessage], None]


def node(stores: Stores, job: Job = COUNT_TURNS) -> Node:
    found = Node(None, CONFIG, lambda name, version: job)
    found.stores = stores
    return found


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Unit]:
    """The chunks that get a message, in this order."""
    found: list[Unit] = []
    monkeypatch.setattr(publish, "publish_chunk", lambda app, requirement, run, chunk, limits: found.append(chunk))
    return found


def hold(stores: Stores, run: PlayedRounds, chunk: int) -> None:
    """The node ``n1`` holds the message of a chunk."""
    message = json.dumps([{"headers": {"id": f"{run.run}.{chunk}"}}, "", ""])
    stores.redis.hset(keys.unacked(on("n1").incarnation), f"tag {chunk}", message)


@pytest.mark.parametrize(
    "ended",
    [
        lambda here, message: chunks_cut_short(here, message, "killed", "kill -9", on("n1")),
        lambda here, message: chunks_timed_out(here, message, "took too long", on("n1")),
    ],
)
@pytest.mark.parametrize("stayed_for", [0, 2])
def test_what_a_dead_slot_stayed_for_is_published_again(
    stayed_for: int, ended: Ended, stores: Stores, published: list[Unit]
) -> None:
    run = PlayedRounds(stores)
    run.do(1)
    stores.ledger.rounds.stay(run.run, 1, stayed_for)
    run.claim(stayed_for)
    ended(node(stores), MapMessage(run=run.run, chunks=[1]))
    assert published == [stayed_for]
    claim = run.claim(stayed_for)
    assert (claim.state, claim.attempts.killed) == ("claimed", 1)
    assert run.claim(stayed_for).state == "claimed"  # handed back, it comes again: no dead slot counts as being at it


@pytest.mark.parametrize("place", ["the node", "the queue", "nowhere"])
def test_a_claim_whose_node_holds_no_message_is_redelivered(
    place: str, stores: Stores, app: Celery, published: list[Unit], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = PlayedRounds(stores)
    worker = on("n1")
    stores.nodes.heartbeat(worker.node, worker.incarnation, "here", a_report())
    run.do(1)
    stores.ledger.rounds.stay(run.run, 1, 0)
    run.claim(0)
    run.claim(2)
    hold(stores, run, 2)
    if place == "the node":
        hold(stores, run, 1)
    if place == "the queue":  # the node was lost; no slot that stays looks there
        stores.redis.lpush(keys.queue("no-such"), json.dumps({"headers": {"id": f"{run.run}.1"}}))
    monkeypatch.setattr(lost_messages, "MISSING_S", 0.0)
    lost_messages.redeliver(app, stores, run.lease, lost_messages.Search(), "no-such", Limits(1, 2))
    assert published == ([] if place == "the node" else [0])
    assert run.claim(0, "n2").state == ("taken" if place == "the node" else "claimed")


def slot(run: PlayedRounds) -> stay.Slot:
    """Of ``n1``, which holds its message, that of chunk 0."""
    worker = on("n1")
    run.stores.nodes.heartbeat(worker.node, worker.incarnation, "here", a_report())
    hold(run.stores, run, 0)
    return stay.Slot(node(run.stores), MapMessage(run=run.run, chunks=[0]), Delivery("rounds", worker))


def test_a_slot_leaves_when_others_have_its_message(stores: Stores) -> None:
    run = PlayedRounds(stores)
    assert slot(run).stays()
    here = slot(run)
    stores.redis.unlink(keys.unacked(on("n1").incarnation))
    assert not here.stays()


def test_a_slot_leaves_a_run_that_was_stopped(stores: Stores) -> None:
    run = PlayedRounds(stores)
    here = slot(run)
    stores.ledger.runs.stop(run.run, "cancelled", "")
    assert not here.stays()


@pytest.mark.parametrize("error", [ValueError("bad"), redis.exceptions.OutOfMemoryError("full")])
def test_a_stayed_turn_that_fails_leaves_no_claim(
    error: Exception, stores: Stores, app: Celery, published: list[Unit], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = PlayedRounds(stores)
    stores.blobs.put(keys.view_scope(run.run, 0), [b"0"])
    slot(run)
    done: list[int] = []

    def task(turn: Turn) -> dict[str, Any]:
        done.append(turn.shard)
        if len(done) > 1:
            raise error
        return {"base": turn.base, "at": "0:0", "view": [], "turns": 1}

    here = node(stores, dataclasses.replace(COUNT_TURNS, task=task, options=()))
    came, message = Delivery("rounds", on("n1")), MapMessage(run=run.run, chunks=[0])
    if isinstance(error, ValueError):
        assert "bad" in str(map_chunks(here, message, came))
    else:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            map_chunks(here, message, came)
        stores.redis.unlink(keys.unacked(on("n1").incarnation))  # it goes back, and is dropped: its chunk is settled
        monkeypatch.setattr(lost_messages, "MISSING_S", 0.0)
        lost_messages.redeliver(app, stores, run.lease, lost_messages.Search(), "no-such", Limits(1, 2))
    assert len(done) == 2
    assert done[1] in published
    assert run.claim(done[1], "n2").state == "claimed"
