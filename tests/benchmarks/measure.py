"""Run ``cluster submit`` once, as a user does, and measure it from outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.sampling import Sampler

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 3600.0
NONE: Mapping[str, str] = {}
EXPECTED = {"submitter", "redis", "guard", "worker", "child"}
"""The kinds of process that a run on a private cluster has."""
LAST_LINE = re.compile(r"^\S+: (\d+) of \d+ done in ([\d:.]+) (?:s|min|h) \(", re.MULTILINE)


class Failed(Exception):
    """A run did not end well, or its answer is wrong."""


class Unseen(Failed):
    """A process escaped: it lived between two looks of the sampler."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run."""

    wall_s: float
    """From the start of the command to its end."""
    result_s: float
    """From the start of the command to the last byte of the result on disk."""
    run_s: float
    """The run itself, as the ledger timed it; it is opened before the worker is up."""
    items: int
    rss_bytes: dict[str, int]
    """Kind of process -> the most memory that one of them held."""
    cpu_s: dict[str, float]
    """Kind of process -> processor seconds of all of them together."""
    processes: dict[str, int]
    """Kind of process -> how many there were."""
    redis_used_peak_bytes: int
    redis_commands: int
    redis_input_bytes: int
    redis_server: str


def submit(
    job: str, sources: list[Path], output: Path, *options: str, environment: Mapping[str, str] = NONE
) -> Measured:  # fmt: skip
    """Run ``job`` on a private cluster and write its result to ``output``.

    Settings in the environment stand, so that one can be tried out, but no cluster is taken from there. Where a process
    escapes, it is measured once more.

    Raises:
        Failed: The exit code is not 0, the last line says nothing of items and seconds, or a process escaped again.
    """
    try:
        return _submit(job, sources, output, *options, environment=environment)
    except Unseen:
        return _submit(job, sources, output, *options, environment=environment)


def _submit(job: str, sources: list[Path], output: Path, *options: str, environment: Mapping[str, str]) -> Measured:
    output.unlink(missing_ok=True)
    # As installed programs do, it may keep its bytecode.
    without = ("CLUSTER_BROKER_URL", "PYTHONDONTWRITEBYTECODE")
    ours = {name: value for name, value in os.environ.items() if name not in without}
    command = [sys.executable, "-m", "cluster", "submit", "--job", job, *options, "-o", str(output)]
    started_at, started = time.time(), time.monotonic()
    process = subprocess.Popen(
        [*command, "--", *map(str, sources)],
        cwd=ROOT,
        env={**ours, "CLUSTER_CONFIG": os.devnull, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with Sampler(process.pid) as sampler:
            _, told = process.communicate(timeout=TIMEOUT_S)
            wall_s = time.monotonic() - started
    except BaseException:
        process.terminate()  # it ends what it started
        process.wait()
        raise
    last = LAST_LINE.search(told)
    if process.returncode or last is None:
        raise Failed(f"{' '.join(command)} ended with code {process.returncode}:\n{told}")
    unseen = EXPECTED - sampler.processes().keys()
    if unseen:  # a limit on what was not measured would hold for nothing
        raise Unseen(f"these processes were not seen: {', '.join(sorted(unseen))}")
    return Measured(
        wall_s=wall_s,
        result_s=output.stat().st_mtime - started_at,
        run_s=seconds(last.group(2)),
        items=int(last.group(1)),
        rss_bytes=sampler.rss_bytes(),
        cpu_s=sampler.cpu_s(),
        processes=sampler.processes(),
        redis_used_peak_bytes=sampler.redis.used_peak_bytes,
        redis_commands=sampler.redis.commands,
        redis_input_bytes=sampler.redis.input_bytes,
        redis_server=sampler.redis.server,
    )


def seconds(duration: str) -> float:
    """The seconds of ``7.3``, ``2:05`` or ``3:20:00``."""
    seconds = 0.0
    for part in duration.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
