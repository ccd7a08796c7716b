"""The rows of a shard as tensors on a device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from splitters import Item, tables
from splitters.tables.card import Card


class Rows(NamedTuple):
    """Rows for training, validation or test; there may be none."""

    X: torch.Tensor
    """(rows, *input_shape) of float32 or uint8, as it came."""
    y: torch.Tensor
    """(rows,): int64 where it counts classes, float32 where it is a number."""

    def __len__(self) -> int:
        return len(self.y)


class Shard:
    """What the arrays of a shard hold; see ``splitters.tables``."""

    def __init__(self, items: Iterable[Item], card: Card, device: str) -> None:
        found = tables.arrays(items)
        kind = torch.int64 if card["classes"] else torch.float32
        parts = [
            Rows(torch.tensor(found[X], device=device), torch.tensor(found[y], dtype=kind, device=device))
            for X, y in tables.ARRAYS
        ]
        self.train, self.valid, self.test = parts
        scaling = card["scaling"] if card["dtype"] == "uint8" else None
        self._shift, self._scale = 0.0, 1.0
        if scaling:
            shape = [-1 if axis == scaling["axis"] else 1 for axis in range(len(card["input_shape"]) + 1)]
            self._shift = torch.tensor(scaling["mean"], device=device).reshape(shape)
            self._scale = torch.tensor(scaling["std"], device=device).reshape(shape)

    def inputs(self, rows: torch.Tensor) -> torch.Tensor:
        """What the net sees of some rows of ``Rows.X``: float32, for uint8 scaled by the card."""
        return rows if rows.dtype == torch.float32 else (rows.float() - self._shift) / self._scale
