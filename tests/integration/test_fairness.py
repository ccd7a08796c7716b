"""Runs that share nodes: each gets its share of the slots' time, and a small one does not wait for a large one.

The test plays the nodes, in a time of its own: a chunk takes as long as the test says.
"""

from __future__ import annotations

import heapq
import json
import secrets
import signal
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cluster import celery_app, keys, settings
from cluster.coordinator.backlog import share
from cluster.coordinator.cancel import cancel
from cluster.ledger.lease import Lease, Split
from cluster.ledger.records import Commit, Worker
from cluster.ledger.row import RunPolicy
from cluster.messaging import delays, publish
from cluster.names import Partial, TaskId
from cluster.stores import Stores
from cluster.wire import ChunkEntry, task_id
from tests.kit.looking import begun
from tests.kit.programs import Worker as Node
from tests.kit.programs import cluster, start_cluster
from tests.kit.waiting import wait_until
from tests.unit.test_backlog import node

QUEUE = keys.queue("measure")
WORKER = Worker("worker@n1", "incarnation-of-n1")
Joins = Mapping[float, "Published"]
NOBODY: Joins = {}


class Published:
    """A run whose chunks take ``seconds`` each; its messages, of ``chunks_per_message`` chunks, are in its outbox."""

    def __init__(self, stores: Stores, chunks: int, seconds: float, chunks_per_message: int = 1) -> None:
        self.run, self.seconds, self._stores = f"measure-{secrets.token_hex(4)}", seconds, stores
        self.ended_s = 0.0
        self.coordinated = True
        stores.ledger.runs.create(self.run, "measure", "", {}, "test")
        self.lease = Lease.take(stores.ledger, self.run, "test", "splitter")
        entries = [
            ChunkEntry(batch=0, names=[str(at)], refs=[("", 1)], last=[True], data=[b"x"]) for at in range(chunks)
        ]
        self.lease.open_batch(Split(), entries, {}, 0)
        for first in range(0, chunks, chunks_per_message):
            last = min(first + chunks_per_message, chunks) - 1
            message = {"headers": {"id": f"{self.run}.{first}" + (f"-{last}" if last > first else "")}}
            stores.redis.lpush(keys.run(self.run, "outbox"), json.dumps(message))

    def lose_coordinator(self) -> None:
        """It is gone for so long that what it told holds no more."""
        self.coordinated = False
        self._stores.redis.hset(keys.run(self.run), "share_until_ms", 1)
        self._stores.redis.zrem(keys.WAITING, self.run)

    def begin(self, chunks: list[int]) -> list[Commit]:
        """What a node hands in when it has done those that it may begin."""
        claims = self._stores.ledger.chunks.claim(self.run, chunks, WORKER).of
        return [
            Commit(chunk, ChunkEntry.unpack(claim.entry), b"\0\xc0", {}, self.seconds)
            for chunk, claim in claims.items()
        ]


@pytest.fixture
def shared(stores: Stores) -> Iterator[Stores]:
    stores.redis.delete(QUEUE, keys.WAITING, keys.DUE)
    yield stores
    stores.redis.delete(QUEUE, keys.WAITING, keys.DUE)


def play(stores: Stores, runs: list[Published], slots: int, until_s: int, joins: Joins = NOBODY) -> dict[str, float]:
    """Let so many slots work; gives the seconds that each run had of them.

    Coordinators look every second, and each run in ``joins`` comes at its moment.
    """
    runs = list(runs)
    spent: dict[str, float] = defaultdict(float)
    others: dict[str, list[str]] = {run.run: [] for run in runs}
    events: list[tuple[float, int, Any]] = [(at, at, "look") for at in range(until_s)]
    for at_s, run in joins.items():
        heapq.heappush(events, (at_s, len(events), run))
    free, number, now_s = slots, len(events), 0.0
    while events and events[0][0] < until_s:
        before_s, (now_s, _, event) = now_s, heapq.heappop(events)
        for run in runs:  # its clock is Redis's
            if (due := stores.redis.hget(keys.run(run.run), "due_ms")) is not None:
                stores.redis.hset(keys.run(run.run), "due_ms", int(due) - int(1000 * (now_s - before_s)))
        if isinstance(event, Published):
            runs.append(event)
        elif event != "look":
            run, done = event
            stores.ledger.chunks.commit(run.run, done, WORKER)
            run.ended_s, free = now_s, free + 1
        if event == "look" or isinstance(event, Published):
            for run in filter(lambda run: run.coordinated, runs):
                mine, all_slots = share([node(slots, "measure")], "measure", others.get(run.run, []))
                others[run.run] = run.lease.feed(mine, all_slots)
        while free and (message := stores.redis.rpop(QUEUE)):
            about = TaskId.parse(task_id(message))  # type: ignore[arg-type]
            assert about is not None
            run = next(run for run in runs if run.run == about.run)
            chunks = [unit for unit in about.units if isinstance(unit, int)]
            done, free, number = run.begin(chunks), free - 1, number + 1
            took_s = run.seconds * len(done)
            spent[run.run] += took_s
            heapq.heappush(events, (now_s + took_s, number, (run, done)))
    return spent


