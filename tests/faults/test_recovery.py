"""Machines die, freeze and come back: nothing is lost, nothing counts twice, and it does not take long."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import kombu.exceptions
import psutil
import pytest

from cluster import catalog, celery_app, keys, settings
from cluster.client import session
from cluster.coordinator import pace
from cluster.ledger import parts
from cluster.ledger.row import RunPolicy
from cluster.messaging import held, publish
from cluster.stores import Stores
from cluster.worker import map_chunk
from splitters import Chunk
from tests.kit import sessions
from tests.kit.looking import begun, no_message_is_left, published
from tests.kit.programs import Worker, admin, cluster, emptied, start_cluster
from tests.kit.waiting import wait_until

KILLED_S = 2.0
SILENT_S = 6.0
TAKEN_S = 10.0
SLACK_S = 10.0
"""This machine may be busy with other things; the battle test measures without."""


@pytest.fixture
def stores(broker: str) -> Stores:
    return emptied(broker)


def texts(folder: Path, number: int, text: str = "") -> Path:
    folder.mkdir()
    for at in range(number):
        (folder / f"{at:03}.txt").write_text(text or "x" * at)
    return folder


def working_on(stores: Stores, run: str, node: str) -> list[int]:
    return [found.chunk for found in stores.ledger.chunks.running(run) if found.worker.node == node]


def exact(stores: Stores, run: str, done: Any, source: Path) -> None:
    """The answer is that of ``run_locally``, and the ledger's sums agree."""
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == catalog.get("measure").run_locally(source)
    found = stores.ledger.runs.status(run)
    assert sum(found.nodes.values()) == found.chunks_settled == found.chunks_total


def told(stores: Stores, run: str, event: str) -> list[str]:
    return [found.chunk for found in stores.ledger.runs.events(run) if found.event == event]


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_a_lost_node_was_doing_is_soon_done_elsewhere(
    end: str, broker: str, tmp_path: Path, stores: Stores
) -> None:
    source = texts(tmp_path / "in", 40)
    with (
        Worker("a", broker, tmp_path, "-c", "2") as lost,
        Worker("b", broker, tmp_path, "-c", "2"),
        start_cluster("submit", "--job", "measure", "--seconds", "0.5", source, "--broker", broker) as submit,
    ):
        run = wait_until("it has begun", lambda: begun(stores, 4))
        held = lost.stop_when("the node works", lambda: working_on(stores, run, "a@test"))
        at = time.monotonic()
        if end == "kill":
            lost.kill()
        limit_s = (KILLED_S if end == "kill" else SILENT_S) + SLACK_S
        wait_until("they are taken from it", lambda: not working_on(stores, run, "a@test"), timeout_s=limit_s)
        print(f"handed over after {time.monotonic() - at:.2f} s: {held}")
        if end == "stop":
            wait_until("one is begun elsewhere", lambda: {*held} & {*working_on(stores, run, "b@test")})
            lost.send(signal.SIGCONT)  # it commits late
        out, err = submit.communicate(timeout=60)
    assert submit.returncode == 0, err
    assert json.loads(out) == catalog.get("measure").run_locally(source)
    found = stores.ledger.runs.status(run)
    assert sum(found.nodes.values()) == found.chunks_settled == found.chunks_total == 40
    assert found.duplicates >= (end == "stop")
    assert set(told(stores, run, "lost")) >= set(map(str, held))


@pytest.mark.parametrize("lost", [1, 4])
def test_a_message_that_was_popped_and_not_recorded_is_redelivered(
    lost: int, broker: str, tmp_path: Path, stores: Stores
) -> None:
    """As a node does that dies in between, and a worker that was started with -Q and does not know the job."""
    source = texts(tmp_path / "in", 4)
    queue = keys.queue("measure")
    with start_cluster("submit", "--job", "measure", source, "--broker", broker) as submit:
        run = wait_until("all is published", lambda: published(stores, 4))
        wait_until("one is in the queue", lambda: stores.redis.llen(queue))
        stores.redis.rpop(queue)
        for _ in range(lost - 1):
            stores.redis.rpop(keys.run(run, "outbox"))
        with Worker("late", broker, tmp_path, "-c", "2"):
            out, err = submit.communicate(timeout=60)
    assert submit.returncode == 0, err
    assert json.loads(out) == catalog.get("measure").run_locally(source)
    assert len(told(stores, run, "redelivered")) >= lost


