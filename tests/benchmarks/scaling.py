"""Strong scaling: the same work on 1, 5 and 50 nodes, against the ideal of chunks x seconds / nodes.

Each node is a real worker with one slot. Its chunks wait instead of computing, so that one machine can stand for many;
their bytes, 1 MB each, are really fetched and verified. All nodes, Redis and the submitter share this machine's cores,
so whatever is lost here for want of CPU, 50 machines would not lose.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil

from cluster import settings
from cluster.stores import Stores
from tests.benchmarks import MB, Case, Options, simulator
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.kit.programs import JOBS, RedisServer, Worker, cluster
from tests.kit.waiting import wait_until

# The catalog is read once in a process: the test jobs must be on the path before.
sys.path.insert(0, str(JOBS))

CHUNK_BYTES = 10**6
SEED = 1
READY_S = 180
AT_ONCE = 4
"""So many workers start at a time: each takes a core for about a second."""


class Work(NamedTuple):
    """So many chunks of so many seconds."""

    chunks: int
    seconds: float


class Plan(NamedTuple):
    """What is done by how many nodes."""

    nodes: int
    work: list[Work]


class Spent(NamedTuple):
    """One run."""

    seconds: float
    """From its beginning in the ledger to the last byte of the result on disk."""
    cpu_s: Mapping[str, float]
    """Processor seconds of "worker" (main processes), "child", "redis", "submitter"."""


AIM = Work(400, 3.0)
"""Between what OCR takes for four receipts and for four pages; the total is the same for all numbers of nodes."""
SHORTER = [Work(400, 1.0), Work(400, 0.2)]
PLANS = [Plan(5, [AIM]), Plan(50, [AIM, *SHORTER])]
ONE = Plan(1, [AIM])
"""Takes 20 minutes: only where it is asked for by ``--nodes 1``."""
SMALL = [Plan(2, [Work(6, 0.3)])]
GOALS = {5: 0.97, 50: 0.95}


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """A case for each number of nodes and length of chunks."""
    plans = SMALL if options.small else PLANS
    if options.nodes is not None:
        plans = [plan for plan in [ONE, *PLANS] if plan.nodes == options.nodes] or [Plan(options.nodes, [AIM])]
    sums = write_inputs(folder / "in", max(work.chunks for plan in plans for work in plan.work))
    for plan in plans:
        with Ground(folder / f"{plan.nodes}", plan.nodes) as ground:
            for work in plan.work:
                yield _case(ground, work, folder / "in", sums, options.repeat)


def write_inputs(folder: Path, chunks: int, size_bytes: int = CHUNK_BYTES) -> dict[str, str]:
    """Write a file a chunk, all different; gives their sha256 by name."""
    folder.mkdir()
    chance = random.Random(SEED)
    sums = {}
    for number in range(chunks):
        data = chance.randbytes(size_bytes)
        (folder / f"{number:05}.bin").write_bytes(data)
        sums[f"{number:05}.bin"] = hashlib.sha256(data).hexdigest()
    return sums


class Ground:
    """A Redis and so many nodes that are ready and have worked before."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.nodes = nodes
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Ground:
        self._folder.mkdir()
        with ExitStack() as stack:
            self._server = stack.enter_context(RedisServer(self._folder / "redis"))
            self.url = self._server.url
            self.stores: Stores = Stores.connect(settings.load(broker_url=self.url))
            self._workers: list[Worker] = []
            for at in range(self.nodes):
                worker = Worker(f"node{at:03}", self.url, self._folder / "logs", "-c", "1", "-Q", "wait")
                self._workers.append(stack.enter_context(_Started(worker)))
                wait_until("nodes start", lambda at=at: self._ready() > at - AT_ONCE, READY_S)  # type: ignore[misc]
            wait_until("all nodes are ready", lambda: self._ready() == self.nodes, READY_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _ready(self) -> int:
        return sum(node.state == "online" for node in self.stores.nodes.nodes())

    def run(self, work: Work, source: Path, sums: Mapping[str, str]) -> Spent:
        """Do it once.

        Raises:
            Failed: A chunk is not exactly once in the result, or its bytes were others.
        """
        given = sorted(source.iterdir())[: work.chunks]
        target = self._folder / "result.json"
        before, submitters_s = self._cpu_s(), _ended_s()
        flags: list[str | Path] = [
            "-q",
            "--job",
            "wait",
            "--seconds",
            str(work.seconds),
            "-o",
            target,
            "--broker",
            self.url,
        ]
        ended = cluster("submit", *flags, *given, timeout_s=3600)
        after = self._cpu_s()
        if ended.returncode:
            raise Failed(f"the run ended with code {ended.returncode}: {ended.stderr}")
        written_at = target.stat().st_mtime
        told = json.loads(target.read_bytes())
        if told != {f"{path.name} {sums[path.name]}": 1 for path in given}:
            raise Failed(f"the result does not have each of {work.chunks} chunks once, with its checksum")
        begun_at = self.stores.ledger.runs.latest(1)[0].started_at.timestamp()  # Redis's clock is this machine's
        cpu_s = {kind: after[kind] - before[kind] for kind in after}
        return Spent(written_at - begun_at, {**cpu_s, "submitter": _ended_s() - submitters_s})

    def _cpu_s(self) -> dict[str, float]:
        """What the processes of each kind have taken so far, those of them that live."""
        mains = [psutil.Process(worker.process.pid) for worker in self._workers]
        kinds = {
            "worker": mains,
            "child": [child for main in mains for child in main.children()],
            "redis": [psutil.Process(self._server.process.pid)],
        }
        return {kind: sum(sum(process.cpu_times()[:2]) for process in processes) for kind, processes in kinds.items()}

    def memory_bytes(self) -> int:
        """What all nodes take, what they share counted once."""
        family = [
            process
            for worker in self._workers
            for process in (psutil.Process(worker.process.pid), *psutil.Process(worker.process.pid).children())
        ]
        return sum(process.memory_full_info().pss for process in family)

    def idle(self, seconds: float) -> dict[str, float]:
        """Cores that each kind of process takes while there is nothing to do."""
        before, at = self._cpu_s(), time.monotonic()
        time.sleep(seconds)
        after, took = self._cpu_s(), time.monotonic() - at
        return {kind: (after[kind] - before[kind]) / took for kind in after}


def _ended_s() -> float:
    """Processor seconds of programs that we started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Started:
    """A worker that is started and not yet waited for."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __enter__(self) -> Worker:
        return self._worker.start()

    def __exit__(self, *_: object) -> None:
        self._worker.kill()


def _case(ground: Ground, work: Work, source: Path, sums: Mapping[str, str], repeat: int) -> Case:
    ground.run(Work(min(work.chunks, 2 * ground.nodes), 0.1), source, sums)  # the first chunk of a process loads code
    done = [ground.run(work, source, sums) for _ in range(repeat)]
    ideal_s = work.chunks * work.seconds / ground.nodes
    found = sorted(ideal_s / spent.seconds for spent in done)
    median = statistics.median(found)
    each = {
        f"{kind}, CPU ms a chunk": f"{1000 * statistics.median(s.cpu_s[kind] for s in done) / work.chunks:.1f}"
        for kind in done[0].cpu_s
    }
    costs = simulator.read()
    took_s = statistics.median(spent.seconds for spent in done)
    chunk_s = costs.of_chunk(CHUNK_BYTES, simulator.chunks_per_message(work.seconds))
    predicted_s = took_s * costs.standing(ground.nodes) + work.chunks * chunk_s
    goal = GOALS.get(ground.nodes) if work == AIM else None
    shown = f"{work.chunks} chunks of {CHUNK_BYTES / MB:g} MB and {work.seconds:g} s on {ground.nodes} nodes"
    return Case(
        name=f"scaling, {ground.nodes} nodes, {work.seconds:g} s",
        notes={
            "chunks": f"{work.chunks} of {CHUNK_BYTES / MB:g} MB",
            "ideal, s": f"{ideal_s:.1f}",
            "to result, s": f"{took_s:.2f}",
            "efficiency": f"{median:.3f} [{found[0]:.3f}-{found[-1]:.3f}]",
            **each,
            "redis, predicted": f"{1000 * predicted_s / work.chunks:.1f}",
            "memory of all nodes, MB": f"{ground.memory_bytes() / MB:.0f}",
        },
        rows=[
            Row(
                work=shown,
                against="the ideal, chunks x seconds / nodes",
                ours=[spent.seconds for spent in done],
                theirs=[ideal_s] * len(done),
                goal=Goal(">=", goal) if goal else None,
            )
        ],
    )
