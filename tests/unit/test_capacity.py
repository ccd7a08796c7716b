"""How much a machine can do: cores and memory as this process may use them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from cluster import settings
from cluster.worker import capacity

GIB = 2**30


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of cgroups in which this process is in user.slice/worker.scope."""
    root = tmp_path / "cgroup"
    (root / "user.slice" / "worker.scope").mkdir(parents=True)
    (tmp_path / "self").write_text("0::/user.slice/worker.scope\n")
    monkeypatch.setattr(capacity, "CGROUP", root)
    monkeypatch.setattr(capacity, "SELF", tmp_path / "self")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    return root


def test_without_limits_it_is_the_machine(cgroup: Path) -> None:
    (cgroup / "user.slice" / "cpu.max").write_text("max 100000\n")
    (cgroup / "user.slice" / "memory.max").write_text("max\n")
    assert capacity.cores() == 8
    assert capacity.memory().total_bytes == psutil.virtual_memory().total


def test_the_tightest_cgroup_counts(cgroup: Path) -> None:
    (cgroup / "user.slice" / "cpu.max").write_text("150000 100000\n")
    (cgroup / "user.slice" / "worker.scope" / "cpu.max").write_text("400000 100000\n")
    assert capacity.cores() == 2


def test_cgroups_of_the_first_version_count(cgroup: Path, tmp_path: Path) -> None:
    (tmp_path / "self").write_text("3:cpu,cpuacct:/box\n5:memory:/box\n")
    for name, text in {
        "cpu/box/cpu.cfs_quota_us": "300000",
        "cpu/box/cpu.cfs_period_us": "100000",
        "memory/box/memory.limit_in_bytes": str(GIB),
        "memory/box/memory.usage_in_bytes": str(GIB // 2),
    }.items():
        (cgroup / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroup / name).write_text(text)
    assert capacity.cores() == 3
    assert capacity.memory().total_bytes == GIB
    assert capacity.memory().available_bytes == GIB // 2


def test_what_the_kernel_can_drop_is_available(cgroup: Path) -> None:
    folder = cgroup / "user.slice"
    (folder / "memory.max").write_text(str(GIB))
    (folder / "memory.current").write_text(str(GIB))
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 4}\nactive_file {GIB // 8}\n")
    assert capacity.memory().available_bytes == GIB // 4 + GIB // 8


def test_what_the_kernel_can_drop_within_a_cgroup_of_the_first_version_is_available(
    cgroup: Path, tmp_path: Path
) -> None:
    (tmp_path / "self").write_text("5:memory:/box\n")
    (cgroup / "memory/box").mkdir(parents=True)
    stat = f"inactive_file 12288\nactive_file 0\ntotal_inactive_file {GIB // 4}\ntotal_active_file {GIB // 8}\n"
    for name, text in {"limit_in_bytes": GIB, "usage_in_bytes": GIB, "stat": stat}.items():
        (cgroup / f"memory/box/memory.{name}").write_text(str(text))
    assert capacity.memory().available_bytes == GIB // 4 + GIB // 8


@pytest.mark.parametrize(
    ("cores", "available_gib", "slots"), [(8, 64, 8), (8, 2.5, 4), (8, 0.9, 1), (8, 0.1, 1), (1, 64, 1)]
)
def test_slots_are_bounded_by_cores_and_memory_and_never_below_one(
    cores: int, available_gib: float, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "cores", lambda: cores)
    monkeypatch.setattr(capacity, "memory", lambda: capacity.Memory(64 * GIB, int(available_gib * GIB)))
    config = settings.Settings(slot_memory_bytes=GIB // 2, reserve_memory_bytes=GIB // 2)
    assert capacity.slots(config) == slots
