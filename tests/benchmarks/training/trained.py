"""Train by our command line on a cluster of several nodes, and see that what it reports is so."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cluster import names, settings
from cluster.stores import Stores
from tests.benchmarks.measure import TIMEOUT_S, Failed
from tests.kit.programs import RedisServer, Worker, admin, environment

DIFFER = 0.005
"""How far the accuracy that we work out from the bundle may be from the one that is reported."""


class Trained(NamedTuple):
    """One run."""

    run: str
    report: Mapping[str, Any]
    curve: Sequence[Mapping[str, Any]]
    """Its rows; ``closed_at`` is when the round was closed, in seconds since 1970."""
    begun_at: float
    """When round 0 was opened."""
    wall_s: float
    """From the start of the command until the result was on disk."""
    redis_bytes: int
    """What Redis received and sent meanwhile."""

    @property
    def accuracy(self) -> float:
        """Of the rows held out."""
        return float(self.report["test"]["accuracy"])

    @property
    def traffic_bytes(self) -> int:
        """Up and down, of all shards."""
        return int(self.report["traffic"]["up_bytes"] + self.report["traffic"]["down_bytes"])

    @property
    def rounds(self) -> list[Mapping[str, Any]]:
        """The rows of the rounds that train: the last one tests."""
        return [row for row in self.curve if row.get("kind", "train") == "train"]

    def seconds_from(self, first: int) -> float:
        """Seconds from the end of round ``first`` to the end of the last one that trains."""
        rounds = self.rounds
        return float(rounds[-1]["closed_at"] - rounds[first]["closed_at"])


class Grounds(NamedTuple):
    """A Redis and nodes of one slot each."""

    url: str
    nodes: Sequence[Worker]
    folder: Path

    def train(self, source: Path, options: Mapping[str, Any], job: str = "train") -> Trained:
        """Submit, and wait for the result.

        Raises:
            Failed: It did not end well.
        """
        with self.submitted(source, options, job) as process:
            return self.ended(process)

    @contextmanager
    def submitted(self, source: Path, options: Mapping[str, Any], job: str = "train") -> Iterator[Submitted]:
        """A run that goes on meanwhile."""
        output = self.folder / "report.json"
        output.unlink(missing_ok=True)
        flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        command = [sys.executable, "-m", "cluster", "submit", "--quiet", "--broker", self.url, "--job", job, *flags]
        before = self._redis_bytes()
        started = time.time()
        process = subprocess.Popen(
            [*command, "-o", str(output), "--", str(source)], env=environment(), stderr=subprocess.PIPE, text=True
        )
        try:
            yield Submitted(process, output, started, before)
        finally:
            process.kill()
            process.communicate()

    def ended(self, submitted: Submitted) -> Trained:
        """Wait for the result of what was submitted.

        Raises:
            Failed: It did not end well.
        """
        process, output, started, before = submitted
        _, told = process.communicate(timeout=TIMEOUT_S)
        if process.returncode:
            raise Failed(f"the training ended with code {process.returncode}:\n{told}")
        wall_s = output.stat().st_mtime - started
        ledger = Stores.connect(settings.load(broker_url=self.url)).ledger
        run = ledger.runs.latest(1)[0].run
        curve = [{**row, "closed_at": names.entered_ms(at) / 1000} for at, row in ledger.rounds.curve(run)]
        begun_at = next(event.at for event in ledger.runs.events(run) if event.event == "input-read").timestamp()
        report = json.loads(output.read_bytes())
        return Trained(run, report, curve, begun_at, wall_s, self._redis_bytes() - before)

    def _redis_bytes(self) -> int:
        with admin(self.url) as client:
            stats = client.info("stats")
        return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])


class Submitted(NamedTuple):
    """A run that goes on."""

    process: subprocess.Popen[str]
    output: Path
    started: float
    redis_bytes_before: int


@contextmanager
def grounds(folder: Path, *nodes: Mapping[str, str]) -> Iterator[Grounds]:
    """A Redis, and a node of one slot for each of these settings.

    Raises:
        Failed: One of them does not start.
    """
    folder.mkdir(exist_ok=True)
    try:
        with ExitStack() as stack:
            server = stack.enter_context(RedisServer(folder / "redis"))
            workers = [
                Worker(f"node{at}", server.url, folder / f"node{at}", "-c", "1", **more)
                for at, more in enumerate(nodes)
            ]
            for worker in workers:
                stack.callback(worker.kill)
                worker.start()
            for worker in workers:
                worker.wait_until_ready()
            yield Grounds(server.url, workers, folder)
    except AssertionError as error:
        raise Failed(str(error)) from None
