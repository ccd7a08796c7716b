"""What a trained model says of tensors: rows of numbers as they stand in the source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tasks import Tensor, Tensors
from tasks.predict import opened

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

GIVEN, PROBABILITIES, VALUES = "X", "probabilities", "values"


def about(model: str) -> Tensors:
    """``X``, and ``probabilities`` (rows, classes) in the order of the card's classes, or ``values`` (rows, 1).

    A row of ``X`` has the shape that the model was trained on; of a table it has a number for each column that the
    model uses, in their order: a category is its number in the card.

    Raises:
        ValueError: There is no such model.
    """
    card = opened(model).predictor.card
    shape = [len(card["columns"])] if card["columns"] else card["input_shape"]
    given = Tensor(GIVEN, "float64" if card["columns"] else card["dtype"], (None, *shape))
    if card["classes"]:
        return Tensors((given,), (Tensor(PROBABILITIES, "float32", (None, len(card["classes"]))),))
    return Tensors((given,), (Tensor(VALUES, "float64", (None, 1)),))


def infer(arrays: Mapping[str, Array], model: str) -> dict[str, Array]:
    """The scores of each row of ``X``.

    Raises:
        ValueError: There is no such model; or the array has another name or shape, or holds no numbers.
    """
    import numpy as np

    model_here = opened(model)
    if list(arrays) != [GIVEN]:
        raise ValueError(f"the model takes the input {GIVEN}, and not {', '.join(arrays) or 'none'}")
    X = arrays[GIVEN]
    if not X.ndim:
        raise ValueError(f"{GIVEN} is one number: it must have a row or more")
    scores = model_here.predictor.scores(model_here.encoder.array(X))
    return {PROBABILITIES: scores.astype(np.float32)} if model_here.predictor.card["classes"] else {VALUES: scores}
