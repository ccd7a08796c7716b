"""How many slots a node may fill while the owner's own programs want the machine. Rules only, no look at it."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.settings import MiB, Settings

FLOOR_PART = 8
"""By default no more than this part of the memory is left free: a small machine could never work else."""


@dataclass(frozen=True)
class Reading:
    """One reading of the machine's load."""

    others_cores: float
    """Cores' worth of CPU that programs other than this node's took in the last seconds."""
    on_battery: bool
    """False also where it is not known."""
    memory_available_bytes: int
    memory_total_bytes: int
    node_bytes: int = 0
    """Memory that would come back if all of the node's pool ended."""
    largest_bytes: int = 0
    """The share that the largest of its pool's processes has in it, with what that one started."""


@dataclass(frozen=True)
class Allowance:
    """Slots that may be filled, and why not all: "in use", "on battery", "memory low", "by maria", or ""."""

    slots: int
    held_back: str = ""
    detail: str = ""
    """The same with figures, for the log."""


def paused(by: str) -> Allowance:
    """The allowance of a node that somebody has paused."""
    return Allowance(0, f"by {by}", f"{by} has paused this node")


class Policy:
    """Gives slots back at once, and takes them again when the machine was calm for ``config.calm_s``."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._now: Allowance | None = None
        self._calm_since_s: float | None = None

    def decide(self, reading: Reading, slots: int, now_s: float) -> Allowance:
        """Return the allowance from now on. ``slots`` are the node's own, ``now_s`` is of a monotonic clock."""
        fits = allowed(reading, slots, self._config)
        if self._now is None or fits.slots <= self._now.slots:
            self._now, self._calm_since_s = fits, None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s
        if self._calm_since_s is not None and now_s - self._calm_since_s >= self._config.calm_s:
            self._now, self._calm_since_s = fits, None
        return self._now


def allowed(reading: Reading, slots: int, config: Settings) -> Allowance:
    """The tightest of the limits that hold at this moment."""
    in_use = min(slots, max(1, slots // 2) if config.slots_in_use is None else config.slots_in_use)
    limits = [Allowance(min(slots, config.slots_idle or slots))]
    if reading.others_cores > config.in_use_cores:
        limits.append(Allowance(in_use, "in use", f"other programs use {reading.others_cores:.1f} cores"))
    if reading.on_battery:
        limits.append(Allowance(in_use, "on battery", "the machine is on battery"))
    free, floor = reading.memory_available_bytes, floor_bytes(reading, config)
    if runs_out(reading, config):
        limits.append(Allowance(0, "memory low", f"memory runs out, {free // MiB} MiB are available"))
    elif floor:
        detail = f"{free // MiB} MiB of memory are available, {floor // MiB} are the owner's"
        limits.append(Allowance(min(slots, _memory_slots(reading, config)), "memory low", detail))
    return min(limits, key=lambda limit: limit.slots)


def runs_out(reading: Reading, config: Settings) -> bool:
    """Whether memory is so short that a chunk must go back."""
    minimum = config.memory_minimum_bytes
    return reading.memory_available_bytes < (floor_bytes(reading, config) // 4 if minimum is None else minimum)


def floor_bytes(reading: Reading, config: Settings) -> int:
    """Available memory below which the node gives slots back."""
    if config.memory_floor_bytes is not None:
        return config.memory_floor_bytes
    return min(config.reserve_memory_bytes, reading.memory_total_bytes // FLOOR_PART)


def _memory_slots(reading: Reading, config: Settings) -> int:
    """How many slots fit above the floor, each as large as planned or as the largest is now.

    The node's own memory is shared out anew, so that what its chunks take does not make it give back
    slots that are filled already. One is left as long as the floor is not touched: a machine that is
    too small for what is planned works all the same, as ``capacity.slots`` has it.
    """
    spare_bytes = reading.memory_available_bytes + reading.node_bytes - floor_bytes(reading, config)
    if spare_bytes < 0:
        return 0
    return max(1, spare_bytes // max(config.slot_memory_bytes, reading.largest_bytes))
