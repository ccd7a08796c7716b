"""The state of a training between two rounds, and as bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from aggregators.codec import Floats
from aggregators.server import Moments
from aggregators.training.settings import Settings

BOOK = "book"
Card = Mapping[str, Any]
"""What the splitter tells of the data: JSON types; ``splitters.tables.card.Card`` lists its fields."""


class Known(NamedTuple):
    """A used part, as far as later rounds are concerned."""

    norm: float
    steps: int


class Book(NamedTuple):
    """What is remembered of the rounds so far; only JSON types, and tuples of such."""

    planned: int
    """Rounds to train."""
    trained: int = 0
    """Rounds that are over, of those that train."""
    since_whole: int = 0
    """Views since the last whole one."""
    seconds: float | None = None
    """Of a round."""
    known: tuple[Known, ...] = ()
    """The last parts that were used, the newest last."""
    paces: tuple[tuple[float, float], ...] = ()
    """See ``pace.measure``: of the rounds since seconds were chosen."""
    best_round: int = -1
    """The round that began with the best weights, see ``ending.score``."""
    best_score: float | None = None
    """The highest score of a round, see ``scores.of``: more is better."""
    best_error: float = 0.0
    """Its standard error."""
    gain_score: float | None = None
    """The best score when it last grew by the least gain that counts."""
    gain_round: int = 0
    """Rounds that had trained then."""
    valid: Mapping[str, Any] = {}
    """Sums on the validation rows, of the best weights."""
    latest: Mapping[str, Mapping[str, Any]] = {}
    """Where shards go on apart: shard -> its last sums on validation rows."""
    test: Mapping[str, Any] = {}
    """Sums on the test rows."""
    steps: int = 0
    """Of all shards."""
    samples: int = 0
    codes_bytes: int = 0
    """Of all changes as they are encoded, before they are compressed on their way."""
    up_bytes: int = 0
    down_bytes: int = 0
    dropped: int = 0
    """Parts that were too stale."""
    notes: tuple[str, ...] = ()
    """Sentences for the person who submitted the run."""


class State(NamedTuple):
    """Arrays are float32 of shape (n,) unless said otherwise, and never altered."""

    settings: Settings
    net: str
    """As ``nets.Net.to_json`` writes it."""
    weights: Floats
    view: Floats
    """What nodes hold: it lags behind the weights by what its encoding left over."""
    moments: Moments
    best: bytes | None
    """The view with the best score as a whole one, see ``views.whole``; None before the first score."""
    book: Book

    def noted(self, **changes: Any) -> Self:
        """The same with changes in its book."""
        return self._replace(book=self.book._replace(**changes))


def dump(state: State) -> bytes:
    """Return the state in the format safetensors: arrays by name, and all else as JSON in the array ``BOOK``."""
    arrays: dict[str, npt.NDArray[Any]] = {"weights": state.weights, "view": state.view}
    moments = {"first": state.moments.first, "second": state.moments.second}
    arrays |= {name: array for name, array in moments.items() if array is not None}
    if state.best is not None:
        arrays["best"] = np.frombuffer(state.best, np.uint8)
    told = {"settings": state.settings._asdict(), "net": state.net, "steps": state.moments.steps}
    text = json.dumps({**told, "book": state.book._asdict()})
    return safetensors.numpy.save({**arrays, BOOK: np.frombuffer(text.encode(), np.uint8)})


def load(data: bytes) -> State:
    """Return the state that ``dump`` made bytes of.

    Raises:
        ValueError: The bytes are damaged.
    """
    try:
        arrays = safetensors.numpy.load(data)
        told = json.loads(arrays[BOOK].tobytes())
        book = Book(**told["book"])
        book = book._replace(
            known=tuple(Known(*each) for each in book.known),
            paces=tuple((step_s, beside_s) for step_s, beside_s in book.paces),
            notes=tuple(book.notes),
        )
        moments = Moments(arrays.get("first"), arrays.get("second"), told["steps"])
        best = arrays["best"].tobytes() if "best" in arrays else None
        settings = Settings(**told["settings"])
        return State(settings, told["net"], arrays["weights"], arrays["view"], moments, best, book)
    except (KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise ValueError(f"the state of the training cannot be read: {type(error).__name__}: {error}") from None
