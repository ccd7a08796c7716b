"""A run that is paused begins nothing, and loses nothing: the steps of the ledger, with nodes that the test plays."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from celery import Celery

from cluster import keys, names, wire
from cluster.client import origin as origins
from cluster.client.origin import Begun, Origin
from cluster.client.session import whoami
from cluster.coordinator.pause import pause
from cluster.coordinator.supervise import Supervisor
from cluster.ledger import parts
from cluster.ledger.lease import Lease
from cluster.ledger.records import Claim, Commit
from cluster.messaging import publish
from cluster.stores import Stores
from cluster.wire import ChunkEntry
from tests.kit.played_rounds import PlayedRounds
from tests.kit.played_run import JOB, POLICY, Run, on
from tests.kit.programs import emptied
from tests.kit.waiting import wait_until

QUEUE = keys.queue("lengths")


@pytest.fixture
def empty(redis_url: str) -> Stores:
    return emptied(redis_url)


def commit(run: Run, chunk: int, claim: Claim) -> str:
    """Hand in a chunk that was claimed before."""
    entry = ChunkEntry.unpack(claim.entry)
    part = parts.INLINE + wire.pack(dict.fromkeys(entry.names, "done"))
    return run.stores.ledger.chunks.commit(run.run, [Commit(chunk, entry, part)], on("n1")).states[chunk]


def test_a_paused_run_begins_no_chunk_and_takes_those_under_way(stores: Stores) -> None:
    run = Run(stores, batch_chunks=3)
    begun = run.claim(0, "n1")
    assert stores.ledger.runs.pause(run.run, "by a test") == "running"
    assert run.claims([1, 2], "n2").state == "paused"
    assert run.do(1) == "paused"
    assert commit(run, 0, begun) == "settled now"
    assert (run.status.items_done, run.status.paused) == (1, "by a test")
    assert stores.ledger.runs.go_on(run.run, "pc:1")
    assert [run.do(1), run.do(2)] == ["settled now", "settled now"]
    assert run.status.paused is None
    assert [what for what, _ in run.events() if what in ("paused", "gone-on")] == ["paused", "gone-on"]


def test_pausing_twice_and_going_on_twice_changes_nothing_more(stores: Stores) -> None:
    run = Run(stores)
    assert [stores.ledger.runs.pause(run.run, why) for why in ("first", "again")] == ["running", "running"]
    assert run.status.paused == "first"
    assert [stores.ledger.runs.go_on(run.run, "pc:1") for _ in range(2)] == [True, False]


def test_a_run_that_is_over_is_not_paused(stores: Stores) -> None:
    run = Run(stores)
    stores.ledger.runs.stop(run.run, "cancelled", "by a test")
    assert stores.ledger.runs.pause(run.run, "late") == "cancelled"
    assert stores.ledger.runs.pause("nothing-1a2b3c4d", "late") == "unknown"


def test_a_run_whose_last_chunks_end_while_it_is_paused_is_done(stores: Stores) -> None:
    run = Run(stores)
    claims = [run.claim(chunk, "n1") for chunk in (0, 1)]
    run.end_split(2, 1)
    stores.ledger.runs.pause(run.run, "by a test")
    assert [commit(run, chunk, claim) for chunk, claim in enumerate(claims)] == ["settled now"] * 2
    assert run.aggregate(0, 0) == "aggregated now"
    assert (run.status.state, run.status.paused) == ("done", None)


def test_a_run_in_rounds_is_not_paused(stores: Stores) -> None:
    run = PlayedRounds(stores)
    assert stores.ledger.runs.pause(run.run, "by a test") == "in rounds"
    assert stores.ledger.runs.status(run.run).paused is None


def test_nothing_of_a_paused_run_reaches_the_queue(empty: Stores, app: Celery) -> None:
    run = Run(empty)
    publish.publish_batch(app, "lengths", run.run, 0, [range(1)], POLICY)
    run.lease.feed(4, 4)
    assert empty.redis.llen(QUEUE) == 1
    assert pause(run.run, empty, "by a test") == "running"
    assert empty.redis.llen(QUEUE) == 0
    publish.publish_batch(app, "lengths", run.run, 0, [range(1, 2)], POLICY)
    run.lease.feed(4, 4)
    assert empty.redis.llen(QUEUE) == 0
    empty.ledger.runs.go_on(run.run, "pc:1")
    assert empty.redis.llen(QUEUE) == 1


def test_a_supervisor_lets_go_of_a_paused_run_and_brings_back_its_messages(empty: Stores, app: Celery) -> None:
    run = Run(empty)
    run.lease.release()
    with Supervisor(app, JOB, run.run, empty, "pc:1", "supervisor"):
        wait_until("it has the run", lambda: run.status.coordinator)
        wait_until("both chunks have a message", lambda: empty.redis.llen(QUEUE) == 2)
        pause(run.run, empty, "by a test")
        wait_until("it lets go", lambda: not run.status.coordinator)
        assert empty.redis.llen(QUEUE) == 0
        empty.ledger.runs.go_on(run.run, "pc:2")
        wait_until("both chunks have a message again", lambda: empty.redis.llen(QUEUE) == 2)
    assert run.events().count(("redelivered", "0")) == 2


def test_the_same_command_finds_its_run_until_its_result_is_written(empty: Stores) -> None:
    runs = empty.ledger.runs
    for name, origin in (("a-1a2b3c4d", "one"), ("b-1a2b3c4d", "other"), ("c-1a2b3c4d", "one")):
        runs.create(name, "lengths", "", {}, "test", origin=origin, seen="all")
    assert list(runs.begun_by("one")) == ["c-1a2b3c4d", "a-1a2b3c4d"]
    runs.settle("c-1a2b3c4d")
    assert {run: row.seen for run, row in runs.begun_by("one").items()} == {"a-1a2b3c4d": "all"}
    runs.stop("a-1a2b3c4d", "cancelled", "")
    assert runs.begun_by("one") == {}


def test_a_run_is_held_by_the_living_process_that_reads_its_input(empty: Stores) -> None:
    runs, command = empty.ledger.runs, Origin("command", "input")
    runs.create("a-1a2b3c4d", "lengths", "", {}, "test", origin=command.command, seen=command.seen)
    lease = Lease.take(empty.ledger, "a-1a2b3c4d", whoami(), "splitter")
    assert (origins.held(runs, command), origins.find(runs, command)) == ("a-1a2b3c4d", None)
    assert origins.held(runs, command._replace(seen="another")) == ""
    lease.release()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    Lease.take(empty.ledger, "a-1a2b3c4d", names.process(socket.gethostname(), ended.pid), "splitter")
    assert origins.held(runs, command) == ""
    assert origins.find(runs, command) == Begun("a-1a2b3c4d", is_same_input=True)
    assert Lease.take(empty.ledger, "a-1a2b3c4d", whoami(), "splitter")  # it was freed
