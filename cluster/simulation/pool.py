"""Processes that do the turns of a simulation, those of several terminals at once.

A turn's numbers depend on its view and on what its terminal kept of the shard. All turns of a shard are done by the
same process, so the parts are those that one process gives. A process is told by MessagePack through its stdin and
answers through its stdout; it ends when its stdin does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Any

import msgpack

from cluster import catalog, wire
from cluster.job import Job
from cluster.rounds import Batch, Bound, do
from cluster.worker import capacity
from splitters import Chunk, Item

WORTH_STEPS = 10_000
"""Steps from which processes are worth the seconds that their begin takes."""
MOST_PROCESSES = 4
MAIN = f"from {__name__} import main; main()"
MOST_BYTES = 2**31 - 1


def is_worth(job: Job, steps: int) -> bool:
    """Whether to use processes for a run of about so many steps."""
    return catalog.jobs().get(job.name) is job and steps >= WORTH_STEPS and capacity.cores() > 1


class Pool:
    """Processes for one run. Use it in a ``with``.

    Args:
        bound: The functions of the run; processes find the job by its name.
        shards: Of the input.
    """

    def __init__(self, bound: Bound, shards: Sequence[Chunk]) -> None:
        self._bound = bound
        self._shards = shards
        self._processes: list[_Process] = []

    def __enter__(self) -> Pool:
        count = min(MOST_PROCESSES, capacity.cores(), len(self._shards))
        for number in range(count):
            own = {shard: list(map(list, self._shards[shard])) for shard in range(number, len(self._shards), count)}
            about = {"about": self._bound.about, "all": len(self._shards), "shards": own}
            self._processes.append(_Process({"job": self._bound.job.name, "options": self._bound.options, **about}))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.close()

    def begin(self, who: str, batch: Batch, shard: int, steps: int | None) -> Callable[[], bytes]:
        """Begin a turn; gives what waits for its packed part.

        Args:
            who: The process of a terminal that does it: what it keeps of a shard is its own.
            batch: Which the turn is of.
            shard: Whose.
            steps: See ``tasks.Turn``.
        """
        return self._processes[shard % len(self._processes)].begin(who, batch, shard, steps)


class _Process:
    def __init__(self, told: Mapping[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", MAIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._came: dict[int, Mapping[str, Any]] = {}
        self._news = threading.Condition()
        self._is_over = False
        self._version = -1
        self._number = 0
        self._reader = threading.Thread(target=self._read, name="turns of a simulation", daemon=True)
        self._reader.start()
        self._send(told)

    def begin(self, who: str, batch: Batch, shard: int, steps: int | None) -> Callable[[], bytes]:
        """See ``Pool.begin``."""
        self._number += 1
        told = {
            "number": self._number, "who": who, "shard": shard, "steps": steps, "round": batch.number,
            "kind": batch.kind, "seconds": batch.seconds, "version": batch.version,
        }  # fmt: skip
        if batch.version != self._version:
            told["view"], self._version = batch.view.tobytes(), batch.version
        self._send(told)
        return partial(self._wait, self._number)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _send(self, told: Mapping[str, Any]) -> None:
        stream, data = self._process.stdin, memoryview(msgpack.packb(told))
        assert stream is not None  # noqa: S101 - it was asked for
        while data:  # the pipe takes a part of much
            data = data[stream.write(data) :]

    def _wait(self, number: int) -> bytes:
        with self._news:
            self._news.wait_for(lambda: number in self._came or self._is_over)
            answer = self._came.pop(number, None)
        if answer is None:
            raise RuntimeError("a process that does turns of the simulation has ended: is the memory full?")
        if why := answer.get("why"):
            raise ValueError(why)
        part: bytes = answer["part"]
        return part

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        for answer in _messages(self._process.stdout):
            with self._news:
                self._came[answer["number"]] = answer
                self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()


def _messages(stream: IO[bytes]) -> Iterator[Any]:
    return iter(msgpack.Unpacker(stream, max_buffer_size=MOST_BYTES, strict_map_key=False))


def serve(asked: IO[bytes], answers: IO[bytes]) -> None:
    """Do turns as they are asked for, until nobody asks any more."""
    import numpy as np

    messages = _messages(asked)
    told = next(messages)
    bound = Bound(catalog.get(told["job"]), told["options"], told["about"])
    shards = {number: [Item(*item) for item in items] for number, items in told["shards"].items()}
    kept: dict[tuple[str, int], dict[str, Any]] = {}
    view = np.empty(0, np.float32)
    for one in messages:
        if "view" in one:
            view = np.frombuffer(one["view"], np.float32)
        batch = Batch(one["round"], (), one["kind"], one["seconds"], 1.0, one["version"], view, (), 0)
        mine = kept.setdefault((one["who"], one["shard"]), {})
        answer = {"number": one["number"]}
        try:
            read = partial(shards.__getitem__, one["shard"])
            answer["part"] = wire.pack(do(bound, batch, one["shard"], told["all"], read, mine, one["steps"]))
        except Exception as error:  # noqa: BLE001 - it is raised where the turn was begun
            answer["why"] = f"{type(error).__name__}: {error}"
        answers.write(msgpack.packb(answer))
        answers.flush()


def main() -> None:
    """Serve the process that began this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that one ends this one
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    serve(os.fdopen(0, "rb", buffering=0, closefd=False), out)
