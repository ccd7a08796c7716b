"""Measure what Redis spends on a cluster, for ``simulator``: ``python -m tests.benchmarks.redis_costs``.

Processor seconds are those of Redis's main thread by its own count (``INFO cpu``). A real cluster of ``NODES`` workers
gives all but what a byte costs; then a run of another shape is predicted with them, and compared with what it took.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import redis

from cluster.blobs.redis import RedisBlobs
from cluster.coordinator.pace import MESSAGE_S
from tests.benchmarks import scaling, simulator
from tests.benchmarks.measure import Failed
from tests.benchmarks.scaling import Ground, Work
from tests.benchmarks.simulator import Costs
from tests.kit.programs import RedisServer

FEW, NODES = 2, 10
IDLE_S = 20.0
SHORT_S = 0.6 * MESSAGE_S
"""Of a chunk that still travels by itself."""
MB = 10**6
TINY = 1000
ALONE = 100_000
"""Bytes of a chunk that is not kept in the ledger."""
LARGEST_ERROR = 0.25
"""Between what was predicted and what was seen."""


def spent_s(client: redis.Redis, do: Callable[[], object]) -> tuple[float, float]:
    """(processor seconds of Redis, seconds) while something is done."""
    before, at = _cpu_s(client), time.monotonic()
    do()
    return _cpu_s(client) - before, time.monotonic() - at


class Seen(NamedTuple):
    """What a run took."""

    redis_s: float
    """Processor seconds of Redis, without those of idle nodes."""
    seconds: float
    submitter_s: float
    """Processor seconds of its submitter."""


class Bench:
    """A cluster of so many nodes, and inputs of each size, to run chunks on."""

    def __init__(self, ground: Ground, inputs: Mapping[int, tuple[Path, Mapping[str, str]]]) -> None:
        self.client = ground.stores.redis
        self._ground = ground
        self._inputs = inputs
        self.idle = 0.0
        """Processor seconds of Redis in a second without a run."""
        self.run(ALONE, Work(2 * ground.nodes, 0.1))  # the first chunk of a process loads code
        cpu_s, took_s = spent_s(self.client, lambda: time.sleep(IDLE_S))
        self.idle = cpu_s / took_s

    def run(self, size: int, work: Work) -> Seen:
        """Do so many chunks of that size."""
        spent = []
        source, sums = self._inputs[size]
        cpu_s, took_s = spent_s(self.client, lambda: spent.append(self._ground.run(work, source, sums)))
        return Seen(cpu_s - took_s * self.idle, took_s, spent[0].cpu_s["submitter"])


def measure(folder: Path, nodes: int = NODES, chunks: int = 400) -> tuple[Costs, dict[str, float]]:
    """The costs, and a prediction with them beside what was seen: "predicted" and "seen" CPU seconds of Redis."""
    long_s = chunks / nodes * SHORT_S  # few chunks that take as long as all the short ones
    counts = {TINY: 10 * chunks, ALONE: chunks, MB: chunks}
    inputs = {
        size: (folder / f"{size}", scaling.write_inputs(folder / f"{size}", count, size))
        for size, count in counts.items()
    }
    with Ground(folder / "few", FEW) as ground:
        bench = Bench(ground, inputs)
        few_idle, few = bench.idle, bench.run(ALONE, Work(FEW, long_s))
        byte_in, byte_out = _bytes(bench.client)
    with Ground(folder / "more", nodes) as ground:
        bench = Bench(ground, inputs)
        alone_s = ALONE * (byte_in + byte_out)
        long, many = bench.run(ALONE, Work(nodes, long_s)), bench.run(ALONE, Work(chunks, SHORT_S))
        tiny = bench.run(TINY, Work(10 * chunks, 0.0))
        # As many unknowns as runs: a second of a run, of watching a node in it, and a chunk.
        more = chunks / nodes
        watched = (long.redis_s - many.redis_s / more) / (long.seconds - many.seconds / more)
        chunk = (many.redis_s - many.seconds * watched) / chunks - alone_s
        few_watched = (few.redis_s - FEW * (chunk + alone_s)) / few.seconds
        watch = max(0.0, (watched - few_watched) / (nodes - FEW))
        node = (bench.idle - few_idle) / (nodes - FEW)
        costs = Costs(
            base=max(0.0, few_idle - FEW * node),
            node=node,
            run=max(0.0, watched - nodes * watch),
            watch=watch,
            chunk=chunk,
            tiny_chunk=(tiny.redis_s - tiny.seconds * watched) / (10 * chunks),
            byte_in=byte_in,
            byte_out=byte_out,
            submitter_chunk=max(0.0, many.submitter_s - long.submitter_s) / (chunks - nodes),
            submitter_byte=_submitted(folder),
        )
        work = Work(chunks, 1.2 * MESSAGE_S)
        seen = bench.run(MB, work)
        seen_s = seen.redis_s + seen.seconds * bench.idle
    predicted_s = seen.seconds * costs.standing(nodes) + work.chunks * costs.of_chunk(MB)
    return costs, {"predicted": predicted_s, "seen": seen_s}


def _bytes(client: redis.Redis, count: int = 100) -> tuple[float, float]:
    """Processor seconds a byte costs on its way in and out, as the blob store moves it."""
    store, data = RedisBlobs(client), bytes(MB)
    scopes = [f"cost/{number}" for number in range(count)]
    refs = store.put("cost/first", [data])
    for scope in scopes:  # so that Redis has the memory
        store.put(scope, [data])
    for scope in scopes:
        store.drop(scope)
    come_s, _ = spent_s(client, lambda: [store.put(scope, [data]) for scope in scopes])
    go_s, _ = spent_s(client, lambda: [store.read(scope, refs) for scope in scopes])
    for scope in ("cost/first", *scopes):
        store.drop(scope)
    return come_s / count / MB, go_s / count / MB


def _submitted(folder: Path, count: int = 50) -> float:
    """Processor seconds a byte costs its submitter: reading, its sha256, and sending it."""
    with RedisServer(folder / "sink") as server, redis.Redis.from_url(server.url) as client:
        store = RedisBlobs(client)
        path = sorted((folder / f"{MB}").iterdir())[0]
        before_s = time.process_time()
        for number in range(count):
            store.put(f"cost/{number}", [path.read_bytes()])
        return (time.process_time() - before_s) / count / MB


def _cpu_s(client: redis.Redis) -> float:
    found: Any = client.info("cpu")
    return float(found["used_cpu_user_main_thread"] + found["used_cpu_sys_main_thread"])


@click.command()
@click.option("--keep", is_flag=True, help=f"Write what was measured to {simulator.MEASURED.name}.")
def main(keep: bool) -> None:
    """Measure, and say how far a prediction was off."""
    with tempfile.TemporaryDirectory(prefix="costs-") as folder:
        costs, check = measure(Path(folder))
    off = check["predicted"] / check["seen"] - 1
    told = {
        "measured": datetime.now(UTC).date().isoformat(),
        "command": "python -m tests.benchmarks.redis_costs --keep",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "unit": "processor seconds of Redis, but for submitter_*",
        "costs": costs._asdict(),
        "check": {**check, "error": off},
    }
    click.echo(json.dumps(told, indent=1))
    if keep:
        simulator.MEASURED.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if abs(off) > LARGEST_ERROR:
        raise Failed(f"the prediction is off by {off:+.0%}")


if __name__ == "__main__":
    main(prog_name="python -m tests.benchmarks.redis_costs")