@pytest.mark.parametrize("slots", [2, 6])
@pytest.mark.parametrize("seconds", [(0.1, 0.1, 0.1), (5.0, 0.1, 1.0)])
def test_three_runs_get_as_much_of_the_slots_time(seconds: tuple[float, ...], slots: int, shared: Stores) -> None:
    together = [max(1, round(0.5 / one)) for one in seconds]
    until_s = 60
    runs = [
        Published(shared, round(slots * until_s / one), one, number)
        for one, number in zip(seconds, together, strict=True)
    ]
    spent = play(shared, runs, slots, until_s)
    each = [spent[run.run] for run in runs]
    assert sum(each) > 0.95 * slots * until_s, "slots had nothing to do"
    assert max(each) < 1.5 * min(each), each


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_a_small_run_does_not_wait_for_a_large_one(slots: int, shared: Stores) -> None:
    large, small = Published(shared, 600 * slots, 0.1, 5), Published(shared, 4, 0.1)
    play(shared, [large], slots, 30, {10.3: small})
    assert 10.3 < small.ended_s < 10.3 + 4
    assert shared.redis.llen(QUEUE) <= 3 * slots


def test_a_run_whose_chunks_take_long_has_all_slots_to_itself(shared: Stores) -> None:
    run = Published(shared, 30, 10.0)
    assert play(shared, [run], 3, 90)[run.run] == 270


def test_a_run_that_nobody_coordinates_is_done_all_the_same(shared: Stores) -> None:
    run = Published(shared, 200, 5.0)
    run.lease.feed(0.5, 4)
    run.lose_coordinator()
    assert play(shared, [run], 4, 200)[run.run] > 700


def test_a_run_that_nobody_coordinates_leaves_others_their_share(shared: Stores) -> None:
    left, other = Published(shared, 1000, 0.1), Published(shared, 1000, 0.1)
    left.lease.feed(2, 2)
    left.lose_coordinator()
    spent = play(shared, [left, other], 2, 40)
    assert min(spent[left.run], spent[other.run]) > 0.25 * 2 * 40, spent


def test_what_is_published_before_the_coordinator_is_lost_is_done(shared: Stores, redis_url: str) -> None:
    run = Published(shared, 0, 1.0)
    with closing(celery_app.build(settings.load(broker_url=redis_url))) as app:
        publish.publish_batch(app, "measure", run.run, 0, [range(2)], RunPolicy())
    assert shared.redis.llen(QUEUE) == 0
    delays.release(shared.redis)
    assert shared.redis.llen(QUEUE) == 1


@pytest.mark.parametrize("joining", [False, True])
def test_a_run_whose_coordinator_is_lost_in_a_pause_goes_on(joining: bool, shared: Stores) -> None:
    redis, run = shared.redis, Published(shared, 5, 2.0)
    run.lease.feed(0.5, 1)
    for chunk in range(2):
        assert redis.rpop(QUEUE)
        shared.ledger.chunks.commit(run.run, run.begin([chunk]), WORKER)
        if joining:
            redis.hset(keys.run(run.run, "claims"), "partial 0:0", "1 incarnation node")
    redis.hdel(keys.run(run.run, "claims"), "partial 0:0")
    assert not redis.exists(QUEUE), "there is no pause"
    delays.release(redis)
    assert not redis.exists(QUEUE)
    run.lose_coordinator()
    redis.hset(keys.run(run.run), "due_ms", 1)
    redis.zadd(keys.DUE, {run.run: 1}, xx=True)
    redis.zadd(keys.DUE, {"of-nobody": 1})
    delays.release(redis)  # as nodes do with each heartbeat
    assert redis.llen(QUEUE) == 3
    assert not redis.exists(keys.DUE)


