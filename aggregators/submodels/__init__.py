"""Sub-models as arrays: forests, boosting, networks and linear models that answer with NumPy alone.

    model = tasks.ensemble.fit.fit(spec.parse("rf:trees=200"), x, y, classes=3, seed=7)
    data = submodels.pack(model)           # one .npz, no code in it
    submodels.unpack(data).scores(x)       # (rows, classes), on a machine without scikit-learn

A sub-model answers as the scikit-learn model that it was taken from: forests bit by bit, the others within 1e-12.

| kinds | file | arrays |
| --- | --- | --- |
| rf, et, tree | ``forest.py`` | those of ``trees.py``, a distribution of classes or a number for each leaf |
| hgb | ``boosting.py`` | those of ``trees.py``, a number for each leaf, the score before the first tree |
| mlp, logreg, ridge | ``dense.py`` | weights and biases of each layer |

Rows are encoded as ``splitters.tables`` does it: float32, no NaN. They walk through trees; those of boosting find
their leaves in tables where trees are small (``masks.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from aggregators.submodels.about import About

__all__ = ["SubModel", "pack", "unpack"]


class SubModel(Protocol):
    """One fitted model. It holds arrays alone and is not changed after it was made."""

    @property
    def about(self) -> About: ...
    @property
    def kind(self) -> str:
        """As in ``spec.KINDS``."""

    @property
    def outputs(self) -> int:
        """Classes of the card, or 1 for a number."""

    def scores(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(rows, width) -> (rows, outputs).

        Classification: probabilities over the classes of the card, rows sum to 1; a class that the sub-model never saw
        is 0. Regression: the number, scaled as the targets that it was fitted on.

        Raises:
            ValueError: Rows have another width.
        """

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what ``pack`` writes besides ``about``."""


def pack(model: SubModel) -> bytes:
    """Return the ``.npz`` of a sub-model: the same bytes for the same model."""
    from aggregators.submodels import archive

    return archive.write(model.about, model.arrays())


def unpack(data: bytes) -> SubModel:
    """Read what ``pack`` wrote, perhaps on another machine. Runs nothing of it and checks every index and number.

    Raises:
        ValueError: The bytes are no sub-model; says what is wrong.
    """
    from aggregators.submodels import archive, boosting, dense, forest

    about, arrays = archive.read(data)
    kinds: Mapping[str, Callable[..., SubModel]] = {**forest.KINDS, **boosting.KINDS, **dense.KINDS}
    return kinds[about.kind](about, arrays)
