"""The systems that are put to the test, each behind the same three calls."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import redis
from celery import exceptions
from kombu.exceptions import OperationalError

from cluster import catalog
from tests.kit.programs import JOBS, ROOT, RedisServer, Worker, start_cluster

NODE = "CLUSTER_TEST_NODE"
TUNED_TIMEOUT_S = "10"
Chunks = Mapping[str, float]
"""Chunk -> seconds it takes."""


class Submission(Protocol):
    """A run that was submitted."""

    def result(self) -> dict[str, int] | None:
        """Chunk -> how often it counts; None as long as there is no result."""

    def end(self) -> None:
        """Stop waiting for it."""


class System(Protocol):
    """Something that runs chunks on nodes and sums them up."""

    def worker(self, name: str, start: str) -> Worker:
        """A node, not started yet."""

    def submit(self, run: str, chunks: Chunks) -> Submission:
        """Start a run."""

    def expected(self, chunks: Chunks) -> dict[str, int]:
        """What its result must be."""


class Cluster:
    """This project."""

    def __init__(self, server: RedisServer, folder: Path, effects: Path, slots: int) -> None:
        self._url, self._folder, self._effects, self._slots = server.url, folder, effects, slots

    def worker(self, name: str, start: str) -> Worker:
        return Worker(name, self._url, self._folder / start, "-c", str(self._slots), **{NODE: start})

    def submit(self, run: str, chunks: Chunks) -> Submission:
        source = self._source(run, chunks)
        output = self._folder / f"{run}.json"
        settings = {"CLUSTER_BROKER_URL": self._url}
        process = start_cluster(
            *("submit", "--quiet", "--job", "battle", "--effects", self._effects, "--label", run, source, "-o", output),
            settings=settings,
        )
        return _Submitted(process, output)

    def expected(self, chunks: Chunks) -> dict[str, int]:
        found: dict[str, int] = catalog.get("battle").run_locally(self._source("expected", chunks))
        return found

    def _source(self, run: str, chunks: Chunks) -> Path:
        """A file for each chunk; it says how long to sleep."""
        folder = self._folder / f"{run}-in"
        folder.mkdir(exist_ok=True)
        for chunk, seconds in chunks.items():
            (folder / chunk).write_text(str(seconds))
        return folder


class _Submitted:
    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self._process, self._output = process, output

    def result(self) -> dict[str, int] | None:
        if self._process.poll() is None or self._process.returncode:
            return None
        found: dict[str, int] = json.loads(self._output.read_bytes())
        return found

    def end(self) -> None:
        failed = self._process.poll()
        self._process.kill()
        _, told = self._process.communicate()
        if failed:
            print(f"a submitter ended with code {failed}: {told.strip()[-2000:]}", file=sys.stderr)


class Plain:
    """Celery alone; ``timeout_s`` is its visibility timeout, empty for the default."""

    def __init__(self, server: RedisServer, folder: Path, effects: Path, slots: int, timeout_s: str) -> None:
        from tests.benchmarks.battle import plain  # needs the test jobs on the path

        self._url, self._folder, self._effects, self._slots = server.url, folder, effects, slots
        self._settings = {plain.VISIBILITY_TIMEOUT_S: timeout_s, "PYTHONPATH": f"{ROOT}:{JOBS}"}
        self._app = plain.build(server.url, timeout_s)
        self._submit = plain.submit

    def worker(self, name: str, start: str) -> Worker:
        settings = {**self._settings, NODE: start}
        flags = ("-c", str(self._slots))
        return Worker(name, self._url, self._folder / start, *flags, app="tests.benchmarks.battle.plain", **settings)

    def submit(self, run: str, chunks: Chunks) -> Submission:
        return _Published(self._submit(self._app, str(self._effects), run, dict(chunks)))

    def expected(self, chunks: Chunks) -> dict[str, int]:
        return dict.fromkeys(chunks, 1)


class _Published:
    def __init__(self, pending: Any) -> None:
        self._pending = pending

    def result(self) -> dict[str, int] | None:
        try:
            if not self._pending.successful():
                return None
            found: dict[str, int] = self._pending.result
        except (redis.RedisError, OperationalError, exceptions.CeleryError):
            return None  # the broker is away
        return found

    def end(self) -> None:
        """Nothing is held for it."""
