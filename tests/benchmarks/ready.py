"""A cluster that is up and waits for work: what a user of a running cluster meets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.contest import Timed
from tests.benchmarks.measure import LAST_LINE, TIMEOUT_S, Failed, seconds
from tests.kit.programs import RedisServer, Worker, environment

SLOTS = 2


class Ready(NamedTuple):
    """A cluster with one node."""

    url: str
    worker_pid: int
    redis_pid: int

    def submit(self, job: str, sources: list[Path], output: Path, *options: str) -> Timed:
        """From the start of ``cluster submit`` until the result is on disk; ``ready_s`` is the run, by the ledger.

        Raises:
            Failed: It did not end well.
        """
        output.unlink(missing_ok=True)
        command = [sys.executable, "-m", "cluster", "submit", "--broker", self.url, "--job", job, *options]
        started = time.time()
        told = subprocess.run(
            [*command, "-o", str(output), "--", *map(str, sources)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        last = LAST_LINE.search(told.stderr)
        if told.returncode or last is None:
            raise Failed(f"{job} ended with code {told.returncode}:\n{told.stderr}")
        return Timed(output.stat().st_mtime - started, seconds(last.group(2)))


@contextmanager
def cluster(folder: Path, slots: int = SLOTS, **settings: str) -> Iterator[Ready]:
    """Redis and ``celery -A cluster worker``, up until the end of the ``with``.

    Raises:
        Failed: One of them does not start.
    """
    try:
        with (
            RedisServer(folder / "redis") as server,
            Worker("ready", server.url, folder / "worker", "-c", str(slots), **settings) as worker,
        ):
            yield Ready(server.url, worker.process.pid, server.process.pid)
    except AssertionError as error:
        raise Failed(str(error)) from None


def settings_of_the_caller() -> dict[str, str]:
    """What is set for us, so that a setting can be tried out; but no broker."""
    return {k: v for k, v in os.environ.items() if k.startswith("CLUSTER_") and k != "CLUSTER_BROKER_URL"}
