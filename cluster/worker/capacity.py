"""How much this machine can do at once: cores and memory as this process may use them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

from cluster.settings import Settings

CGROUP = Path("/sys/fs/cgroup")
SELF = Path("/proc/self/cgroup")


def slots(config: Settings) -> int:
    """min(usable cores, (available memory - reserve) / memory per slot), never below 1."""
    spare_bytes = memory().available_bytes - config.reserve_memory_bytes
    return max(1, min(cores(), spare_bytes // config.slot_memory_bytes))


def chunk_memory_bytes(config: Settings, slots: int) -> int:
    """The memory that all chunks may take together: what the slots are planned with, or more where it is there."""
    return max(slots * config.slot_memory_bytes, memory().available_bytes - config.reserve_memory_bytes)


def cores() -> int:
    """Cores this process may use: its affinity, and the CPU quota of its cgroup rounded up."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota()
    return max(1, min(usable, math.ceil(quota)) if quota else usable)


class Memory(NamedTuple):
    """The memory of this machine, within the limits of the cgroups this process is in."""

    total_bytes: int
    available_bytes: int
    """Memory that programs can take without swapping."""


def memory() -> Memory:
    """The memory as it is now."""
    import psutil

    machine = psutil.virtual_memory()
    limits = _memory_limits(machine.total)
    return Memory(
        min([machine.total, *(limit for limit, _ in limits)]),
        max(0, min([machine.available, *(limit - used for limit, used in limits)])),
    )


def _cpu_quota() -> float | None:
    """Cores' worth of CPU time the tightest cgroup allows; None without a limit.

    v2 writes "max 100000" or "150000 100000" (quota, period) in one file, v1 has two files.
    """
    found = []
    for folder in _cgroups("cpu"):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            quota, period = text(folder / "cpu.cfs_quota_us"), text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(quota) and int(period):
            found.append(int(quota) / int(period))
    return min(found, default=None)


def _memory_limits(total_bytes: int) -> list[tuple[int, int]]:
    """(limit, used) in bytes of each cgroup that has a limit. What the kernel can drop does not count as used."""
    found = []
    for folder in _cgroups("memory"):
        limit = text(folder / "memory.max") or text(folder / "memory.limit_in_bytes")
        if limit.isdigit() and int(limit) < total_bytes:
            used = text(folder / "memory.current") or text(folder / "memory.usage_in_bytes")
            if used.isdigit():
                found.append((int(limit), max(0, int(used) - _droppable_bytes(folder))))
    return found


def _droppable_bytes(folder: Path) -> int:
    """Return the bytes of cached files in a cgroup and its children; the kernel drops these where memory is needed.

    v1 gives the sum with the cgroups within it a name of its own.
    """
    rows = dict(line.split(" ", 1) for line in text(folder / "memory.stat").splitlines() if " " in line)
    values = [rows.get(f"total_{name}", rows.get(name, "0")) for name in ("inactive_file", "active_file")]
    return sum(int(value) for value in values if value.isdigit())


def _cgroups(controller: str) -> list[Path]:
    """The folders of the cgroup this process is in and of all around it, for v2 and v1."""
    found = []
    for line in text(SELF).splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        root = CGROUP / controller if names else CGROUP
        inner = root / path.lstrip("/")
        found += [inner, *(parent for parent in inner.parents if parent.is_relative_to(root))]
    # In a container the path may be that of the host: then the mount itself is the container's own.
    return list(dict.fromkeys([*found, CGROUP, CGROUP / controller]))


def text(path: Path) -> str:
    """Return the file's text, or "" where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
