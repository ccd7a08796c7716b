"""Arrays and pictures: numbers that are scaled by their place on one axis, or left to the net as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitters.tables import values
from splitters.tables.moments import Moments
from splitters.tables.source import Described


class Scaler:
    """Scales rows to a mean of 0 and a standard deviation of 1 at each place of an axis.

    Rows of bytes that have channels are learned of and left as they are: they take a fourth of the room, and the card
    tells how to scale them.

    Args:
        shape: Of a row: (columns,), (steps, features), (channels, height, width) or another with channels first.
        keeps_bytes: The rows are bytes, and stay so.
        names: Of the columns, where a row is a list of such.
    """

    def __init__(self, shape: Sequence[int], *, keeps_bytes: bool = False, names: Sequence[str] | None = None) -> None:
        self._shape = list(shape)
        self._axis = len(self._shape) if len(self._shape) < 3 else 1
        self._keeps_bytes = keeps_bytes
        self._names = names
        self._moments = Moments(self._shape[self._axis - 1])
        self._missing = 0
        self.row_bytes = prod(self._shape) * (1 if keeps_bytes else 4)

    def learn(self, raw: NDArray[Any]) -> None:
        """Take in a block of training rows."""
        flat = np.moveaxis(raw, self._axis, -1).reshape(-1, self._shape[self._axis - 1])
        if raw.dtype.kind == "f":
            self._missing += int(np.isnan(raw).sum())
        self._moments.add(flat.astype(np.float64))

    def encode(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Rows for the net, of the shape that was given."""
        if self._keeps_bytes:
            return raw
        wide = [1] * raw.ndim
        wide[self._axis] = -1
        scaled = (raw - self._moments.mean.reshape(wide)) / self._moments.std.reshape(wide)
        return np.nan_to_num(scaled, nan=0.0).astype(np.float32)

    def described(self) -> Described:
        """The scaling that was learned."""
        mean, std = self._moments.mean.tolist(), self._moments.std.tolist()
        dtype = "uint8" if self._keeps_bytes else "float32"
        return Described(self._shape, dtype, [], {"axis": self._axis, "mean": mean, "std": std})  # type: ignore[arg-type]

    def notes(self) -> list[str]:
        """What is missing, and what teaches nothing."""
        notes = []
        if self._missing:
            notes.append(f"the training rows lack {self._missing:,} numbers (NaN): means stand for them")
        what = "channel" if self._axis == 1 and len(self._shape) > 2 else "column"
        constant = [self._name(at) for at in np.flatnonzero(self._moments.is_constant).tolist()]
        if constant:
            notes.append(f"{what}s with one value in all training rows teach nothing: {values.listed(constant)}")
        far = [one.told(f"the {what} {self._name(one.column)!r}") for one in self._moments.far_out()]
        return [*notes, *values.few(far)]

    def _name(self, at: int) -> str:
        return self._names[at] if self._names else str(at)
