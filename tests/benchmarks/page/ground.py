"""A page in a process of its own, on a Redis of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from cluster import settings
from cluster.stores import Stores
from cluster.web import channels
from tests.kit.programs import RedisServer, admin, environment
from tests.kit.waiting import line_with

MB = 10**6


@dataclass(frozen=True)
class Ground:
    """The page, and what it costs."""

    url: str
    session: str
    """The cookie of an admin."""
    broker: str
    process: psutil.Process
    stores: Stores
    folder: Path
    """The page's own."""

    def asker(self) -> httpx.Client:
        """Somebody who has entered."""
        return httpx.Client(
            base_url=self.url, headers={"Sec-Fetch-Site": "same-origin"}, cookies={"cluster": self.session}, timeout=60
        )

    @property
    def cpu_s(self) -> float:
        """Processor seconds of the page's process so far."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    @property
    def rss_mb(self) -> float:
        return float(self.process.memory_info().rss / MB)

    @property
    def redis_cpu_s(self) -> float:
        """Processor seconds of Redis so far."""
        used = admin(self.broker).info("cpu")
        return float(used["used_cpu_user"] + used["used_cpu_sys"])


@contextmanager
def prepared(folder: Path, tick_s: float = channels.TICK_S) -> Iterator[Ground]:
    """A page of a cluster without nodes, which looks for news once in ``tick_s``."""
    folder.mkdir()
    with RedisServer(folder / "redis") as redis:
        command = [sys.executable, "-m", "tests.benchmarks.page.server", redis.url, str(folder / "web"), str(tick_s)]
        with subprocess.Popen(command, env=environment(PYTHONPATH=""), stdout=subprocess.PIPE, text=True) as child:
            try:
                assert child.stdout is not None
                told = json.loads(line_with("url", child.stdout))
                stores = Stores.connect(settings.Settings(broker_url=redis.url))
                process = psutil.Process(child.pid)
                yield Ground(told["url"], told["session"], redis.url, process, stores, folder / "web")
            finally:
                child.kill()
