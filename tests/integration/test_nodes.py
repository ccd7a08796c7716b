"""Nodes that name and size themselves, are seen, and stop when told."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster import celery_app, keys, names, redis_client, settings
from cluster.client import Client
from cluster.nodes.registry import FORGET_S, GONE_S, Links, Node, Registry
from cluster.worker import identity
from cluster.worker.setup import _own_name, _queue
from tests.kit.held import Held
from tests.kit.inputs import texts
from tests.kit.nodes import a_report
from tests.kit.programs import DATA, RedisServer, Worker, admin, cluster, start_cluster
from tests.kit.waiting import line_with, wait_until


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A Redis of its own: these tests count nodes."""
    with RedisServer(tmp_path / "redis") as server:
        yield server.url


def nodes(broker: str) -> dict[str, Node]:
    return {node.name: node for node in Registry(redis_client.connect(broker)).nodes()}


def state(broker: str, name: str) -> str:
    return nodes(broker)[name].state


def all_work(broker: str, number: int) -> bool:
    found = nodes(broker).values()
    return len(found) == number and all(node.busy for node in found)


def test_two_nodes_of_different_size_are_seen_with_their_true_capacity(broker: str, tmp_path: Path) -> None:
    with Worker("large", broker, tmp_path, CLUSTER_SLOTS="3"), Worker("small", broker, tmp_path, "-c", "1"):
        wait_until("both are seen", lambda: len(nodes(broker)) == 2, 5)
        told = cluster("nodes", "--json", "--broker", broker)
        assert told.returncode == 0, told.stderr
        found = {node["name"]: node for node in json.loads(told.stdout)}
        assert {name: (node["state"], node["slots"]) for name, node in found.items()} == {
            "large@test": ("online", 3),
            "small@test": ("online", 1),
        }
        node = found["large@test"]
        assert 1 <= node["cores"] <= len(os.sched_getaffinity(0))
        assert 0 < node["memory_available_bytes"] <= node["memory_total_bytes"] <= psutil.virtual_memory().total
        assert "wordcount" in node["jobs"]
        assert node["versions"]["cluster"]
        assert node["joined_at"] <= node["last_seen_at"]
        source = texts(tmp_path / "in", 4, "meet 4")  # all at the same time
        done = cluster("submit", "--job", "once", "--trace", tmp_path / "trace", source, "--broker", broker)
        assert done.returncode == 0, done.stderr
        run = json.loads(cluster("runs", "--json", "--broker", broker).stdout)[0]
        assert run["nodes"] == {"large@test": 3, "small@test": 1}
        wait_until("what they did is seen", lambda: nodes(broker)["small@test"].done > 0)


def test_a_worker_without_flags_names_and_sizes_itself(broker: str, tmp_path: Path) -> None:
    first = Worker("", broker, tmp_path / "a", CLUSTER_CACHE_DIR=str(tmp_path / "cache"))
    second = Worker("", broker, tmp_path / "b", CLUSTER_CACHE_DIR=str(tmp_path / "cache"))
    with first:
        [name] = nodes(broker)
        assert name.startswith("worker@")
        with second:
            assert set(nodes(broker)) == {name, name.replace("worker@", "worker2@")}
    joined = nodes(broker)[name].joined_at
    with second:  # the first one's name is free again
        wait_until("it is back under the name", lambda: nodes(broker)[name].joined_at > joined)


def test_a_worker_without_a_place_for_its_name_has_one_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert identity.take(tmp_path / "file" / "below").startswith("worker@")


