"""How much this machine can do at once: cores and memory as this process may use them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil

from cluster.settings import Settings

CGROUP = Path("/sys/fs/cgroup")


def slots(config: Settings) -> int:
    """min(usable cores, (available memory - reserve) / memory per slot), never below 1."""
    spare_bytes = memory_available_bytes() - config.reserve_memory_bytes
    return max(1, min(cores(), spare_bytes // config.slot_memory_bytes))


def cores() -> int:
    """Cores this process may use: its affinity, and the CPU quota of its cgroup rounded up."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota()
    return max(1, min(usable, math.ceil(quota)) if quota else usable)


def memory_total_bytes() -> int:
    """Memory of this machine, or the limit of its cgroup where that is less."""
    limit = _first_number("memory.max", "memory/memory.limit_in_bytes")
    total: int = psutil.virtual_memory().total
    return min(total, limit) if limit else total


def memory_available_bytes() -> int:
    """Memory that can be taken without swapping, within the limit of the cgroup."""
    available: int = psutil.virtual_memory().available
    limit = _first_number("memory.max", "memory/memory.limit_in_bytes")
    used = _first_number("memory.current", "memory/memory.usage_in_bytes")
    if limit and used is not None and limit < psutil.virtual_memory().total:
        return max(0, min(available, limit - used))
    return available


def _cpu_quota() -> float | None:
    """Cores' worth of CPU time the cgroup allows (v2: "max 100000" or "150000 100000"; v1: two files)."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    quota_us = _first_number("cpu/cpu.cfs_quota_us")
    period_us = _first_number("cpu/cpu.cfs_period_us")
    return quota_us / period_us if quota_us and quota_us > 0 and period_us else None


def _first_number(*names: str) -> int | None:
    """The number in the first of the cgroup's files that has one ("max" is none)."""
    for name in names:
        try:
            return int((CGROUP / name).read_text())
        except (OSError, ValueError):
            continue
    return None
