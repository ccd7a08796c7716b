"""What goes wrong in an office, done to a cluster with a run under way: `Scene` sets it up, a `Fault` does the harm."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import psutil
import redis

from cluster import catalog, celery_app, keys, redis_client, settings
from cluster.coordinator.failure_detector import FailureDetector
from cluster.keys import queue
from cluster.stores import Stores
from tests.kit import cable, inputs
from tests.kit.cable import Cable
from tests.kit.programs import LOOPBACK, RedisServer, Worker, admin, start_cluster
from tests.kit.proxy import Proxy
from tests.kit.waiting import wait_until

AWAY_S = 8.0
"""Longer than a node may be unheard of before its work is given to others (4 s)."""
FULL_S = 3.0
END_S = 90.0
"""For a run to end after the harm was done; without any, it takes some five seconds."""
SETTLED_BEFORE = 8
"""Chunks that are settled when the harm is done: the run is under way."""


class Fault(Enum):
    """One thing that goes wrong."""

    NODE_KILLED = "a node is killed"
    CHILD_KILLED = "a process of a node's pool is killed"
    NODE_PAUSED = "a node sleeps for 8 s and commits late"
    NODE_FROZEN = "a node freezes for good"
    NODE_SLOW = "a node gets a tenth of its time"
    CONNECTION_HELD = "a node's bytes are held for 8 s"
    CONNECTION_LOST = "a node's bytes are held for good"
    CONNECTION_RESET = "a node's connections are reset"
    CABLE_CUT = "a node's cable is unplugged for 8 s"
    SUBMITTER_KILLED = "the submitter is killed, a master goes on"
    SPLITTING_KILLED = "the submitter is killed while it splits, another one resumes"
    SPLITTING_PAUSED = "the submitter sleeps for 8 s while it splits, and a master takes its place meanwhile"
    MESSAGES_TWICE = "every message that waits is delivered twice"
    REDIS_RESTARTED = "Redis is killed and started again"
    REDIS_PAUSED = "Redis sleeps for 8 s"
    REDIS_FULL = "Redis is full for 3 s"


class Scene:
    """Two nodes of two slots, and a run that both work on. One, the ``victim``, reaches Redis by a way of its own.

    ``answer`` is the program that will write the result: the submitter, or who takes its place.
    """

    def __init__(
        self, job: str, folder: Path, stack: ExitStack, *, over_cable: bool, submitter: Mapping[str, str]
    ) -> None:
        self.job = catalog.get(job)
        self.folder = folder
        self.stack = stack
        self.cable = stack.enter_context(Cable()) if over_cable else None
        # By default AOF is written to disk once a second; what a killed Redis wrote is in the kernel's hands at once.
        host = self.cable.host if self.cable else LOOPBACK
        self.server = stack.enter_context(RedisServer(folder / "redis", "--appendonly", "yes", host=host))
        self.proxy = stack.enter_context(Proxy(host, self.server.port))
        if self.cable:
            self.victim = Worker("victim", self.server.url, folder, "-c", "2", prefix=self.cable.prefix)
        else:
            self.victim = Worker("victim", self.server.url_by(host, self.proxy.port), folder, "-c", "2")
        self.other = Worker("other", self.server.url, folder, "-c", "2")
        self.gone: set[str] = set()
        """Nodes that do not come back."""
        self.masters: list[subprocess.Popen[str]] = []
        self.client = redis_client.connect(self.server.url)
        self.config = settings.load(broker_url=self.server.url)
        self.stores = Stores.connect(self.config)
        self._settings = submitter
        stack.callback(self.client.close)

    def start(self) -> None:
        """Start the nodes, submit, and wait until the run is under way."""
        for worker in (self.victim, self.other):
            self.stack.callback(worker.kill)
            worker.start()
        for worker in (self.victim, self.other):
            worker.wait_until_ready()
        self.source, self.output = self.folder / "in", self.folder / "out.json"
        for folder in ("here", "there"):
            (self.folder / folder).mkdir()
        options = inputs.long(self.job.name, self.source)
        options += inputs.submitted(self.job, self.stores.models.bundles, self.folder / "there")
        self.expected = self.job.run_locally(self.source, **inputs.options(self.job.name, self.folder / "here"))
        self.submitter = self.program("submit", "--job", self.job.name, *options, self.source)
        self.answer = self.submitter
        self.run = wait_until("there is a run", self._run_id)
        wait_until("the run is under way", lambda: self.progress() >= SETTLED_BEFORE)

    def program(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command that writes the result to ``output``."""
        return self.background(*arguments, "-o", self.output)

    def background(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command of this cluster; it is ended with the scene."""
        process = start_cluster(*arguments, "--broker", self.server.url, settings=self._settings)

        def end() -> None:
            process.kill()
            process.communicate()

        self.stack.callback(end)
        return process

    def start_master(self) -> None:
        """Have somebody who takes over runs."""
        self.masters.append(self.background("master"))

    def progress(self) -> int:
        """Chunks that are settled."""
        return self.stores.ledger.runs.progress(self.run).chunks_settled

    def _run_id(self) -> str:
        assert self.submitter.poll() is None, self.submitter.communicate()
        found = self.stores.ledger.runs.latest(1)
        return found[0].run if found else ""

    def stop_at_work(self, worker: Worker) -> None:
        """Stop a node at a moment when it has claimed a chunk and not committed it."""

        def works() -> bool:
            assert self.state() == "running", "the run ended before the node was caught at work"
            claims: Any = self.client.hvals(keys.run(self.run, "claims"))
            return any(f"{worker.name}@test" in claim.decode() for claim in claims)

        worker.stop_when(f"{worker.name} is caught at work", works)

    @property
    def requirement(self) -> str:
        """What a node must serve to do the run."""
        return self.stores.ledger.runs.requirement(self.run)

    def state(self) -> str:
        """The run's state."""
        return self.stores.ledger.runs.progress(self.run).state

    def check(self) -> None:
        """Wait for the end; the result is what the job means, and every chunk and item counts once."""
        try:
            _, told = self.answer.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"the run does not end: {self.stores.ledger.runs.status(self.run)}\n{self.logs()}"
            ) from None
        assert self.answer.returncode == 0, f"{told}\n{self.logs()}"
        assert inputs.same(self.job, json.loads(self.output.read_bytes()), self.expected)
        for master in self.masters:
            assert master.poll() is None, master.communicate()
        # The run may have ended before it was known that a node is lost; who watches next gives back what that held.
        with (
            closing(celery_app.build(self.config)) as app,
            FailureDetector(app, self.stores),
            contextlib.suppress(AssertionError),
        ):
            wait_until("all is calm", lambda: not self._unrest())
        assert not self._unrest(), f"{self._unrest()}\n{self.logs()}"
        status = self.stores.ledger.runs.status(self.run)
        assert status.state == "done"
        assert sum(status.nodes.values()) == status.chunks_settled == status.chunks_total, status
        assert (status.items_done, status.items_failed) == (status.items_total, 0), status
        expected = self.job.count_items([self.source], status.options)
        assert status.items_total == (inputs.LONG_CHUNKS if expected is None else expected), status

    def _unrest(self) -> list[object]:
        """What goes on although the run is over: nodes that are not back or not idle, and messages that are left."""
        idle = {node.name for node in self.stores.nodes.nodes() if node.state == "online" and not node.busy}
        expected = {f"{worker.name}@test" for worker in (self.victim, self.other)} - self.gone
        return [*(expected - idle), *messages(self.client, self.requirement)]

    def logs(self) -> str:
        """The ends of what the nodes logged, for a test that fails."""
        return "\n".join(f"--- {worker.name}\n{worker.text()[-3000:]}" for worker in (self.victim, self.other))


