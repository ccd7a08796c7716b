"""A battle: nodes are killed at random while runs go on, and then it is counted what that cost.

Counted from outside: chunks leave traces in files (`cluster_testwork`), and the killer notes what it does, so that
no system is asked about itself.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import Case, Options
from tests.benchmarks.battle import analysis, killer, records, systems
from tests.benchmarks.battle.analysis import Figures, percentile
from tests.benchmarks.battle.killer import Killer, Nodes
from tests.benchmarks.battle.records import Ended
from tests.benchmarks.battle.systems import Submission, System
from tests.kit.programs import JOBS, RedisServer
from tests.kit.waiting import wait_until

# The catalog is read once in a process: the test jobs must be on the path before.
sys.path.insert(0, str(JOBS))

MACHINES, SLOTS = 4, 2
CHUNKS = 100
SECONDS = (0.3, 1.0)
"""The least and the most that a chunk takes."""
RUNS_AT_ONCE = 2
MOST_OPEN = 40
"""Runs without a result, hung ones among them: then no more are submitted."""
QUIET_S = 3.0
"""A run in which nothing has begun for so long, although later ones go on, keeps nobody busy."""
HUNG_S = 90.0
"""A run in which nothing has begun for so long since the last kill will never have a result."""
FEW = 20
"""Of fewer samples the 95th percentile is the largest: then half as much again is let pass, and a small battle
shows only that nothing is lost and that others take over."""
LIMITS_S = {"killed": 2.0, "child": 2.0, "silent": 6.0}
TICK_S = 0.01
LOOK_S = 0.25

SYSTEMS = ("cluster", "celery-default", "celery-tuned")


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """A case for each system, all under the same plan."""
    kills = options.kills or (4 if options.small else 20)
    for name in [options.system] if options.system else SYSTEMS:
        ground = (options.keep or folder) / name
        ground.mkdir(parents=True)
        with RedisServer(ground / "redis", "--appendonly", "yes") as server:
            yield _case(name, Battle(name, server, ground, options.seed), ground, kills, options.seed)


@dataclass
class Run:
    """One run of the load."""

    chunks: Mapping[str, float]
    submission: Submission
    submitted_at: float
    result: dict[str, int] | None = None


class Battle:
    """The load on one system, and the killer among its nodes."""

    def __init__(self, name: str, server: RedisServer, folder: Path, seed: int) -> None:
        self.effects = folder / "effects"
        self.effects.mkdir()
        self.system = _system(name, server, folder, self.effects)
        self.runs: dict[str, Run] = {}
        self._server = server
        self._chance = random.Random(seed)

    def fight(self, steps: list[killer.Step]) -> Killer:
        """Carry out the plan under load, then wait for the runs; gives the killer with its notes."""
        nodes = Nodes(MACHINES, self.system.worker)
        try:
            for machine in range(MACHINES):
                nodes.start(machine)
            wait_until("all nodes are up", lambda: len(nodes.ready()) == MACHINES, 60)
            found = Killer(steps, nodes, self._server)
            looked_at = -LOOK_S
            while not found.over or self._pending(found.events[-1].at if found.events else 0.0):
                found.tick()
                if time.monotonic() - looked_at > LOOK_S:
                    self._look(submit=not found.over)
                    looked_at = time.monotonic()
                time.sleep(TICK_S)
        finally:
            for run in self.runs.values():
                run.submission.end()
            nodes.end()
        return found

    def _look(self, *, submit: bool) -> None:
        """Take in results, and keep the nodes busy."""
        for run in self._open().values():
            run.result = run.submission.result()
        if submit and self._busy() < RUNS_AT_ONCE and len(self._open()) < MOST_OPEN:
            chunks = {f"{at:04}": round(self._chance.uniform(*SECONDS), 3) for at in range(CHUNKS)}
            name = f"run{len(self.runs):03}"
            self.runs[name] = Run(chunks, self.system.submit(name, chunks), time.monotonic())

    def _busy(self) -> int:
        """How many runs have work for the nodes. Those are done in the order in which they were submitted."""
        active = [self._active_at(name) for name in self._open()]
        now = time.monotonic()
        if now - max(active, default=now) > QUIET_S:
            return 0  # whatever they wait for, nobody is working on it
        left_behind = [
            now - at > QUIET_S and any(later > at + QUIET_S for later in active[number + 1 :])
            for number, at in enumerate(active)
        ]
        return left_behind.count(False)

    def _open(self) -> dict[str, Run]:
        return {name: run for name, run in self.runs.items() if run.result is None}

    def _pending(self, last_kill: float) -> bool:
        """Whether some run may still come to its end."""
        now = time.monotonic()
        return any(now - max(last_kill, self._active_at(name)) < HUNG_S for name in self._open())

    def _active_at(self, name: str) -> float:
        """When something last began or ended in a run."""
        traces = (self.effects / name).glob("*.jsonl")
        ages = [time.time() - path.stat().st_mtime for path in traces]
        return max([self.runs[name].submitted_at, *(time.monotonic() - age for age in ages)])


def _system(name: str, server: RedisServer, folder: Path, effects: Path) -> System:
    if name == "cluster":
        return systems.Cluster(server, folder, effects, SLOTS)
    timeout_s = systems.TUNED_TIMEOUT_S if name == "celery-tuned" else ""
    return systems.Plain(server, folder, effects, SLOTS, timeout_s)


def _case(name: str, battle: Battle, folder: Path, kills: int, seed: int) -> Case:
    steps = killer.plan(kills, seed)
    began = time.monotonic()
    found = battle.fight(steps)
    wall_s = time.monotonic() - began
    ended = {
        label: Ended(list(run.chunks), run.result, battle.system.expected(run.chunks))
        for label, run in battle.runs.items()
    }
    (folder / "events.jsonl").write_text("".join(json.dumps(event._asdict()) + "\n" for event in found.events))
    figures = analysis.analyse(ended, records.executions(battle.effects), found.events)
    return Case(
        name=f"battle, {name}",
        notes={
            **_notes(figures, wall_s, Counter(step.kind for step in steps)),
            "workers that ended by themselves": sum(event.what == "died" for event in found.events),
        },
        problem=_problem(figures) if name == "cluster" else "",  # how the others fare is a finding, no mistake
    )


def _notes(figures: Figures, wall_s: float, kinds: Mapping[killer.Kind, int]) -> dict[str, float | str]:
    notes: dict[str, float | str] = {
        "kills": sum(kinds.values()),
        **{f"of these, {kind}": kinds.get(kind, 0) for kind in killer.Kind},
        "runs": figures.runs,
        "runs without a result": figures.hung,
        "chunks": figures.chunks,
        "chunks lost": figures.lost,
        "chunks never done": figures.never_done,
        "counted twice": figures.counted_twice,
        "wrong results": figures.wrong,
        "executed twice": figures.executed_twice,
        "executed twice for no reason": figures.unexplained,
        "never begun again after a kill": figures.not_begun_again,
        "silent over 6 s and not taken over": figures.not_taken_over,
    }
    for what, seconds in (
        ("killed node", figures.killed_s),
        ("killed child", figures.child_s),
        ("silent node", figures.silent_s),
    ):
        notes[f"{what}: chunks that began again"] = len(seconds)
        for label, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            notes[f"{what}: {label}, s"] = round(percentile(seconds, share), 2) if seconds else ""
    notes["wall, s"] = round(wall_s)
    return notes


def _problem(figures: Figures) -> str:
    """What is not as it must be, or ""."""
    found = {
        "chunks lost": figures.lost,
        "counted twice": figures.counted_twice,
        "wrong results": figures.wrong,
        "executed twice for no reason": figures.unexplained,
        "never begun again": figures.not_begun_again,
        "not taken over": figures.not_taken_over,
        f"p95 over {LIMITS_S['killed']} s after a kill": _too_long(figures.killed_s, LIMITS_S["killed"]),
        f"p95 over {LIMITS_S['child']} s after a child's death": _too_long(figures.child_s, LIMITS_S["child"]),
        f"p95 over {LIMITS_S['silent']} s after silence": _too_long(figures.silent_s, LIMITS_S["silent"]),
    }
    return "; ".join(what if number is True else f"{number} {what}" for what, number in found.items() if number)


def _too_long(seconds: Sequence[float], limit_s: float) -> bool:
    return percentile(seconds, 0.95) > (limit_s if len(seconds) >= FEW else 1.5 * limit_s)
