"""Real workers that give slots back to real programs, and take them again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from cluster import keys, redis_client, settings
from cluster.nodes.registry import HEARTBEAT_S, Node
from cluster.stores import Stores
from cluster.worker import admission
from cluster.worker.host import HostMonitor
from tests.kit.programs import RedisServer, Worker, cluster, start_cluster
from tests.kit.waiting import wait_until

pytestmark = pytest.mark.alone

CORES = os.cpu_count() or 1
MIB = 2**20
# Much, so that what other tests take and give back meanwhile does not matter.
HELD_BYTES = min(4 * 2**30, psutil.virtual_memory().available // 4)
# Of all cores, so that what else runs on the machine at the time is not taken for the programs of these tests.
IN_USE = {"CLUSTER_IN_USE_CORES": str(0.6 * CORES), "CLUSTER_CALM_S": "2"}
BUSY_TIMEOUT_S = 90.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    with RedisServer(tmp_path / "redis") as server:
        yield server.url


@contextmanager
def program(code: str) -> Iterator[subprocess.Popen[str]]:
    """A program of the owner's."""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        try:
            yield it
        finally:
            it.kill()


@contextmanager
def busy_machine() -> Iterator[None]:
    """All cores are wanted by others."""
    if os.nice(0) > 0:
        pytest.skip("started with low priority, and what is takes no slots from a node")
    with ExitStack() as burning:
        for _ in range(CORES):
            burning.enter_context(program("while True: pass"))
        yield


@contextmanager
def full_machine() -> Iterator[None]:
    """``HELD_BYTES`` of memory are taken by others."""
    with program(f"held = b'x' * {HELD_BYTES}; print('held', flush=True); input()") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield


