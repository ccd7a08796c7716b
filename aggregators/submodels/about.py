"""What a sub-model is, apart from its arrays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregators.submodels.spec import KINDS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FORMAT = 1
BLOCK = 8192
"""Rows that a sub-model works on at a time."""
MOST_WIDTH = 2**20
MOST_OUTPUTS = 2**16
MOST_BYTES = 2**20


class About(NamedTuple):
    """What a sub-model is for."""

    kind: str
    """As in ``spec.KINDS``."""
    width: int
    """Numbers of an encoded row."""
    outputs: int
    """Classes of the card; 1 for regression."""
    seen: tuple[int, ...] | None
    """The classes among the rows that it was fitted on, rising; None for regression."""

    @property
    def columns(self) -> int:
        """How many numbers a row of its own scores has: the classes that it saw, or 1."""
        return 1 if self.seen is None else len(self.seen)

    def spread(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(rows, columns) -> (rows, outputs): classes that it never saw are 0."""
        import numpy as np

        if self.columns == self.outputs:
            return scores
        wide = np.zeros((len(scores), self.outputs))
        wide[:, list(self.seen or ())] = scores
        return wide

    def check(self, x: npt.NDArray[Any]) -> None:
        """Say that rows do not fit.

        Raises:
            ValueError: They have another width.
        """
        if x.ndim != 2 or x.shape[1] != self.width:
            raise ValueError(f"the sub-model takes rows of {self.width:,} numbers, and these are {x.shape}")

    def to_json(self) -> bytes:
        """Return it for ``from_json``; the same bytes for the same values."""
        return json.dumps({"format": FORMAT, **self._asdict()}, separators=(",", ":")).encode()


class Common:
    """What sub-models of all kinds have in common.

    Args:
        about: Apart from its arrays.
    """

    def __init__(self, about: About) -> None:
        self.about = about

    @property
    def kind(self) -> str:
        """As in ``spec.KINDS``."""
        return self.about.kind

    @property
    def outputs(self) -> int:
        """Classes of the card, or 1 for a number."""
        return self.about.outputs


def from_json(data: bytes) -> About:
    """Read what ``to_json`` wrote.

    Raises:
        ValueError: It was something else; says what is wrong.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(f"its description has {len(data):,} bytes; the limit is {MOST_BYTES:,}")
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("its description is no JSON") from None
    if not isinstance(told, dict) or told.keys() != {"format", *About._fields}:
        raise ValueError("its description does not name format, kind, width, outputs and seen")
    if told["format"] != FORMAT:
        raise ValueError(
            f"it has the format {told['format']!r:.40}, and this version reads {FORMAT}: update this machine"
        )
    if not isinstance(told["kind"], str) or told["kind"] not in KINDS:
        raise ValueError(f"it is of the kind {told['kind']!r:.40}; known are {', '.join(KINDS)}")
    width, outputs = _whole(told, "width", MOST_WIDTH), _whole(told, "outputs", MOST_OUTPUTS)
    return About(told["kind"], width, outputs, _seen(told["seen"], outputs, told["kind"]))


def _whole(told: dict[str, Any], name: str, most: int) -> int:
    found = told[name]
    if type(found) is not int or not 1 <= found <= most:
        raise ValueError(f"its {name} is {found!r:.40}; it must be a whole number from 1 to {most:,}")
    return found


def _seen(found: Any, outputs: int, kind: str) -> tuple[int, ...] | None:
    task = "regression" if found is None else "classification"
    if task not in KINDS[kind].tasks:
        raise ValueError(f"a sub-model of the kind {kind} is not for {task}")
    if found is None:
        if outputs != 1:
            raise ValueError(f"a sub-model for a number has 1 output, and this one {outputs:,}")
        return None
    if not isinstance(found, list) or not found or not all(type(each) is int for each in found):
        raise ValueError("the classes that it saw are no list of whole numbers")
    if sorted(set(found)) != found or found[0] < 0 or found[-1] >= outputs:
        raise ValueError(f"the classes that it saw are not rising numbers from 0 to {outputs - 1:,}")
    return tuple(found)