def test_an_affinity_limits_the_slots(broker: str, tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    with Worker("narrow", broker, tmp_path) as worker:
        assert nodes(broker)["narrow@test"].slots == len(os.sched_getaffinity(0))
        worker.kill()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        with Worker("narrow", broker, tmp_path / "narrow"):
            wait_until("one slot", lambda: nodes(broker)["narrow@test"].slots == 1)
    finally:
        os.sched_setaffinity(0, before)


def test_a_machine_with_little_memory_takes_one_slot(broker: str, tmp_path: Path) -> None:
    much = str(psutil.virtual_memory().total)
    with Worker("poor", broker, tmp_path, CLUSTER_RESERVE_MEMORY_BYTES=much):
        assert nodes(broker)["poor@test"].slots == 1


def test_queues_given_by_hand_win(broker: str, tmp_path: Path) -> None:
    with Worker("words", broker, tmp_path, "-Q", "wordcount"):
        assert nodes(broker)["words@test"].jobs == ["wordcount"]


def test_a_job_typed_as_a_queue_is_served_in_its_version_here() -> None:
    assert [_queue(given) for given in ("ocr", "ocr.2", "wordcount", "ocr.1@deu")] == [
        "cluster2.ocr.2", "cluster2.ocr.2", "cluster2.wordcount", "cluster2.ocr.1@deu",
    ]  # fmt: skip


def test_a_queue_of_no_job_counts_as_none_served(broker: str, tmp_path: Path) -> None:
    with Worker("wrong", broker, tmp_path, "-Q", "wordcout,measure") as worker:
        assert nodes(broker)["wrong@test"].jobs == ["measure"]
        assert "no job is called wordcout (-Q)" in worker.text()
        assert "did you mean -Q wordcount?" in worker.text()


def test_a_queue_of_an_older_version_is_refused(broker: str, tmp_path: Path) -> None:
    done = cluster("worker", "-Q", "measure,cluster.wordcount", "--broker", broker)
    assert done.returncode == 2
    assert "-Q cluster.wordcount names a queue of an older version of `cluster`; type -Q wordcount" in done.stderr


def test_a_node_that_is_killed_is_silent_then_gone_and_keeps_its_name_when_it_returns(
    broker: str, tmp_path: Path
) -> None:
    with Worker("fickle", broker, tmp_path) as worker:
        joined = nodes(broker)["fickle@test"].joined_at
        worker.kill()
        began = time.monotonic()
        wait_until("it is silent", lambda: state(broker, "fickle@test") == "silent", 6)
        wait_until("it is gone", lambda: state(broker, "fickle@test") == "gone", 12)
        assert time.monotonic() - began < 15.5
    with Worker("fickle", broker, tmp_path / "again"):
        wait_until("it is online", lambda: state(broker, "fickle@test") == "online", 5)
        assert nodes(broker)["fickle@test"].joined_at > joined
        assert len(nodes(broker)) == 1


def test_a_node_that_is_stopped_ends_its_chunk_and_is_gone_at_once(broker: str, tmp_path: Path) -> None:
    with (
        Worker("stays", broker, tmp_path, "-c", "1"),
        Worker("leaves", broker, tmp_path, "-c", "1") as leaves,
        Held(tmp_path, 12) as held,
    ):
        arguments = ("submit", "--job", "once", *held.options, held.source, "--broker", broker)
        with start_cluster(*arguments) as submit:
            wait_until("both work", lambda: all_work(broker, 2))
            leaves.process.send_signal(signal.SIGTERM)
            wait_until("it has heard", lambda: "Warm shutdown" in leaves.text())
            held.release()
            leaves.process.wait(15)
            wait_until("it is gone", lambda: state(broker, "leaves@test") == "gone", 5)
            _, err = submit.communicate(timeout=60)
        assert submit.returncode == 0, err
        assert "12 of 12 done" in err
        assert len(held.begun()) == 12  # nothing was done a second time


def test_shutdown_stops_one_node_then_all_and_the_run_goes_on(broker: str, tmp_path: Path) -> None:
    with (
        Worker("a", broker, tmp_path, "-c", "1") as a,
        Worker("b", broker, tmp_path, "-c", "1") as b,
        Held(tmp_path, 16) as held,
    ):
        arguments = ("submit", "--job", "once", *held.options, held.source, "--broker", broker)
        with start_cluster(*arguments) as submit:
            wait_until("both work", lambda: all_work(broker, 2))
            done = cluster("shutdown", "--node", "a@test", "--broker", broker)
            assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "a@test: stops")
            held.release()
            a.process.wait(15)
            _, err = submit.communicate(timeout=60)
        assert submit.returncode == 0, err
        assert len(held.begun()) == 16  # nothing was done a second time
        done = cluster("shutdown", "--broker", broker)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "b@test: stops")
        b.process.wait(15)
        wait_until("both are gone", lambda: {node.state for node in nodes(broker).values()} == {"gone"}, 5)
        assert cluster("shutdown", "--broker", broker).returncode == 2


def test_a_node_that_is_paused_ends_its_chunk_and_takes_nothing_until_it_goes_on(broker: str, tmp_path: Path) -> None:
    with Worker("a", broker, tmp_path, "-c", "1") as a, Held(tmp_path, 3) as held:
        arguments = ("submit", "--job", "once", *held.options, held.source, "--broker", broker)
        with start_cluster(*arguments) as submit:
            wait_until("it works", lambda: all_work(broker, 1))
            done = cluster("nodes", "--pause", "a@test", "--broker", broker)
            assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "a@test: paused")
            by = nodes(broker)["a@test"].paused_by
            assert "paused: by " + by in cluster("nodes", "--broker", broker).stdout
            held.release()
            wait_until("its chunk has ended", lambda: not nodes(broker)["a@test"].busy)
            a.kill()
            with Worker("a", broker, tmp_path / "again", "-c", "1"):
                found = nodes(broker)["a@test"]
                assert (found.state, found.paused_by, found.slots_allowed) == ("online", by, 0)
                with closing(Client(settings.load(broker_url=broker))) as client:
                    again = client.pause_nodes([found], by="kim")
                    assert (again, nodes(broker)["a@test"].paused_by) == ([("a@test", True)], by)
                    assert len(held.begun()) == 1  # it has taken nothing, before its end and after it
                    assert client.go_on_nodes([found]) == [("a@test", True)]
                _, err = submit.communicate(timeout=60)
        assert submit.returncode == 0, err
        assert len(held.begun()) == 3