def messages(client: redis.Redis, requirement: str) -> list[object]:
    """Messages of a requirement that wait in its queue, and all that nodes hold."""
    waiting: Any = client.lrange(queue(requirement), 0, -1)
    held: Any = [
        message for key in client.scan_iter("*unacked*", _type="hash") for message in client.hgetall(key).items()
    ]
    return [*waiting, *held]


@contextmanager
def scene(fault: Fault, job: str, folder: Path) -> Iterator[Scene]:
    """A scene that fits the fault, with a run under way."""
    over_cable = fault is Fault.CABLE_CUT
    if over_cable:
        cable.needed()
    # So few on their way that the input is still being split when the fault comes.
    splitting = fault in (Fault.SPLITTING_KILLED, Fault.SPLITTING_PAUSED)
    submitter = {"CLUSTER_MAX_IN_FLIGHT_CHUNKS": "16"} if splitting else {}
    with ExitStack() as stack:
        made = Scene(job, folder, stack, over_cable=over_cable, submitter=submitter)
        made.start()
        yield made


def bring(fault: Fault, scene: Scene) -> None:
    """Do the harm; returns when it is over, or goes on by itself."""
    HARM[fault](scene)


def _kill_node(scene: Scene) -> None:
    scene.stop_at_work(scene.victim)
    scene.victim.kill()
    scene.gone.add("victim@test")


def _kill_child(scene: Scene) -> None:
    scene.stop_at_work(scene.victim)
    psutil.Process(scene.victim.process.pid).children()[0].kill()
    scene.victim.send(signal.SIGCONT)


