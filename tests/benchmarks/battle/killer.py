"""Who kills: a plan made from a seed, and the hand that carries it out."""

from __future__ import annotations

import heapq
import itertools
import random
import signal
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

import psutil

from tests.benchmarks.battle.records import Event
from tests.kit.programs import RedisServer, Worker

READY_BEFORE = 3
"""Nodes that must be up before the next kill: with none left, recovery times would only tell how fast nodes start."""
CALM_S = 6.0
"""After a restart of the broker nobody is harmed for so long."""


class Kind(StrEnum):
    """What is done; all count as kills."""

    NODE = "node killed"
    CHILD = "child killed"
    NAP = "paused for 1-3 s"
    SLEEP = "paused for 8-10 s"
    FREEZE = "paused for 1-10 s, then killed"
    BROKER = "broker killed and restarted"


WEIGHTS = {Kind.NODE: 45, Kind.CHILD: 22, Kind.NAP: 8, Kind.SLEEP: 10, Kind.FREEZE: 10, Kind.BROKER: 5}
PAUSE_S = {Kind.NAP: (1.0, 3.0), Kind.SLEEP: (8.0, 10.0), Kind.FREEZE: (1.0, 10.0)}


class Step(NamedTuple):
    """One kill of the plan."""

    kind: Kind
    wait_s: float
    """After the one before."""
    victim: float
    """0 up to 1: which one of those there are, whatever their number is."""
    pause_s: float = 0.0


def plan(kills: int, seed: int) -> list[Step]:
    """So many kills; the same for the same seed."""
    chance = random.Random(seed)
    kinds = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=kills)
    return [
        Step(kind, chance.uniform(0.5, 2.0), chance.random(), chance.uniform(*PAUSE_S.get(kind, (0.0, 0.0))))
        for kind in kinds
    ]


class Nodes:
    """The machines, by number. One that is started again keeps its name but is another start."""

    def __init__(self, number: int, make: Callable[[str, str], Worker]) -> None:
        self._make = make
        self._starts = itertools.count(1)
        self.number = number
        self.workers: dict[int, Worker] = {}
        self.starts: dict[int, str] = {}
        self.paused: set[int] = set()

    def start(self, machine: int) -> None:
        """Start it, or start it again, without waiting."""
        start = f"machine{machine}.{next(self._starts)}"
        self.workers[machine] = self._make(f"machine{machine}", start).start()
        self.starts[machine] = start
        self.paused.discard(machine)

    def ready(self) -> list[int]:
        """Those that take work and are not paused."""
        up = [n for n in sorted(self.workers) if n not in self.paused and n not in self.dead()]
        return [n for n in up if " ready." in self.workers[n].text()]

    def dead(self) -> list[int]:
        """Those whose worker has ended."""
        return [n for n in sorted(self.workers) if self.workers[n].process.poll() is not None]

    def end(self) -> None:
        """End all."""
        for worker in self.workers.values():
            worker.kill()


class Killer:
    """Carries out a plan a step at a time, and notes what it did when."""

    def __init__(self, steps: list[Step], nodes: Nodes, server: RedisServer) -> None:
        self.events: list[Event] = []
        self._nodes = nodes
        self._server = server
        self._relief = itertools.count()  # so that the heap compares no functions
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._work = self._carry_out(steps)
        self._next_at = time.monotonic()
        self.over = False

    def tick(self) -> None:
        """Do what is due."""
        for machine in self._nodes.dead():  # by itself; who looks after the machine starts it again
            self._note("died", self._nodes.starts[machine])
            self._nodes.start(machine)
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        if now >= self._next_at and not self.over:
            wait_s = next(self._work, None)
            self._next_at = time.monotonic() + (wait_s or 0.0)
            self.over = wait_s is None and not self._due

    def _carry_out(self, steps: list[Step]) -> Iterator[float]:
        """Yields how many seconds to wait."""
        for step in steps:
            yield step.wait_s
            while len(self._nodes.ready()) < READY_BEFORE:
                yield 0.05
            if step.kind is Kind.BROKER:
                self._restart_broker()
                yield CALM_S
            else:
                ready = self._nodes.ready()
                self._harm(step, ready[int(step.victim * len(ready))])
        while self._due:
            yield 0.05

    def _harm(self, step: Step, machine: int) -> None:
        worker, start = self._nodes.workers[machine], self._nodes.starts[machine]
        if step.kind is Kind.NODE:
            self._kill(machine)
        elif step.kind is Kind.CHILD:
            children = sorted(child.pid for child in psutil.Process(worker.process.pid).children())
            pid = children[int(step.victim * 1000) % len(children)]
            self._note("kill child", start, pid)
            psutil.Process(pid).kill()
        else:
            self._note("pause", start)
            worker.send(signal.SIGSTOP)
            self._nodes.paused.add(machine)
            relief = self._kill if step.kind is Kind.FREEZE else self._resume
            entry = (time.monotonic() + step.pause_s, next(self._relief), lambda: relief(machine))
            heapq.heappush(self._due, entry)

    def _kill(self, machine: int) -> None:
        self._note("kill", self._nodes.starts[machine])
        self._nodes.workers[machine].kill()
        self._nodes.start(machine)

    def _resume(self, machine: int) -> None:
        self._note("resume", self._nodes.starts[machine])
        self._nodes.workers[machine].send(signal.SIGCONT)
        self._nodes.paused.discard(machine)

    def _restart_broker(self) -> None:
        self._note("broker down")
        self._server.kill()
        self._server.start()
        self._note("broker up")

    def _note(self, what: str, node: str = "", pid: int = 0) -> None:
        self.events.append(Event(time.monotonic(), what, node, pid))  # type: ignore[arg-type]