def test_a_run_that_no_node_can_do_says_so_at_once_and_waits_or_fails_as_told(broker: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", 4)
    submit = ("submit", "--job", "measure", source, "--broker", broker)
    with Worker("words", broker, tmp_path, "-Q", "wordcount"):
        done = cluster(*submit, "--if-no-node", "fail")
        assert (done.returncode, done.stdout) == (6, "")
        assert "no node of this cluster can do the job measure (1 node online" in done.stderr
        assert cluster("runs", "--json", "--broker", broker).stdout == "[]\n"
        with start_cluster(*submit) as waiting:
            assert waiting.stderr is not None
            line_with("waiting for one (with --if-no-node fail this ends instead)", waiting.stderr)
            with Worker("late", broker, tmp_path):
                out, _ = waiting.communicate(timeout=60)
        assert waiting.returncode == 0
        assert len(json.loads(out)) == 4


def test_shutdown_now_does_not_wait_for_chunks(broker: str, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "long.txt").write_text("sleep long")
    arguments = ("submit", "--job", "measure", source, "--broker", broker)
    with Worker("hasty", broker, tmp_path, "-c", "1") as worker, start_cluster(*arguments) as submit:
        wait_until("it works", lambda: all_work(broker, 1))
        assert cluster("shutdown", "--now", "--broker", broker).returncode == 0
        worker.process.wait(15)
        submit.send_signal(signal.SIGINT)
        submit.communicate(timeout=30)


def test_a_node_that_missed_the_broadcast_stops_when_it_is_heard_of_again(broker: str, tmp_path: Path) -> None:
    with Worker("frozen", broker, tmp_path) as worker:
        os.killpg(worker.process.pid, signal.SIGSTOP)
        done = cluster("shutdown", "--wait", "1", "--broker", broker)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (5, "frozen@test: has not answered")
        os.killpg(worker.process.pid, signal.SIGCONT)
        worker.process.wait(20)
        wait_until("it is gone", lambda: state(broker, "frozen@test") == "gone", 5)
    with Worker("frozen", broker, tmp_path / "again"):  # the desired state was for its former incarnation
        wait_until("it stays", lambda: state(broker, "frozen@test") == "online")


def test_the_events_of_a_worker_carry_its_capacity(broker: str, tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    app = celery_app.build(settings.load(broker_url=broker))

    def hear(event: dict[str, Any]) -> None:
        heard.append(event)
        receiver.should_stop = True

    with Worker("heard", broker, tmp_path, CLUSTER_SLOTS="2"), app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"worker-capacity": hear})
        receiver.capture(limit=None, timeout=15, wakeup=False)
    app.close()
    assert (heard[0]["hostname"], heard[0]["slots"], heard[0]["busy"]) == ("heard@test", 2, 0)
    assert heard[0]["memory_total_bytes"] > heard[0]["memory_available_bytes"] > 0


@pytest.mark.skipif(not DATA.is_dir(), reason="the scans are not on this machine")
def test_the_children_of_a_node_stay_within_the_memory_planned_for_its_slots(broker: str, tmp_path: Path) -> None:
    source = tmp_path / "receipts"
    source.mkdir()
    # The two in full size are the ones that take memory.
    scans = sorted((DATA / "receipts").glob("*.jpg"), key=lambda path: path.stat().st_size)[-6:]
    for path in scans:
        (source / path.name).symlink_to(path)
    with Worker("fed", broker, tmp_path, CLUSTER_SLOTS="2") as worker:
        done = cluster("submit", "--job", "ocr", source, "--broker", broker)
        assert done.returncode == 0, done.stderr
        children = psutil.Process(worker.process.pid).children()
        peaks = [peak_bytes(child.pid) for child in children]
    assert len(peaks) == 2
    assert sum(peaks) < 2 * settings.Settings().slot_memory_bytes