def test_tiny_chunks_travel_together_and_a_bad_one_harms_no_other(
    broker: str, tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "LEARN_S", 20.0)
    source, job = texts(tmp_path / "in", 400), catalog.get("measure")
    (source / "100.txt").write_text("kill always")
    (source / "200.txt").write_text("kill once")
    (source / "300.txt").write_text("fail once")
    options = job.check_options({"trace": str(tmp_path / "trace")})
    config = settings.load(broker_url=broker, retry_delay_s=0.1)
    with (
        Worker("one", broker, tmp_path, "-c", "2", CLUSTER_TASK_EVENTS="1") as worker,
        sessions.opened(config, job, options) as opened,
    ):
        run = opened.start(job, options)
        assert opened.coordinate(job, run, session.Input(job, [source], options), lambda: None) == "done"
        [told] = opened.app.control.inspect(timeout=5).stats().values()
    found = stores.ledger.runs.status(run)
    [failure] = found.failures
    assert (failure.item, found.chunks_settled) == ("100.txt", 400)
    assert "process was ended 3 times" in failure.reason
    answer = job.result(parts.of_run(run, job, stores), options)
    assert answer == {path.name: str(path.stat().st_size) for path in source.iterdir() if path.name != "100.txt"}
    assert told["total"]["cluster.measure"] < 200, worker.text()


def test_who_died_while_he_gave_back_what_a_node_held_holds_up_nobody(broker: str, stores: Stores) -> None:
    client, queue = stores.redis, keys.queue("measure")
    with closing(celery_app.build(settings.load(broker_url=broker))) as app:
        publish.publish_chunk(app, "measure", "measure-1", 0, RunPolicy().limits)
        taken: Any = client.rpop(queue)
        client.hset(keys.unacked("gone"), "tag", json.dumps([json.loads(taken), "", queue]))
        client.zadd(keys.unacked("gone") + ":index", {"tag": time.time()})
        client.set(keys.unacked("gone") + ":restore", "his lock", px=10_000)
        held.restore(app, "gone")
    assert client.llen(queue) == 1
    assert stores.nodes.held("gone") == []


def test_a_message_whose_note_came_late_goes_back_although_its_node_lives(
    broker: str, tmp_path: Path, stores: Stores
) -> None:
    """The node gave up the connection while it noted what it had taken; Redis got the note afterwards."""
    source = texts(tmp_path / "in", 12)
    client, queue = stores.redis, keys.queue("measure")
    with Worker("alive", broker, tmp_path, "-c", "1"):
        [incarnation] = wait_until("the node is known", stores.nodes.incarnations)
        short = ("--chunk-size", "1", "--seconds", "0.2")  # so that some of them wait in the queue
        with start_cluster("submit", "--job", "measure", *short, source, "--broker", broker) as submit:
            taken: Any = wait_until("one waits", lambda: client.rpop(queue))
            note = json.dumps([json.loads(taken), "", queue])
            client.hset(keys.unacked(incarnation.id), "late", note)
            client.zadd(keys.unacked(incarnation.id) + ":index", {"late": time.time()})
            out, err = submit.communicate(timeout=60)
        wait_until("the node holds nothing", lambda: not stores.nodes.held(incarnation.id))
    assert submit.returncode == 0, err
    assert json.loads(out) == catalog.get("measure").run_locally(source)


