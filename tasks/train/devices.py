"""The device of a slot: one slot of this machine takes each GPU, the others compute on the CPU.

This code ran with a stand-in for ``torch.cuda`` only, never with a GPU.
"""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

CPU = "cpu"
log = logging.getLogger(__name__)


class Cuda(Protocol):
    """What is used of ``torch.cuda``."""

    def is_available(self) -> bool:
        """Whether there is a GPU that this build of torch can use."""

    def device_count(self) -> int:
        """How many there are."""

    def get_device_properties(self, device: int) -> Any:
        """Name, memory and, since torch 2.5, ``uuid``."""


@functools.cache
def own() -> str:
    """The device of this process, "cpu" or "cuda:N", as long as it lives.

    A GPU is free again when its process ends, however it ends; processes that begin later may take it.
    """
    import torch

    return take(torch.cuda, Path(tempfile.gettempdir()))


def take(cuda: Cuda, folder: Path) -> str:
    """Take the first GPU that no other process of this user holds, by a lock in ``folder``; else the CPU."""
    for number, lock in _gpus(cuda):
        if _hold(folder / lock):
            return f"cuda:{number}"
    return CPU


def _gpus(cuda: Cuda) -> Iterator[tuple[int, str]]:
    """Number and name of the lock of each GPU. Two processes may number them in different ways."""
    try:
        count = cuda.device_count() if cuda.is_available() else 0
        for number in range(count):
            properties = cuda.get_device_properties(number)
            yield number, f"cluster-{os.getuid()}-gpu-{getattr(properties, 'uuid', number)}.lock"
    except RuntimeError as problem:  # a driver that is too old, say
        log.warning("training on the CPU, as torch cannot use the GPU: %s", problem)


def _hold(path: Path) -> bool:
    """Lock the file until this process ends; False where another one has done so."""
    try:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        log.warning("training on the CPU, as the lock of the GPU cannot be opened: %s", problem)
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return False
    return True  # the system closes the file, and so frees the lock, when the process ends