def peak_bytes(pid: int) -> int:
    """The most memory the process ever held."""
    [line] = [row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_two_machines_that_are_called_the_same_are_two_nodes(broker: str, tmp_path: Path) -> None:
    def machine(name: str) -> Worker:
        return Worker("", broker, tmp_path / name, "-c", "1", CLUSTER_CACHE_DIR=str(tmp_path / name / "cache"))

    host = f"worker@{socket.gethostname()}"
    with ExitStack() as stack:
        a, b = machine("a").start(), machine("b").start()  # at the same moment
        stack.callback(a.kill), stack.callback(b.kill)
        found = wait_until("both are seen", lambda: found if len(found := nodes(broker)) == 2 else {})
        assert set(found) == {host, f"{host}~2"}
        renamed, kept = (a, b) if "is called like this one" in a.text() else (b, a)
        assert f"{host}~2 here" in renamed.text()
        joined = found[host].joined_at
        kept.kill()
        with machine("a" if kept is a else "b"):
            wait_until("it is back under its name", lambda: nodes(broker)[host].joined_at > joined)


def test_a_name_is_free_once_who_had_it_is_gone_whatever_its_connection_does(broker: str) -> None:
    client = redis_client.connect(broker)
    registry = Registry(client)
    with closing(redis_client.connect(broker, name=names.connection("old"))) as old:
        old.ping()
        assert registry.take_name("worker@pc", "old") == "worker@pc"
        assert registry.take_name("worker@pc", "new") == "worker@pc~2"
        assert registry.take_name("worker@pc", "old") == "worker@pc"
        client.hset(keys.INCARNATIONS, "old", f"{time.time() - 1} here worker@pc")
        assert registry.take_name("worker@pc", "third") == "worker@pc~2"  # "new" is not connected
        client.hset(keys.INCARNATIONS, "old", f"{time.time() - GONE_S - 1} here worker@pc")  # its machine has no power
        assert registry.take_name("worker@pc", "third") == "worker@pc"


def test_a_name_is_taken_in_a_full_redis_too(broker: str) -> None:
    client = redis_client.connect(broker, patient=False)
    registry = Registry(client)
    registry.take_name("worker@pc", "one")
    admin(broker).config_set("maxmemory", 1)
    assert registry.take_name("worker@pc", "two") == "worker@pc"


def test_whatever_others_wrote_of_nodes_a_node_gets_a_name(broker: str) -> None:
    client = redis_client.connect(broker)
    client.hset(keys.NAMES, "worker@pc", b"\xff")
    client.hset(keys.INCARNATIONS, "x", "no-moment here worker@pc y")
    assert _own_name("worker@pc", client) == "worker@pc"


def test_a_node_that_was_not_heard_of_for_a_day_is_forgotten(broker: str) -> None:
    """Containers have a new name each time."""
    client = redis_client.connect(broker)
    registry = Registry(client)
    report = a_report()
    for name in ("old", "new"):
        registry.take_name(name, f"incarnation-of-{name}")
        registry.heartbeat(name, f"incarnation-of-{name}", "here", report)
    row: Any = client.hget(keys.NODES, "old")
    incarnation, *_, phase, told = row.decode().split(" ", 4)
    long_ago = f"{time.time() - FORGET_S - 10:.6f}"
    registry.pause(["old", "new"], "maria")
    client.hset(keys.NODES, "old", f"{incarnation} {long_ago} {long_ago} {phase} {told}")
    client.hset(keys.NODES, "what is this", "not ours")
    assert [node.name for node in registry.nodes()] == ["new"]
    assert set(client.hkeys(keys.NODES)) == {b"new", b"what is this"}
    assert client.hkeys(keys.NAMES) == [b"new"]
    assert set(client.hkeys(keys.PAUSED)) == {b"old", b"new"}, "a pause outlasts the row"


def test_what_crosses_a_link_is_measured_by_the_slots_and_told(broker: str, tmp_path: Path) -> None:
    source = tmp_path / "large.txt"
    source.write_text("".join(f"{number} " for number in range(200_000)))
    given = {"CLUSTER_SITE": "lab", "CLUSTER_EDGE_URL": "redis://:hidden@127.0.0.1:1"}
    with Worker("far", broker, tmp_path, "-c", "1", **given) as worker:
        done = cluster("submit", "--job", "wordcount", source, "--broker", broker)
        assert done.returncode == 0, done.stderr

        def links() -> Links:
            return nodes(broker)["far@test"].links

        wait_until("both are told", lambda: links().down_bytes_s is not None and links().rtt_s is not None)
        found = nodes(broker)["far@test"]
        assert found.site == "lab"
        assert found.edge == names.edge(given["CLUSTER_EDGE_URL"])
        assert found.links.rtt_s is not None
        assert 0 < found.links.rtt_s < 1
        assert "the edge store (CLUSTER_EDGE_URL) cannot be used for now" in worker.text()
        assert "hidden" not in worker.text()
        assert found.lan == ""
        tree = psutil.Process(worker.process.pid)
        everyone = [tree, *tree.children(recursive=True)]
        assert [one for process in everyone for one in process.net_connections() if one.status == "LISTEN"] == []
        shown = cluster("nodes", "--links", "--broker", broker)
        assert " Mb/s  " in shown.stdout.splitlines()[1]