def _pause_node(scene: Scene) -> None:
    scene.stop_at_work(scene.victim)
    _later(scene, AWAY_S, lambda: scene.victim.send(signal.SIGCONT))


def _freeze_node(scene: Scene) -> None:
    scene.stop_at_work(scene.victim)
    scene.gone.add("victim@test")


def _slow_node(scene: Scene) -> None:
    """Let it run a tenth of the time, in turns so short that it stays online."""
    ended = threading.Event()

    def throttle() -> None:
        while not ended.is_set():
            scene.victim.send(signal.SIGSTOP)
            ended.wait(0.45)
            scene.victim.send(signal.SIGCONT)
            time.sleep(0.05)

    thread = threading.Thread(target=throttle)

    def end() -> None:
        ended.set()
        thread.join()

    thread.start()
    scene.stack.callback(end)


def _hold(scene: Scene) -> None:
    scene.stop_at_work(scene.victim)
    scene.proxy.hold()
    scene.victim.send(signal.SIGCONT)
    _later(scene, AWAY_S, scene.proxy.release)


def _lose(scene: Scene) -> None:
    scene.stop_at_work(scene.victim)
    scene.proxy.hold()
    scene.victim.send(signal.SIGCONT)
    scene.gone.add("victim@test")


def _reset(scene: Scene) -> None:
    scene.stop_at_work(scene.victim)
    scene.proxy.reset()
    scene.victim.send(signal.SIGCONT)


def _cut_cable(scene: Scene) -> None:
    assert scene.cable is not None
    scene.stop_at_work(scene.victim)
    scene.cable.cut()
    scene.victim.send(signal.SIGCONT)
    _later(scene, AWAY_S, scene.cable.mend)


def _kill_submitter(scene: Scene) -> None:
    """Once the whole input is uploaded: who comes after it has no access to it."""
    scene.start_master()
    wait_until("the input is split", lambda: scene.stores.ledger.runs.status(scene.run).chunks_total is not None)
    assert scene.state() == "running"
    scene.submitter.kill()
    scene.answer = scene.program("result", scene.run, "--wait")


def _kill_splitting(scene: Scene) -> None:
    assert scene.stores.ledger.runs.status(scene.run).chunks_total is None
    scene.submitter.kill()
    scene.answer = scene.program("resume", scene.run, scene.source)


def _pause_splitting(scene: Scene) -> None:
    """As a laptop that is closed and opened again: it has its answer all the same."""
    scene.start_master()
    assert scene.stores.ledger.runs.status(scene.run).chunks_total is None
    scene.submitter.send_signal(signal.SIGSTOP)
    _later(scene, AWAY_S, lambda: scene.submitter.send_signal(signal.SIGCONT))


def _deliver_twice(scene: Scene) -> None:
    name = queue(scene.requirement)
    waiting: Any = scene.client.lrange(name, 0, -1)
    assert waiting, "no message waits"
    scene.client.lpush(name, *waiting)


def _restart_redis(scene: Scene) -> None:
    scene.server.kill()
    scene.server.start()


def _pause_redis(scene: Scene) -> None:
    os.kill(scene.server.process.pid, signal.SIGSTOP)
    _later(scene, AWAY_S, lambda: os.kill(scene.server.process.pid, signal.SIGCONT))


def _fill_redis(scene: Scene) -> None:
    admin(scene.server.url).config_set("maxmemory", 1)
    _later(scene, FULL_S, lambda: admin(scene.server.url).config_set("maxmemory", 0))


def _later(scene: Scene, seconds: float, relief: Callable[[], object]) -> None:
    """End the harm after a time, while the test already waits for the run's end; never leave it in place."""
    timer = threading.Timer(seconds, relief)
    timer.start()
    scene.stack.callback(timer.join)


HARM: Mapping[Fault, Callable[[Scene], None]] = {
    Fault.NODE_KILLED: _kill_node,
    Fault.CHILD_KILLED: _kill_child,
    Fault.NODE_PAUSED: _pause_node,
    Fault.NODE_FROZEN: _freeze_node,
    Fault.NODE_SLOW: _slow_node,
    Fault.CONNECTION_HELD: _hold,
    Fault.CONNECTION_LOST: _lose,
    Fault.CONNECTION_RESET: _reset,
    Fault.CABLE_CUT: _cut_cable,
    Fault.SUBMITTER_KILLED: _kill_submitter,
    Fault.SPLITTING_KILLED: _kill_splitting,
    Fault.SPLITTING_PAUSED: _pause_splitting,
    Fault.MESSAGES_TWICE: _deliver_twice,
    Fault.REDIS_RESTARTED: _restart_redis,
    Fault.REDIS_PAUSED: _pause_redis,
    Fault.REDIS_FULL: _fill_redis,
}