def half_held() -> str:
    """So much memory in bytes as is available when ``full_machine`` has taken half of what it takes."""
    return str(psutil.virtual_memory().available - HELD_BYTES // 2)


def node(broker: str) -> Node:
    [found] = Stores.connect(settings.load(broker_url=broker)).nodes.nodes()
    return found


def wait_for_slots(broker: str, slots: int, held_back: str = "") -> None:
    def allowed() -> bool:
        found = node(broker)
        return (found.slots_allowed, found.held_back) == (slots, held_back)

    wait_until(f"{slots} slots are allowed", allowed, BUSY_TIMEOUT_S)


def texts(folder: Path, *contents: str) -> Path:
    folder.mkdir()
    for at, content in enumerate(contents):
        (folder / f"{at}.txt").write_text(content)
    return folder


def wait_for_heartbeats(broker: str, number: int) -> None:
    before = node(broker).last_seen_at
    wait_until(
        "a heartbeat comes", lambda: (node(broker).last_seen_at - before).total_seconds() >= number * HEARTBEAT_S
    )


def meet(broker: str, folder: Path, number: int) -> None:
    """See that so many chunks run at a time: each of these waits for the others."""
    source = texts(folder / "meet", *[f"meet {number}"] * number)
    done = cluster("submit", "--job", "measure", "--trace", folder / "met", source, "--broker", broker)
    assert done.returncode == 0, done.stderr


def seconds_of_the_last_run(broker: str) -> float:
    last = json.loads(cluster("status", "--json", "--broker", broker).stdout)
    began, ended = (datetime.fromisoformat(last[name]) for name in ("started_at", "finished_at"))
    return (ended - began).total_seconds()


def test_a_node_gives_slots_back_while_others_want_the_machine_and_takes_them_again(
    broker: str, tmp_path: Path
) -> None:
    source = texts(tmp_path / "in", *["words"] * 8)
    submit = ("submit", "--job", "measure", "--seconds", "0.5", source, "--broker", broker)
    with Worker("kind", broker, tmp_path, CLUSTER_SLOTS="3", **IN_USE, CLUSTER_SLOTS_IN_USE="1") as worker:
        wait_for_slots(broker, 3)
        with busy_machine():
            wait_for_slots(broker, 1, "in use")
            [seen] = json.loads(cluster("nodes", "--json", "--broker", broker).stdout)
            assert (seen["slots"], seen["slots_allowed"], seen["state"]) == (3, 1, "online")
            assert "1 of 3" in cluster("nodes", "--broker", broker).stdout
            done = cluster(*submit)
            assert done.returncode == 0, done.stderr
            assert seconds_of_the_last_run(broker) >= 8 * 0.5  # one after another
        wait_for_slots(broker, 3)
        assert "gives back 2 of 3 slots: other programs use " in worker.text()
        assert "takes its slots again, 3 of 3" in worker.text()
        meet(broker, tmp_path, 3)


@pytest.mark.slow
def test_a_paused_node_stays_online_takes_nothing_and_goes_on_when_the_machine_is_calm(
    broker: str, tmp_path: Path
) -> None:
    source = texts(tmp_path / "in", *["words"] * 4)
    submit = ("submit", "--job", "measure", "--trace", tmp_path / "trace", source, "--broker", broker)
    client = redis_client.connect(broker)
    with ExitStack() as stack:
        stack.enter_context(Worker("shy", broker, tmp_path, CLUSTER_SLOTS="2", **IN_USE, CLUSTER_SLOTS_IN_USE="0"))
        wait_for_slots(broker, 2)
        with busy_machine():
            wait_for_slots(broker, 0, "in use")
            wait_for_heartbeats(broker, 2)  # what it asked for before is answered
            waiting = stack.enter_context(start_cluster(*submit))
            wait_until("a chunk is in the queue", lambda: client.llen(keys.queue("measure")) == 1)
            wait_for_heartbeats(broker, 3)
            assert client.llen(keys.queue("measure")) == 1
            assert not (tmp_path / "trace").exists()
            assert "paused: in use" in cluster("nodes", "--broker", broker).stdout
        _, err = waiting.communicate(timeout=BUSY_TIMEOUT_S)
        assert waiting.returncode == 0, err
    client.close()


@pytest.mark.slow
def test_idle_processes_give_their_memory_back_while_it_is_low_and_return(broker: str, tmp_path: Path) -> None:
    limits = {"CLUSTER_CALM_S": "1", "CLUSTER_MEMORY_FLOOR_BYTES": half_held(), "CLUSTER_SLOT_MEMORY_BYTES": str(MIB)}
    with Worker("lean", broker, tmp_path, CLUSTER_SLOTS="3", **limits) as worker:
        main = psutil.Process(worker.process.pid)
        wait_for_slots(broker, 3)
        assert len(main.children()) == 3
        with full_machine():
            wait_for_slots(broker, 0, "memory low")
            wait_until("one process is left", lambda: len(main.children()) == 1)
            assert node(broker).slots == 3
        wait_for_slots(broker, 3)
        wait_until("they are back", lambda: len(main.children()) == 3)
        meet(broker, tmp_path, 3)


def test_a_chunk_is_handed_back_when_memory_runs_out_and_none_is_lost(broker: str, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", "sleep once", "words")
    trace = tmp_path / "trace"
    submit = ("submit", "--job", "measure", "--trace", trace, source, "--broker", broker)
    with ExitStack() as stack:
        limits = {"CLUSTER_CALM_S": "1", "CLUSTER_MEMORY_MINIMUM_BYTES": half_held()}
        worker = stack.enter_context(Worker("short", broker, tmp_path, CLUSTER_SLOTS="2", **limits))
        waiting = stack.enter_context(start_cluster(*submit))
        wait_until("both are begun", lambda: trace.exists() and trace.read_text().count("\n") == 2)
        wait_until("only the one that sleeps is left", lambda: node(broker).busy == 1)
        with full_machine():
            wait_until("it is handed back", lambda: "is handed back" in worker.text())
            wait_for_slots(broker, 0, "memory low")
            assert trace.read_text().count("0.txt") == 1
        out, err = waiting.communicate(timeout=BUSY_TIMEOUT_S)
        assert waiting.returncode == 0, err
    assert json.loads(out) == {"0.txt": "10", "1.txt": "5"}
    assert trace.read_text().count("0.txt") == 2


def test_a_private_run_keeps_its_slots_while_its_submitter_works(tmp_path: Path) -> None:
    source = texts(tmp_path / "in", "words", "words", "meet 4", "meet 4")  # the last two only run together
    unset = {"CLUSTER_SLOTS_IN_USE": "", "CLUSTER_MEMORY_FLOOR_BYTES": ""}
    submit = ("submit", "--job", "measure", "--seconds", "2", "--trace", tmp_path / "trace", source)
    done = cluster(*submit, settings={"CLUSTER_SLOTS": "2", "CLUSTER_IN_USE_CORES": "0", **unset}, timeout_s=30)
    assert done.returncode == 0, done.stderr


def test_the_largest_process_that_works_is_ended_with_what_it_started() -> None:
    hold = "import subprocess, sys; held = b'x' * {} * 2**20; print(flush=True); {}; input()"
    more = f"subprocess.Popen([sys.executable, '-c', {'held = bytes(60) * 2**20; print(flush=True); input()'!r}])"
    with ExitStack() as stack:
        idle, small, parent = (
            stack.enter_context(program(hold.format(mib, extra)))
            for mib, extra in ((200, "pass"), (50, "pass"), (20, more))
        )
        for process, lines in ((idle, 1), (small, 1), (parent, 2)):
            assert process.stdout is not None
            assert [process.stdout.readline() for _ in range(lines)] == ["\n"] * lines
        [started] = psutil.Process(parent.pid).children()
        _, members = HostMonitor(psutil.Process()).read()
        assert admission.end_largest(members, set()) is None
        assert admission.end_largest(members, {small.pid, parent.pid}) == parent.pid
        parent.wait(10)
        wait_until("what it started ends", lambda: not started.is_running())
        assert (idle.poll(), small.poll()) == (None, None)
        assert admission.handed_back(parent.pid)
        assert not admission.handed_back(small.pid)