def test_what_a_node_rejects_makes_room_for_nothing_else(shared: Stores) -> None:
    redis, run = shared.redis, Published(shared, 20, 1.0)
    run.lease.feed(2, 2)
    for chunk in range(2):
        assert redis.rpop(QUEUE)
        run.begin([chunk])
        shared.ledger.chunks.reject(run.run, [chunk], WORKER, "it is too large")
    assert redis.llen(keys.run(run.run, "outbox")) == 18
    assert redis.pttl(keys.run(run.run, "queued")) > 0
    run.begin([0])  # its message came again
    assert redis.scard(keys.run(run.run, "queued")) == 1


def test_messages_that_cannot_be_read_do_not_hold_up_a_run(shared: Stores) -> None:
    run = Published(shared, 2, 1.0)
    outbox = keys.run(run.run, "outbox")
    for junk in ("", "[]", "7", '{"headers": 1}', '{"headers": {"id": "x.0-999"}}', "[" * 10_000):
        shared.redis.rpush(outbox, junk)
    run.lease.feed(2, 2)
    assert (shared.redis.llen(QUEUE), shared.redis.llen(outbox)) == (2, 0)


def test_odd_values_in_shared_keys_hold_up_no_run(shared: Stores) -> None:
    client, until_s = shared.redis, 10
    run, alone = Published(shared, 4, 1.0), Published(shared, 4, 1.0)
    alone.lose_coordinator()
    for odd in (keys.WAITING, keys.DUE, keys.DELAYED):
        client.set(odd, "odd")
    alone.begin([0])  # a claim feeds the run, with those keys as they are
    assert delays.release(client) == 0
    play(shared, [run, alone], 1, until_s)
    assert [shared.ledger.runs.progress(one.run).chunks_settled for one in (run, alone)] == [4, 4]


def test_runs_forged_as_waiting_take_no_share_for_long(shared: Stores) -> None:
    run = Published(shared, 100, 1.0)
    shared.redis.zadd(keys.WAITING, {f"forged-{at}": 1e15 for at in range(99)})
    shared.ledger.runs.create("forged-0", "measure", "", {}, "test")
    assert run.lease.feed(2, 2) == []
    assert shared.redis.zrange(keys.WAITING, 0, -1) == [run.run.encode()]


def test_parts_are_joined_before_further_chunks_are_begun(shared: Stores, redis_url: str) -> None:
    with closing(celery_app.build(settings.load(broker_url=redis_url))) as app:
        for chunk in range(3):
            publish.publish_chunk(app, "measure", "measure-1", chunk, RunPolicy().limits)
        publish.start_aggregate(app, "measure", "measure-1", Partial(0, 0), RunPolicy().limits)
    first: Any = shared.redis.rpop(QUEUE)
    assert task_id(first) == "measure-1.partial.0.0"


def test_messages_of_a_cancelled_run_go_with_it_wherever_they_are(shared: Stores, redis_url: str) -> None:
    run, other = Published(shared, 400, 1.0), Published(shared, 4, 1.0)
    for one in (run, other):
        one.lease.feed(4, 4)
    assert shared.redis.llen(QUEUE) == 8
    cancel(run.run, shared, "by another")
    with closing(celery_app.build(settings.load(broker_url=redis_url))) as app:
        publish.publish_batch(
            app, "measure", run.run, 1, [range(1)], RunPolicy()
        )  # by a coordinator that has not heard of it
    run.lease.feed(2, 2)
    waiting: Any = shared.redis.lrange(QUEUE, 0, -1)
    assert sorted(map(task_id, waiting)) == [f"{other.run}.{chunk}" for chunk in range(4)]
    assert not list(shared.redis.scan_iter(keys.run(run.run, "outbox")))
    assert not list(shared.redis.scan_iter(keys.run(run.run, "queued")))
    assert shared.redis.zrange(keys.WAITING, 0, -1) == [other.run.encode()]


@pytest.mark.slow
def test_a_small_run_overtakes_a_large_one_on_a_node(stores: Stores, redis_url: str, tmp_path: Path) -> None:
    sources = []
    for name, number in (("large", 600), ("small", 4)):
        sources.append(tmp_path / name)
        sources[-1].mkdir()
        for at in range(number):
            (sources[-1] / f"{at}.txt").write_text("x")
    submit = ("submit", "--job", "wait", "--seconds", "0.1", "--broker", redis_url)
    with Node("one", redis_url, tmp_path, "-c", "2"), start_cluster(*submit, sources[0]) as large:
        wait_until("the large one is under way", lambda: begun(stores, 40))
        began_s = time.monotonic()
        done = cluster(*submit, sources[1])
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - began_s < 12  # 3 on a machine that does nothing else; 25 behind all the others
        large.send_signal(signal.SIGINT)
        large.communicate(timeout=20)
        assert not stores.redis.llen(keys.queue("wait"))
