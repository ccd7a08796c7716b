"""What the peers of `training-peers` share: the rows, the net, its accuracy, and what they tell while they train."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

LOOKS = 20
"""How often the accuracy is looked at; that time does not count."""


class Settings(NamedTuple):
    """What all do alike."""

    rows: str
    """An npz with ``X``, ``y``, ``X_test`` and ``y_test``; numbers are standardised by the training rows."""
    hidden: list[int]
    samples: int
    """How many samples are learnt from in all."""
    batch_size: int = 32
    rate: float = 0.001
    decay: float = 0.01
    rounds: int = 80
    """Of those that go in rounds."""
    seed: int = 0
    nodes: int = 2


class Rows(NamedTuple):
    """Tensors, one row a sample."""

    x: torch.Tensor
    y: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor


def settings(text: str) -> Settings:
    """As the benchmark hands them over."""
    return Settings(**json.loads(text))


def read(given: Settings) -> Rows:
    """The rows, standardised."""
    with np.load(given.rows, allow_pickle=False) as found:
        x, y, x_test, y_test = (found[name] for name in ("X", "y", "X_test", "y_test"))
    mean, spread = x.mean(0), x.std(0)
    spread[spread == 0] = 1
    x, x_test = ((each - mean) / spread for each in (x, x_test))
    x, x_test = (torch.as_tensor(each, dtype=torch.float32) for each in (x, x_test))
    return Rows(x, torch.as_tensor(y).long(), x_test, torch.as_tensor(y_test).long())


def build(rows: Rows, given: Settings) -> nn.Module:
    """An MLP, or for pictures (rows of shape height x width) a CNN, with torch's own initial weights."""
    classes = int(rows.y.max()) + 1
    if rows.x.ndim == 2:
        sizes = [rows.x.shape[1], *given.hidden, classes]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers[:-1])
    channels, height, width = 1, int(rows.x.shape[1]), int(rows.x.shape[2])
    layers = [nn.Unflatten(1, (1, height))]
    for after in given.hidden:
        layers += [nn.Conv2d(channels, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels, height, width = after, height // 2, width // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, classes))


def optimizer(net: nn.Module, given: Settings) -> torch.optim.Optimizer:
    """AdamW, as ours."""
    return torch.optim.AdamW(net.parameters(), lr=given.rate, weight_decay=given.decay, fused=True)


def batches(rows: Rows, size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Without end; every row once before any is there again."""
    chance = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(rows.x), generator=chance)
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            yield rows.x[chosen], rows.y[chosen]


def step(net: nn.Module, moves: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    """One step."""
    moves.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(net(x), y).backward()
    moves.step()


def accuracy(net: nn.Module, rows: Rows) -> float:
    """Of the held-out rows."""
    with torch.no_grad():
        return float((net(rows.x_test).argmax(1) == rows.y_test).float().mean())


def part(rows: Rows, at: int, of: int) -> Rows:
    """One node's share of the training rows: every so-manieth of a shuffled order."""
    order = torch.randperm(len(rows.x), generator=torch.Generator().manual_seed(7))[at::of]
    return rows._replace(x=rows.x[order], y=rows.y[order])


def sent_bytes() -> int | None:
    """What was sent over the loopback of this network namespace; None where others use it too."""
    for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]:
        name, _, numbers = line.partition(":")
        if name.strip() != "lo":
            return None  # not a namespace of our own
        sent = int(numbers.split()[8])
    return sent


class Clock:
    """Seconds of training, without those of looking."""

    def __init__(self) -> None:
        self._began, self._looked_s = time.monotonic(), 0.0

    def look(self, net: nn.Module, rows: Rows, share: float, **more: Any) -> None:
        """Tell how good the net is."""
        began = time.monotonic()
        seconds = began - self._began - self._looked_s
        tell(share=share, s=seconds, bytes=sent_bytes(), accuracy=accuracy(net, rows), **more)
        self._looked_s += time.monotonic() - began


def tell(**what: Any) -> None:
    """A line of JSON for the benchmark."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
