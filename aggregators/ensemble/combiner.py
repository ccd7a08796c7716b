"""Combiners: what an ensemble makes of the scores of its sub-models. NumPy only.

``scores`` are of shape (rows, models, outputs): of each row what each sub-model says, probabilities over the classes
or, with one output, the scaled number. A combiner makes (rows, outputs) of them.

| how | classes | numbers |
| --- | --- | --- |
| vote | the share of the sub-models whose likeliest class it is; between equal shares the average decides | - |
| average | the mean | the mean |
| weighted | the mean, weighted by ``weights`` | as for classes |
| stack | softmax of ``coefficients`` times all scores, plus ``intercepts`` | the same without softmax |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from aggregators.likeliest import likeliest

Floats = NDArray[np.float64]
How = Literal["vote", "average", "weighted", "stack"]
HOWS: tuple[How, ...] = get_args(How)
"""The simplest first."""
NEVER = -1e9
"""Intercept of a class that no row of the stack had: its probability becomes 0."""
TIE = 0.5
"""Of a vote the average counts as half a sub-model, so it decides between equal votes and never against a vote."""


@dataclass(frozen=True)
class Combiner:
    """How the scores of sub-models become those of the ensemble. Arrays are float64 and not to be changed."""

    how: How
    models: int
    outputs: int
    """1: a number."""
    weights: Floats | None = None
    """Of "weighted": (models,), 0 or more, they sum up to 1."""
    coefficients: Floats | None = None
    """Of "stack": (outputs, models * outputs); those of one sub-model stand beside each other."""
    intercepts: Floats | None = None
    """Of "stack": (outputs,)."""

    def __post_init__(self) -> None:
        """See that the arrays fit.

        Raises:
            ValueError: They do not; the message says which one.
        """
        if self.how not in HOWS or (self.how == "vote" and self.outputs == 1):
            raise ValueError(f"there is no combiner {self.how!r} for {self.outputs} outputs")
        if self.models < 1 or self.outputs < 1:
            raise ValueError(f"a combiner of {self.models} sub-models with {self.outputs} outputs joins nothing")
        shapes = {
            "weights": (self.models,) if self.how == "weighted" else None,
            "coefficients": (self.outputs, self.models * self.outputs) if self.how == "stack" else None,
            "intercepts": (self.outputs,) if self.how == "stack" else None,
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if (None if array is None else array.shape) != shape:
                raise ValueError(f"the {name} of a combiner {self.how!r} must have the shape {shape}")
            if array is not None and not np.isfinite(array).all():
                raise ValueError(f"the {name} of a combiner must be finite")
        if self.weights is not None and not (self.weights.min() >= 0 and abs(self.weights.sum() - 1) < 1e-6):
            raise ValueError("the weights of a combiner must be 0 or more, and sum up to 1")

    def combine(self, scores: NDArray[Any]) -> Floats:
        """Return the scores of the ensemble, of shape (rows, outputs); probabilities of a row sum up to 1.

        Raises:
            ValueError: ``scores`` are of another number of sub-models or outputs.
        """
        if scores.ndim != 3 or scores.shape[1:] != (self.models, self.outputs):
            raise ValueError(
                f"the scores have the shape {scores.shape}; the combiner joins {self.models} sub-models with"
                f" {self.outputs} outputs"
            )
        if self.how == "vote":
            votes = _votes(scores) + TIE * scores.mean(axis=1, dtype=np.float64)
            return cast(Floats, votes / (self.models + TIE))
        if self.how == "average":
            return cast(Floats, scores.mean(axis=1, dtype=np.float64))
        if self.weights is not None:
            return cast(Floats, np.einsum("rmo,m->ro", scores.astype(np.float64), self.weights))
        assert self.coefficients is not None and self.intercepts is not None  # noqa: S101, PT018 - see __post_init__
        flat = scores.reshape(len(scores), self.models * self.outputs).astype(np.float64)
        linear: Floats = flat @ self.coefficients.T + self.intercepts
        return linear if self.outputs == 1 else softmax(linear)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types; ``from_json`` gives the same bits back."""
        told: dict[str, Any] = {"how": self.how, "models": self.models, "outputs": self.outputs}
        for name in ("weights", "coefficients", "intercepts"):
            if (array := getattr(self, name)) is not None:
                told[name] = array.tolist()
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return the combiner that ``to_json`` told of; it may come from another machine.

        Raises:
            ValueError: It is none.
        """
        try:
            how, models, outputs = told["how"], told["models"], told["outputs"]
            if type(models) is not int or type(outputs) is not int or not isinstance(how, str):
                raise ValueError("its sizes are no whole numbers")
            arrays = {
                name: np.array(told[name], np.float64)
                for name in ("weights", "coefficients", "intercepts")
                if told.get(name) is not None
            }
            return cls(cast(How, how), models, outputs, **arrays)
        except (KeyError, TypeError, OverflowError, AttributeError) as error:
            raise ValueError(f"this is no combiner: {type(error).__name__}: {error}") from None


def softmax(linear: Floats) -> Floats:
    """Return probabilities for each row of (rows, classes)."""
    powers = np.exp(linear - linear.max(axis=1, keepdims=True))
    return cast(Floats, powers / powers.sum(axis=1, keepdims=True))


def _votes(scores: NDArray[Any]) -> Floats:
    """How many sub-models find a class the likeliest; between equal ones the first class."""
    votes = np.zeros((scores.shape[0], scores.shape[2]))
    rows = np.arange(len(scores))
    for model in range(scores.shape[1]):
        votes[rows, likeliest(scores[:, model])] += 1
    return votes
