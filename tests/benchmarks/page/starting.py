"""How soon `cluster web` is ready, and what it holds while nobody asks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.page.ground import MB
from tests.kit.programs import RedisServer, environment
from tests.kit.waiting import line_with

READY, RSS = Goal("<=", 1.5, "itself"), Goal("<=", 60, "itself")
GOES = 5


def started(options: Options, folder: Path) -> Iterator[Case]:
    """Of a cluster that runs; from the start of the command until a page is answered."""
    took_s, held_mb = [], []
    (folder / "started").mkdir()
    with RedisServer(folder / "started" / "redis") as redis:
        for number in range(1 if options.small else GOES):
            command = [
                sys.executable, "-m", "cluster", "web", "--broker", redis.url, "--port", "0", "--no-open", "--json",
                "--data", str(folder / "started" / str(number)),
            ]  # fmt: skip
            began = time.monotonic()
            with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as child:
                try:
                    assert child.stdout is not None
                    url = json.loads(line_with("url", child.stdout))["url"]
                    httpx.get(f"{url}/health").raise_for_status()
                    took_s.append(time.monotonic() - began)
                    held_mb.append(psutil.Process(child.pid).memory_info().rss / MB)
                finally:
                    child.terminate()
    yield Case(
        name="page, its start",
        rows=[
            Row(work="cluster web is ready, with a broker", against="", ours=took_s, unit="s", goal=READY),
            Row(work="cluster web, memory while nobody asks", against="", ours=held_mb, unit="MB", goal=RSS),
        ],
    )
