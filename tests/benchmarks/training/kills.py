"""Kill nodes, coordinators and Redis while a job in rounds adds one at each round and shard; then count.

Each of them must be 0 or 1, and those that are 0 exactly the parts that the curve names as late.
"""

from __future__ import annotations

import itertools
import json
import random
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from cluster import names, settings
from cluster.coordinator import deadline
from cluster.stores import Stores
from tests.benchmarks import Case, Options
from tests.benchmarks.battle.killer import Nodes
from tests.benchmarks.measure import Failed
from tests.kit.programs import Program, RedisServer, Worker, cluster, start_cluster
from tests.kit.waiting import wait_until

DIE_IN_STEP = "CLUSTER_TEST_DIE_IN_STEP"
SHARDS, QUORUM, PART_S = 4, 0.75, 0.6
MACHINES, SLOTS, READY_BEFORE = 3, 2, 2
PAUSE_S = 10.0
NEW_DRIVER_S = 8.0
LEAST_DEADLINE_S = PART_S + deadline.LEAST_S
"""No deadline of a round is shorter, as no part is faster: for rounds that a coordinator closed without one, since all
parts came before it had heard of any."""
OVER_S = 5.0
"""A round may take so much longer than its deadline, or than its coordinator or Redis was away."""
TIMEOUT_S = 300.0
LOOK_S = 0.02


class Kind(StrEnum):
    """What is done."""

    NODE = "kill -9 of a node"
    STEP = "the submitter dies between reading the parts and entering the next round"
    DRIVER = "kill -9 of the coordinator"
    PAUSE = "a node sleeps for 10 s"
    BROKER = "kill -9 of Redis, which starts again from its AOF"


class Act(NamedTuple):
    """One kill of the plan."""

    round: int
    """It is done once this round is closed."""
    kind: Kind
    victim: float = 0.0
    """0 up to 1: which node of those that are ready."""


class Away(NamedTuple):
    """The coordinator or Redis was away, by ``time.time()``."""

    who: Kind
    since: float
    until: float


class Found(NamedTuple):
    """What a run left behind."""

    counts: Sequence[Sequence[int]]
    """For each round, how often each shard counts."""
    rows: Sequence[Mapping[str, Any]]
    """The curve; ``closed_at`` is when the round was closed, by ``time.time()``."""
    away: Sequence[Away]
    began: float
    rounds: int