def test_a_batch_that_could_not_be_published_is_found_missing(
    broker: str, tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_batch = publish.publish_batch
    lost: list[int] = []

    def refuse_first(app: Any, requirement: str, run: str, batch: int, messages: list[range], *more: Any) -> None:
        if not lost:
            lost.extend(chunk for message in messages for chunk in message)
            raise kombu.exceptions.OperationalError("not now")
        publish_batch(app, requirement, run, batch, messages, *more)

    monkeypatch.setattr(publish, "publish_batch", refuse_first)
    source, job = texts(tmp_path / "in", 12), catalog.get("measure")
    options = job.check_options({"chunk_size": 1})
    with (
        Worker("a", broker, tmp_path, "-c", "2"),
        sessions.opened(settings.load(broker_url=broker), job, options) as opened,
    ):
        run = opened.start(job, options)
        assert opened.coordinate(job, run, session.Input(job, [source], options), lambda: None) == "done"
    assert stores.ledger.runs.status(run).chunks_settled == 12
    assert set(told(stores, run, "redelivered")) >= set(map(str, lost))


def test_what_travels_behind_long_chunks_is_taken_by_others(
    broker: str, tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace.Pace, "messages", lambda self, chunks, *, last: [chunks])
    source, trace, job = texts(tmp_path / "in", 8), tmp_path / "trace", catalog.get("measure")
    options = job.check_options({"seconds": 1.25 * map_chunk.LONG_S, "trace": str(trace)})
    with (
        Worker("a", broker, tmp_path, "-c", "4"),
        sessions.opened(settings.load(broker_url=broker), job, options) as opened,
    ):
        run = opened.start(job, options)
        assert opened.coordinate(job, run, session.Input(job, [source], options), lambda: None) == "done"
    found = stores.ledger.runs.status(run)
    assert (found.chunks_settled, found.retries, found.failures) == (8, 0, [])
    assert told(stores, run, "redelivered") == []
    by = dict(line.split() for line in trace.read_text().splitlines())
    for batch in (range(4), range(4, 8)):
        assert len({by[f"{chunk:03}.txt"] for chunk in batch}) > 1, by


def test_a_lone_child_that_is_killed_costs_its_chunk_one_try(broker: str, tmp_path: Path, stores: Stores) -> None:
    source = texts(tmp_path / "in", 12)
    with (
        Worker("a", broker, tmp_path, "-c", "2") as worker,
        start_cluster("submit", "--job", "measure", "--seconds", "0.5", source, "--broker", broker) as submit,
    ):
        run = wait_until("it has begun", lambda: begun(stores, 2))
        wait_until("the node works", lambda: working_on(stores, run, "a@test"))
        psutil.Process(worker.process.pid).children()[0].kill()
        out, err = submit.communicate(timeout=60)
    assert submit.returncode == 0, err
    assert json.loads(out) == catalog.get("measure").run_locally(source)
    assert len(told(stores, run, "killed")) <= 1
    assert stores.ledger.runs.status(run).failures == []


@pytest.mark.alone
def test_a_master_takes_a_run_whose_submitter_is_gone_and_loses_nothing(
    broker: str, tmp_path: Path, stores: Stores
) -> None:
    source = texts(tmp_path / "in", 24)
    with (
        Worker("a", broker, tmp_path, "-c", "1") as lost,
        Worker("b", broker, tmp_path, "-c", "1"),
        start_cluster("master", "--broker", broker) as master,
    ):
        wait_until("the master is at work", lambda: stores.redis.exists(keys.DETECTOR))
        with start_cluster("submit", "--job", "measure", "--seconds", "1", source, "--broker", broker) as submit:
            run = wait_until("all is published", lambda: published(stores, 24))
            wait_until("it is being worked on", lambda: begun(stores))
            before = stores.ledger.runs.status(run).coordinator
            submit.kill()
        wait_until(
            "the master has it",
            lambda: stores.ledger.runs.status(run).coordinator not in (before, None),
            timeout_s=TAKEN_S,
        )
        lost.stop_when("the node works", lambda: working_on(stores, run, "a@test"))
        lost.kill()
        done = cluster("result", run, "--wait", "--broker", broker)
        master.send_signal(signal.SIGINT)
        _, err = master.communicate(timeout=20)
    assert master.returncode == 0, err
    exact(stores, run, done, source)
    assert told(stores, run, "lost")


def test_a_stopped_master_asks_the_nodes_to_stop_first(broker: str, tmp_path: Path, stores: Stores) -> None:
    with Worker("a", broker, tmp_path, "-c", "1") as worker:
        with start_cluster("master", "--shutdown-nodes", "--broker", broker) as master:
            wait_until("it watches the nodes", lambda: stores.redis.exists(keys.DETECTOR))
            master.send_signal(signal.SIGTERM)
            _, err = master.communicate(timeout=30)
        assert master.returncode == 0, err
        assert "a@test: stops" in err
        worker.process.wait(timeout=20)


def test_a_run_whose_input_was_still_being_read_goes_on_where_it_was(
    broker: str, tmp_path: Path, stores: Stores
) -> None:
    """Its submitter dies when it has entered chunks and not published them: nobody does these before it is resumed."""
    source = texts(tmp_path / "in", 60)
    trace = tmp_path / "trace"
    limits = {"CLUSTER_MAX_IN_FLIGHT_CHUNKS": "8", "CLUSTER_BATCH_CHUNKS": "4", "CLUSTER_TEST_DIE_BEFORE_BATCH": "2"}
    arguments = ("submit", "--job", "measure", "--seconds", "0.1", "--trace", trace, source, "--broker", broker)
    with Worker("a", broker, tmp_path, "-c", "2"):
        with start_cluster(*arguments, settings=limits) as submit:
            run = wait_until("it has begun", lambda: begun(stores, 6))
            assert submit.wait(timeout=20) == -signal.SIGKILL
        early = cluster("resume", run, "--broker", broker)
        assert early.returncode == 2
        assert "was not read to its end" in early.stderr
        wait_until("what was published is done", lambda: no_message_is_left(stores, run))
        assert stores.ledger.chunks.unsettled(run)
        wait_until("nobody has it", lambda: stores.ledger.runs.status(run).coordinator is None, timeout_s=10)
        assert f"cluster resume {run} INPUT" in cluster("status", run, "--broker", broker).stdout
        other = texts(tmp_path / "other", 61)
        (other / "000.txt").write_text("not the same")
        wrong = cluster("resume", run, other, "--broker", broker)
        assert wrong.returncode == 2, wrong.stderr
        assert "not the input" in wrong.stderr
        done = cluster("resume", run, source, "--broker", broker)
        again = cluster("resume", run, source, "--broker", broker)
    exact(stores, run, done, source)
    assert len(trace.read_text().splitlines()) == 60  # nothing was done a second time
    assert (again.returncode, again.stdout) == (0, done.stdout)


@pytest.mark.slow
def test_a_submitter_that_slept_goes_on_although_a_master_has_taken_its_run(
    broker: str, tmp_path: Path, stores: Stores
) -> None:
    source = texts(tmp_path / "in", 80)
    limits = {"CLUSTER_MAX_IN_FLIGHT_CHUNKS": "8", "CLUSTER_BATCH_CHUNKS": "4"}
    arguments = ("submit", "--job", "measure", "--seconds", "0.1", source, "--broker", broker)
    with Worker("a", broker, tmp_path, "-c", "2"), start_cluster("master", "--broker", broker) as master:
        with start_cluster(*arguments, settings=limits) as submit:
            run = wait_until("it has begun", lambda: begun(stores, 6))
            before = stores.ledger.runs.status(run).coordinator
            submit.send_signal(signal.SIGSTOP)
            wait_until("the master has it", lambda: stores.ledger.runs.status(run).coordinator not in (before, None))
            submit.send_signal(signal.SIGCONT)
            out, err = submit.communicate(timeout=60)
        master.terminate()
        master.communicate(timeout=20)
    assert submit.returncode == 0, err
    assert json.loads(out) == catalog.get("measure").run_locally(source)
    owners = [found.node for found in stores.ledger.runs.events(run) if found.event == "coordinator"]
    assert owners[0] == before
    assert len(owners) >= 3


@pytest.mark.slow
def test_near_the_end_a_slow_nodes_chunk_is_begun_elsewhere(broker: str, tmp_path: Path, stores: Stores) -> None:
    source = texts(tmp_path / "in", 24)
    with (
        Worker("slow", broker, tmp_path, "-c", "1", CLUSTER_TEST_SLOWER="40"),
        Worker("fast", broker, tmp_path, "-c", "2"),
    ):
        done = cluster("submit", "--job", "measure", "--seconds", "0.5", source, "--broker", broker)
        run = stores.ledger.runs.latest(1)[0].run
        exact(stores, run, done, source)
    assert told(stores, run, "speculative-copy")
    assert stores.ledger.runs.status(run).seconds < 15, "the slow node's chunk was waited for"


def test_a_job_that_is_not_idempotent_is_not_done_twice_for_speed(broker: str, tmp_path: Path, stores: Stores) -> None:
    source, trace = texts(tmp_path / "in", 6, "meet 3"), tmp_path / "trace"
    with (
        Worker("slow", broker, tmp_path, "-c", "1", CLUSTER_TEST_SLOWER="20"),
        Worker("fast", broker, tmp_path, "-c", "2"),
    ):
        arguments = ("submit", "--job", "once", "--seconds", "0.2", "--trace", trace, source, "--broker", broker)
        done = cluster(*arguments)
        assert done.returncode == 0, done.stderr
    found = stores.ledger.runs.latest(1)[0]
    assert set(found.nodes) == {"slow@test", "fast@test"}
    assert told(stores, found.run, "speculative-copy") == []
    assert len(trace.read_text().splitlines()) == 6


def test_a_node_with_another_version_of_the_job_rejects_and_the_run_says_so(
    broker: str, tmp_path: Path, stores: Stores
) -> None:
    source = texts(tmp_path / "in", 6)
    arguments = ("submit", "--job", "dated", source, "--broker", broker)
    with Worker("old", broker, tmp_path, "-c", "1", CLUSTER_TEST_VERSION="0") as old:
        with start_cluster(*arguments) as submit:
            run = wait_until("all is published", lambda: published(stores, 6))
            rejection = "old@test: has another version of the job: 0; the run needs 1"
            assert rejection in cluster("status", run, "--broker", broker).stdout
            # A message that reaches it all the same is for others, too.
            admin(broker).lmove(keys.queue("dated.1"), keys.queue("dated.0"), "LEFT", "RIGHT")
            wait_until("it rejects", lambda: stores.ledger.runs.status(run).rejections)
            with Worker("new", broker, tmp_path, "-c", "1"):
                out, err = submit.communicate(timeout=60)
        assert submit.returncode == 0, err
        assert len(json.loads(out)) == 6
        assert stores.ledger.runs.status(run).nodes == {"new@test": 6}
        # The old one is as good as before for what it can do.
        done = cluster("submit", "--job", "measure", source, "--broker", broker)
        assert done.returncode == 0, done.stderr
        assert old.process.poll() is None
        assert old.text().count(f"run {run} is rejected by this node: has another version of the job: 0") == 1


def test_the_history_of_a_run_can_be_told(broker: str, tmp_path: Path, stores: Stores) -> None:
    source = texts(tmp_path / "in", 3)
    (source / "bad.txt").write_text("fail always")
    with Worker("a", broker, tmp_path, "-c", "1"):
        done = cluster("submit", "--job", "measure", source, "--broker", broker)
    assert done.returncode == 3
    run = stores.ledger.runs.latest(1)[0].run
    history = cluster("status", run, "--events", "--broker", broker).stdout
    for expected in ("begun", "coordinated by", "first part from  a@test", "attempt failed:", "given up:", "done"):
        assert expected in history, history
    assert "a@test did 3 chunks" in history
    rows = json.loads(cluster("status", run, "--events", "--json", "--broker", broker).stdout)
    assert [row["event"] for row in rows if row["event"] in ("begun", "done")] == ["begun", "done"]


OURS = f"local ours = redis.call('KEYS', '{keys.OURS}run*'); "
OURS += f"for _, key in ipairs(redis.call('KEYS', '{keys.OURS}blobs*')) do ours[#ours + 1] = key end; "
REMEMBER = (
    OURS
    + """
local found = {}
for _, key in ipairs(ours) do found[#found + 1] = key; found[#found + 1] = redis.call('DUMP', key) end
return found
"""
)
FORGET = (
    OURS
    + """
for _, key in ipairs(ours) do redis.call('DEL', key) end
for i = 1, #ARGV, 2 do redis.call('RESTORE', ARGV[i], 0, ARGV[i + 1]) end
"""
)


@pytest.mark.parametrize("when", ["while the input is read", "afterwards"])
def test_what_redis_has_forgotten_is_entered_and_done_again(
    when: str, broker: str, tmp_path: Path, stores: Stores
) -> None:
    """As after a restart, or with a replica in its place, that did not have the last moments."""
    job = catalog.get("measure")
    source = texts(tmp_path / "in", 40)
    options = job.check_options({"seconds": 0.05})
    config = settings.load(broker_url=broker, batch_chunks=4)
    client = admin(broker)
    remembered: list[Any] = []

    def forget() -> None:
        if not remembered:
            remembered.extend(client.eval(REMEMBER, 0))
        elif remembered != ["used"]:
            client.eval(FORGET, 0, *remembered)
            remembered[:] = ["used"]

    class Given(session.Input):
        def chunks(self) -> Iterator[Chunk]:
            for number, chunk in enumerate(super().chunks()):
                if number in (20, 39) and when == "while the input is read":
                    forget()
                yield chunk

    def wait() -> None:
        found = stores.ledger.runs.progress(run)
        if when == "afterwards" and found.chunks_published >= 20 and (found.split_ended or not remembered):
            forget()

    with Worker("a", broker, tmp_path, "-c", "2"), sessions.opened(config, job, options) as opened:
        run = opened.start(job, options)
        assert opened.coordinate(job, run, Given(job, [source], options), wait) == "done"
        assert remembered == ["used"]
        parts_of = parts.of_run(run, job, stores)
        assert job.result(parts_of, options) == job.run_locally(source)
    found = stores.ledger.runs.status(run)
    assert sum(found.nodes.values()) == found.chunks_settled == found.chunks_total == found.items_done == 40
