"""The state of an ensemble between two rounds, and as bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import msgpack
import numpy as np
from numpy.typing import NDArray

from aggregators.ensemble import arrays
from aggregators.ensemble.combiner import Combiner

Card = Mapping[str, Any]
"""What the splitter tells of the data: JSON types; ``splitters.tables.card.Card`` lists its fields."""


NO_SCORES = np.zeros((0, 0, 0), np.float32)
NO_Y: NDArray[Any] = np.zeros(0, np.int32)


class Fitted(NamedTuple):
    """A sub-model."""

    shard: int
    model: bytes
    """As ``submodels.pack`` gives it."""
    rows: int
    """That it was fitted on."""
    seconds: float
    """That it took."""
    node: str
    """Where; "" if that is not known."""
    valid: float | None = None
    """Accuracy on the validation rows, or the root of the mean squared error in the number's own unit."""


class Lost(NamedTuple):
    """A sub-model that the ensemble lacks."""

    shard: int
    why: str
    node: str


class Tried(NamedTuple):
    """A combiner, as the validation rows judge it."""

    combiner: Combiner
    score: float | None
    """Accuracy, or the root of the mean squared error in the number's own unit; None without validation rows."""
    strength: float | None = None
    """Of the regularisation of a stack: sklearn's C, or 1 / alpha."""


class State(NamedTuple):
    """All that is known after a round. Arrays are never altered."""

    combine: str
    seed: int
    models: tuple[Fitted, ...] = ()
    lost: tuple[Lost, ...] = ()
    scores: NDArray[np.float32] = NO_SCORES
    """(rows, models, outputs): what the sub-models say of the validation rows that combiners are compared on; none
    before the round "predict" is closed, nor after one was chosen."""
    y: NDArray[Any] = NO_Y
    stack: NDArray[np.float32] = NO_SCORES
    """As ``scores``, of the rows that combiners are fitted on."""
    stack_y: NDArray[Any] = NO_Y
    tried: tuple[Tried, ...] = ()
    chosen: Combiner | None = None
    test: Mapping[str, Any] = {}
    """Sums on the test rows, see ``figures``."""
    notes: tuple[str, ...] = ()
    """Sentences for the person who submitted the run."""

    def noted(self, *notes: str) -> Self:
        """The same with more notes."""
        return self._replace(notes=(*self.notes, *notes))


ARRAYS = ("scores", "y", "stack", "stack_y")


def dump(state: State) -> bytes:
    """Return the state as MessagePack."""
    told = {name: value for name, value in state._asdict().items() if name not in ARRAYS}
    told |= {name: arrays.dump(getattr(state, name)) for name in ARRAYS}
    told["tried"] = [[each.combiner.to_json(), each.score, each.strength] for each in state.tried]
    told["chosen"] = None if state.chosen is None else state.chosen.to_json()
    packed: bytes = msgpack.packb(told)
    return packed


def load(data: bytes) -> State:
    """Return the state that ``dump`` made bytes of.

    Raises:
        ValueError: The bytes are damaged.
    """
    try:
        told = msgpack.unpackb(data)
        for name in ARRAYS:
            told[name] = _load(told[name])
        told["models"] = tuple(Fitted(*each) for each in told["models"])
        told["lost"] = tuple(Lost(*each) for each in told["lost"])
        told["tried"] = tuple(Tried(Combiner.from_json(one), *rest) for one, *rest in told["tried"])
        told["chosen"] = None if told["chosen"] is None else Combiner.from_json(told["chosen"])
        return State(**{**told, "notes": tuple(told["notes"])})
    except (KeyError, TypeError, ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"the state of the ensemble cannot be read: {type(error).__name__}: {error}") from None


def _load(data: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    array.flags.writeable = False
    return array
