"""What it costs that people watch a run: processor time of the page and of Redis."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from cluster.web import channels
from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.page import ground
from tests.benchmarks.page.ground import Ground
from tests.kit import played_run

WATCHERS = (1, 50, 500)
GOALS = {1: None, 50: Goal("<=", 3, "itself"), 500: Goal("<=", 10, "itself")}
"""In percent of a core."""
REDIS_GOAL = Goal("<=", 1, "itself")
CHANGES_HZ = 4.0
MOST_CHUNKS = 2000


class Cost(NamedTuple):
    """In percent of a core."""

    page: float
    redis: float
    heard: int
    """Messages that the watchers got, all together."""


def watched(options: Options, folder: Path) -> Iterator[Case]:
    """One watcher, 50, 500, while a chunk is settled four times a second."""
    seconds = 2.0 if options.small else channels.HEARTBEAT_S  # in which each watcher is looked at once
    with ground.prepared(folder / "watched") as page:
        run = played_run.Run(page.stores, batches=1, batch_chunks=MOST_CHUNKS)
        chunks = iter(range(MOST_CHUNKS))
        alone = asyncio.run(_cost(page, run, chunks, 0, seconds))
        for watchers in WATCHERS[:2] if options.small else WATCHERS:
            cost = asyncio.run(_cost(page, run, chunks, watchers, seconds))
            least = watchers * seconds / channels.pause_s(0, watchers) / 2
            if cost.heard < least:
                yield Case(name=f"page, {watchers} watchers", problem=f"{cost.heard} messages, not {least:.0f}")
                continue
            note = f"{cost.heard} messages in {seconds:.0f} s; without watchers {alone.page:.1f} %"
            yield Case(
                name=f"page, {watchers} watchers",
                rows=[
                    Row(work=f"{watchers} watch a run, the page's process", against="", ours=[cost.page], unit="%",
                        goal=GOALS[watchers], note=note),
                    Row(work=f"{watchers} watch a run, Redis", against="", ours=[max(0.0, cost.redis - alone.redis)],
                        unit="%", goal=REDIS_GOAL, note=f"more than the {alone.redis:.1f} % without"),
                ],
            )  # fmt: skip


async def _cost(page: Ground, run: played_run.Run, chunks: Iterator[int], watchers: int, seconds: float) -> Cost:
    """While so many watch; the first second, in which they come, does not count."""
    heard = itertools.count()
    tasks = [asyncio.create_task(_watch(page, run.run, heard)) for _ in range(watchers)]
    await asyncio.sleep(1 + watchers / 200)
    before, page_s, redis_s, began = next(heard), page.cpu_s, page.redis_cpu_s, time.monotonic()
    for number in range(int(seconds * CHANGES_HZ)):
        await asyncio.to_thread(run.do, next(chunks))
        await asyncio.sleep(max(0.0, began + (number + 1) / CHANGES_HZ - time.monotonic()))
    passed_s = time.monotonic() - began
    page_s, redis_s = page.cpu_s - page_s, page.redis_cpu_s - redis_s
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            raise Failed(f"a watcher heard no more: {ended!r}")
    return Cost(100 * page_s / passed_s, 100 * redis_s / passed_s, next(heard) - before - 1)


async def _watch(page: Ground, run: str, heard: Iterator[int]) -> None:
    at = urlsplit(page.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        request = f"GET /api/runs/{run}/live HTTP/1.1\r\nHost: {at.netloc}\r\nCookie: cluster={page.session}\r\n\r\n"
        writer.write(request.encode())
        while line := await reader.readline():
            if line.startswith(b"data:"):
                next(heard)
    finally:
        writer.close()
