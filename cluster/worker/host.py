"""A look at the machine: what others take of it, and what this node takes."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from cluster.worker import capacity
from cluster.worker.politeness import Reading
from cluster.worker.process_tree import ProcessTree

MEAN_S = 5.0
"""Seconds that the CPU load is averaged over: a program that starts up does not make the machine count as in use."""
POWER_SUPPLIES = Path("/sys/class/power_supply")


@dataclass(frozen=True)
class Member:
    """A process of the node's pool, with what it started."""

    pid: int
    bytes: int
    """Memory that comes back when it ends."""
    tree: list[psutil.Process]
    """The process itself, then its descendants."""


class HostMonitor:
    """Looks at the machine for the worker whose main process is ``main``."""

    def __init__(self, main: psutil.Process) -> None:
        self._main = main
        self._tree = ProcessTree(main)
        self._cpu: deque[_Cpu] = deque()

    def read(self) -> tuple[Reading, list[Member]]:
        """The machine, and this worker's pool."""
        members = self._members()
        processes = [self._main, *(process for member in members for process in member.tree)]
        memory = capacity.memory()
        reading = Reading(
            others_cores=self._others_cores(processes),
            on_battery=on_battery(),
            memory_available_bytes=memory.available_bytes,
            memory_total_bytes=memory.total_bytes,
            node_bytes=sum(member.bytes for member in members),
            largest_bytes=max((member.bytes for member in members), default=0),
        )
        return reading, members

    def _members(self) -> list[Member]:
        # A child of the pool is a fork of the main process, and shares with it what neither has written since.
        forked_bytes = _bytes(self._main)
        return [
            Member(branch[0].pid, max(0, _bytes(branch[0]) - forked_bytes) + sum(map(_bytes, branch[1:])), branch)
            for branch in self._tree.branches()
        ]

    def _others_cores(self, processes: list[psutil.Process]) -> float:
        self._cpu.append(_cpu(processes))
        while len(self._cpu) > 2 and self._cpu[-1].moment_s - self._cpu[1].moment_s >= MEAN_S:
            self._cpu.popleft()
        return others_cores(self._cpu[0], self._cpu[-1])


class _Cpu(NamedTuple):
    """CPU seconds used until ``moment_s``."""

    moment_s: float
    busy_s: float
    """CPU seconds of all programs on the machine."""
    nice_s: float
    """CPU seconds of programs of low priority, a part of ``busy_s``."""
    ours_s: float
    ours_user_s: float


def others_cores(before: _Cpu, after: _Cpu) -> float:
    """Cores' worth of CPU that other programs took in between.

    Programs of low priority do not count: they let others go first, and other nodes on this machine are
    such programs. The worker's own user time is of low priority, too; the rest of that time is other programs'.
    (Where the system does not tell low priority apart, all programs count.)
    """
    seconds = after.moment_s - before.moment_s
    if seconds <= 0:
        return 0.0
    _, busy_s, nice_s, ours_s, ours_user_s = (new - old for old, new in zip(before, after, strict=True))
    return max(0.0, busy_s - ours_s - max(0.0, nice_s - ours_user_s)) / seconds


def on_battery() -> bool:
    """Whether the machine runs on its battery; False where that is not known."""
    if not sys.platform.startswith("linux"):
        battery = psutil.sensors_battery()
        return battery is not None and battery.power_plugged is False
    # psutil would take the battery of a wireless mouse for the machine's own.
    discharging = False
    for supply in POWER_SUPPLIES.glob("*"):
        if capacity.text(supply / "type") != "Battery":
            if capacity.text(supply / "online") == "1":
                return False
        elif capacity.text(supply / "scope") != "Device":
            discharging |= capacity.text(supply / "status") == "Discharging"
    return discharging


def _cpu(ours: list[psutil.Process]) -> _Cpu:
    machine = psutil.cpu_times()
    user_s = system_s = 0.0
    for process in ours:
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has ended since; its parent has its seconds
            continue
        # With the seconds of ended children, so that these still count as ours.
        user_s += times.user + times.children_user
        system_s += times.system + times.children_system
    interrupts_s = getattr(machine, "irq", 0.0) + getattr(machine, "softirq", 0.0)
    busy_s = machine.user + machine.nice + machine.system + interrupts_s
    return _Cpu(time.monotonic(), busy_s, machine.nice, user_s + system_s, user_s)


def _bytes(process: psutil.Process) -> int:
    """Memory of a process without its files; 0 when it has ended.

    What it shares with its parent counts, too: to leave that out exactly, the kernel needs 12 ms a GiB.
    """
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0
    return int(memory.rss - getattr(memory, "shared", 0))
