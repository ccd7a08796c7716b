"""Watch what a command and all processes below it hold, from outside."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from cluster import embedded
from cluster.embedded import guard
from tests.benchmarks.redis_probe import RedisProbe

INTERVAL_S = 0.1
REDIS_NAMES = ("redis-server", "valkey-server")
KINDS = ("submitter", "redis", "guard", "worker", "child", "other")
"""`worker` is the main process of Celery, `child` one of its pool; `other` are programs that a child runs."""


class Sampler:
    """Looks every ``INTERVAL_S`` seconds at a process and its descendants. Use it in a ``with``.

    Programs that the guard starts lead sessions of their own but stay its children, so all are found.
    Memory is resident memory; pages that a pool child shares with its parent count in both.
    """

    def __init__(self, pid: int) -> None:
        self.redis = RedisProbe()
        self._root = psutil.Process(pid)
        self._kinds: dict[int, str] = {}
        self._rss_bytes: dict[int, int] = {}
        self._cpu_s: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def rss_bytes(self) -> dict[str, int]:
        """Kind -> the most that one process of the kind held."""
        peaks: defaultdict[str, int] = defaultdict(int)
        for pid, rss in self._rss_bytes.items():
            peaks[self._kinds[pid]] = max(peaks[self._kinds[pid]], rss)
        return dict(peaks)

    def cpu_s(self) -> dict[str, float]:
        """Kind -> processor seconds of all its processes together, up to the last look at each."""
        sums: defaultdict[str, float] = defaultdict(float)
        for pid, seconds in self._cpu_s.items():
            sums[self._kinds[pid]] += seconds
        return dict(sums)

    def processes(self) -> dict[str, int]:
        """Kind -> how many processes of it there were in all."""
        kinds = list(self._kinds.values())
        return {kind: kinds.count(kind) for kind in KINDS if kind in kinds}

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            try:
                self._look([self._root, *self._root.children(recursive=True)])
            except psutil.Error:  # the root is gone
                return

    def _look(self, processes: list[psutil.Process]) -> None:
        lines = {}
        for process in processes:
            try:
                lines[process.pid] = process.cmdline()
                if not lines[process.pid]:  # a zombie
                    continue
                kind = self._kinds[process.pid] = self._kind(process, lines)
                self._rss_bytes[process.pid] = max(_peak_rss_bytes(process), self._rss_bytes.get(process.pid, 0))
                self._cpu_s[process.pid] = sum(process.cpu_times()[:2])
            except psutil.Error:
                continue
            if kind == "guard":
                self.redis.look(Path(lines[process.pid][-1]))

    def _kind(self, process: psutil.Process, lines: dict[int, list[str]]) -> str:
        """What a process is, by its command line and its parent's; a parent comes before its children."""
        line, before = lines[process.pid], self._kinds.get(process.pid)
        if before in ("worker", "child"):  # at the end a child may outlive its parent
            return before
        if process == self._root:
            return "submitter"
        if guard.__file__ in line:
            return "guard"
        if any(name in part for part in line[:1] for name in REDIS_NAMES):
            return "redis"
        if _is_worker(line):
            return "child" if _is_worker(lines.get(process.ppid(), [])) else "worker"
        return "other"


def _is_worker(line: list[str]) -> bool:
    return "celery" in line or embedded.WORKER in line


def _peak_rss_bytes(process: psutil.Process) -> int:
    """The kernel's own high-water mark where there is one: it misses no peak between two looks."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        rss: int = process.memory_info().rss
        return rss
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