def plan(rounds: int, kills: int, seed: int) -> list[Act]:
    """So many kills of nodes, two of coordinators, a pause and a restart of Redis, spread over the rounds."""
    chance = random.Random(seed)
    kinds = [Kind.NODE] * kills + [Kind.PAUSE, Kind.BROKER, Kind.DRIVER]
    chance.shuffle(kinds)
    # The submitter is the coordinator at first; a master can only be killed as one after that.
    kinds.remove(Kind.DRIVER)
    kinds.insert(len(kinds) // 3, Kind.STEP)
    kinds.insert(2 * len(kinds) // 3, Kind.DRIVER)
    every = (rounds - 6) / len(kinds)
    return [Act(2 + int(at * every), kind, chance.random()) for at, kind in enumerate(kinds)]


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """One run under one plan."""
    rounds = 24 if options.small else 60
    steps = plan(rounds, options.kills or (3 if options.small else 8), options.seed)
    with ExitStack() as stack:
        found = Scene(folder, stack, rounds).fight(steps)
    problems = wrong(found)
    took = seconds(found)
    granted = sorted(row["deadline_s"] for row in found.rows if row["deadline_s"])
    late = [chunk for row in found.rows for chunk in row["late_chunks"]]
    drivers = [away.until - away.since for away in found.away if away.who is not Kind.BROKER]
    yield Case(
        name=f"training-kills, {rounds} rounds of {SHARDS} shards",
        notes={
            **{str(kind): number for kind, number in Counter(step.kind for step in steps).items()},
            "parts": rounds * SHARDS,
            "counted once": sum(count == 1 for row in found.counts for count in row),
            "counted twice": sum(count > 1 for row in found.counts for count in row),
            "late, each named": len(late),
            "a round, median, s": round(sorted(took)[len(took) // 2], 2),
            "the longest round, s": round(max(took), 2),
            "deadlines, shortest and longest, s": " ".join(f"{each:.2f}" for each in (granted[0], granted[-1]))
            if granted
            else "none",
            "until there is a new coordinator, s": ", ".join(f"{each:.1f}" for each in drivers),
            "wall, s": round(found.rows[-1]["closed_at"] - found.began),
        },
        problem="; ".join(problems),
    )


def seconds(found: Found) -> list[float]:
    """How long each round took, from the end of the one before."""
    ends = [found.began, *(row["closed_at"] for row in found.rows)]
    return [end - before for before, end in itertools.pairwise(ends)]


def wrong(found: Found) -> list[str]:
    """What is not as it must be."""
    problems = []
    shape = (len(found.counts), {len(row) for row in found.counts})
    if shape != (found.rounds, {SHARDS}) or [row["round"] for row in found.rows] != list(range(found.rounds)):
        problems.append(f"{found.rounds} rounds were asked for; {shape[0]} count, {len(found.rows)} are in the curve")
    counts = {(at, shard): count for at, row in enumerate(found.counts) for shard, count in enumerate(row)}
    if twice := sorted(where for where, count in counts.items() if count not in (0, 1)):
        problems.append(f"counted more than once: {twice}")
    missing = {where for where, count in counts.items() if count == 0}
    named = {divmod(chunk, SHARDS) for row in found.rows for chunk in row["late_chunks"]}
    if missing != named:
        problems.append(f"missing and not named: {sorted(missing - named)}; named and there: {sorted(named - missing)}")
    for away in found.away:
        if away.who is not Kind.BROKER and away.until - away.since > NEW_DRIVER_S:
            problems.append(f"a new coordinator after {away.until - away.since:.1f} s")
    for row, took in zip(found.rows, seconds(found), strict=True):
        most_s = OVER_S + max(
            row["deadline_s"] or LEAST_DEADLINE_S,
            longest_absence_s(found.away, row["closed_at"] - took, row["closed_at"]),
        )
        if took > most_s:
            problems.append(f"round {row['round']} took {took:.1f} s, of at most {most_s:.1f} s")
    return problems


def longest_absence_s(away: Sequence[Away], since: float, until: float) -> float:
    """The longest of those that overlap with this time; 0 without any."""
    return max((each.until - each.since for each in away if each.since < until and each.until > since), default=0.0)


class Scene:
    """Nodes, two masters, a submitter, and the hand that harms them."""

    def __init__(self, folder: Path, stack: ExitStack, rounds: int) -> None:
        self._folder = folder
        self._stack = stack
        self._rounds = rounds
        self._server = stack.enter_context(RedisServer(folder / "redis", "--appendonly", "yes"))
        self._ledger = Stores.connect(settings.load(broker_url=self._server.url)).ledger
        self._nodes = Nodes(MACHINES, self._node)
        stack.callback(self._nodes.end)
        self._masters: list[Program] = []
        self._resume_at: dict[int, float] = {}
        self._away: list[tuple[Kind, float]] = []
        self._broker_away: list[Away] = []

    def _node(self, name: str, start: str) -> Worker:
        return Worker(name, self._server.url, self._folder / start, "-c", str(SLOTS))

    def _start(self, *arguments: str | Path, **settings: str) -> Program:
        process = start_cluster(*arguments, "--broker", self._server.url, settings=settings)
        self._stack.callback(_end, process)
        return process

    def fight(self, steps: Sequence[Act]) -> Found:
        """Carry out the plan while the run goes on.

        Raises:
            Failed: It does not end in time, or before the plan does.
        """
        for machine in range(MACHINES):
            self._nodes.start(machine)
        wait_until("all nodes are up", lambda: len(self._nodes.ready()) == MACHINES, 60)
        source = self._folder / "source.txt"
        source.write_text("whatever")
        [dies] = [step.round for step in steps if step.kind is Kind.STEP]
        submitter = self._start(
            *("submit", "--job", "count-turns", "--rounds", str(self._rounds), "--shards", str(SHARDS)),
            *("--seconds", str(PART_S), "--quorum", str(QUORUM), source),
            **{DIE_IN_STEP: str(dies)},
        )
        self._masters = [self._start("master"), self._start("master")]
        run = wait_until("there is a run", self._run_of(submitter))
        wait_until("its rounds have begun", lambda: self._ledger.rounds.of(run))
        began = time.time()
        self._carry_out([step for step in steps if step.kind is not Kind.STEP], run, submitter, began)
        output = self._folder / "counts.json"
        told = cluster("result", run, "--wait", "-o", output, "--broker", self._server.url)
        if told.returncode:
            raise Failed(f"the result is not there: {told.stderr}")
        rows = [{**row, "closed_at": names.entered_ms(at) / 1000} for at, row in self._ledger.rounds.curve(run)]
        return Found(json.loads(output.read_bytes())["counts"], rows, self._absences(run), began, self._rounds)

    def _run_of(self, submitter: subprocess.Popen[str]) -> Any:
        def find() -> str:
            if submitter.poll() is not None:
                raise Failed(f"the submitter ended: {submitter.communicate()[1]}")
            found = self._ledger.runs.latest(1)
            return found[0].run if found else ""

        return find

    def _carry_out(self, steps: list[Act], run: str, submitter: subprocess.Popen[str], began: float) -> None:
        died = False
        while True:
            now = time.time()
            for machine in [machine for machine, at in self._resume_at.items() if at <= now]:
                del self._resume_at[machine]
                self._nodes.workers[machine].send(signal.SIGCONT)
                self._nodes.paused.discard(machine)
            for machine in self._nodes.dead():
                self._nodes.start(machine)
            if not died and submitter.poll() is not None:
                died = True
                if submitter.returncode != -signal.SIGKILL:
                    raise Failed(f"the submitter ended with code {submitter.returncode}: {submitter.communicate()[1]}")
                self._away.append((Kind.STEP, now))
            row = self._ledger.rounds.of(run)
            if row is None or self._ledger.runs.progress(run).state != "running":
                break
            is_due = steps and row.round >= steps[0].round and len(self._nodes.ready()) >= READY_BEFORE
            if is_due and self._harm(steps[0], run):
                steps.pop(0)
            if now - began > TIMEOUT_S:
                raise Failed(f"the run does not end: {self._ledger.runs.status(run)}")
            time.sleep(LOOK_S)
        if steps or not died:
            raise Failed(f"the run ended before the plan: {steps} were left")

    def _harm(self, step: Act, run: str) -> bool:
        """Do it; False where there is nobody to harm just now."""
        if step.kind is Kind.BROKER:
            since = time.time()
            self._server.kill()
            self._server.start()
            self._broker_away.append(Away(Kind.BROKER, since, time.time()))
        elif step.kind is Kind.DRIVER:
            row = self._ledger.runs.row(run, "coordinator")
            holder = [
                each
                for each in self._masters
                if row and row.coordinator == names.process(socket.gethostname(), each.pid)
            ]
            if not holder:
                return False
            self._away.append((Kind.DRIVER, time.time()))
            holder[0].kill()
        else:
            ready = self._nodes.ready()
            machine = ready[int(step.victim * len(ready))]
            if step.kind is Kind.NODE:
                self._nodes.workers[machine].kill()
                self._nodes.start(machine)
            else:
                self._nodes.workers[machine].send(signal.SIGSTOP)
                self._nodes.paused.add(machine)
                self._resume_at[machine] = time.time() + PAUSE_S
        return True

    def _absences(self, run: str) -> list[Away]:
        """From each death of a coordinator until the next one began, as the run's events tell."""
        taken = [event.at.timestamp() for event in self._ledger.runs.events(run) if event.event == "coordinator"]
        found = [
            Away(who, since, min((at for at in taken if at > since), default=time.time())) for who, since in self._away
        ]
        return [*found, *self._broker_away]


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
