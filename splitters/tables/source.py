"""A source of rows that was looked through once: its targets are known, its rows can be read again in blocks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from numpy.typing import NDArray

from splitters import Item, PassedOver
from splitters.tables.card import Scaling


class Wanted(NamedTuple):
    """What the options say about reading."""

    target: str | None
    drop: tuple[str, ...]
    size: tuple[int, int] | None
    """Width and height of pictures."""
    grey: bool
    block_rows: int
    """How many rows are read at a time."""
    folder: Path
    """For files that are of no use once the input is cut."""
    passed_over: PassedOver | None = None
    """Counts the files that are left out."""


class Described(NamedTuple):
    """How rows are encoded, as the card tells it."""

    input_shape: list[int]
    dtype: Literal["float32", "uint8"]
    columns: list[dict[str, Any]]
    scaling: Scaling | None


class Encoder(Protocol):
    """Makes rows for the net of rows as they were read: first learns of all training rows, then encodes."""

    row_bytes: int
    """The size of a row for the net."""

    def learn(self, raw: NDArray[Any]) -> None:
        """Take in a block of training rows."""

    def encode(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Rows for the net."""

    def described(self) -> Described:
        """What it has learned."""

    def notes(self) -> list[str]:
        """What the user should know of it."""


@dataclass
class Source:
    """Rows with their targets."""

    name: str
    """As the user calls it."""
    kind: Literal["table", "arrays", "pictures"]
    target: str | None
    y: NDArray[Any]
    """Of all rows: int32, counts ``classes``; or float64."""
    classes: list[str]
    """Empty for regression."""
    blocks: Callable[[], Iterator[NDArray[Any]]]
    """Reads all rows again; as many as ``y`` has, in its order, in blocks of one dtype and row shape."""
    encoder: Encoder
    picture: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[Item] = field(default_factory=list)
    """What could not be read."""


def no_such(what: str, name: str, known: Sequence[str], where: str) -> ValueError:
    """The error about a name that is not there; it lists those that are."""
    near = difflib.get_close_matches(name, known, 1) or [one for one in known if one.lower() == name.lower()]
    hint = f"; did you mean {near[0]}?" if near else ""
    listed = ", ".join(known[:50]) + (f" and {len(known) - 50} more" if len(known) > 50 else "")
    return ValueError(f"{where} has no {what} {name!r} (it has: {listed}){hint}")
