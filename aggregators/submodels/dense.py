"""Networks and linear models: rows go through layers of weights, in float64.

Arrays ``weights0`` (width, units) and ``bias0`` (units), ``weights1``, …; between layers negative numbers become 0. A
linear model is one layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregators.submodels import links
from aggregators.submodels.about import BLOCK, About, Common
from aggregators.submodels.archive import only, take
from aggregators.submodels.spec import MOST_LAYERS

Floats = npt.NDArray[np.float64]


class Dense(Common):
    """Layers of weights."""

    def __init__(self, about: About, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Check what came from elsewhere.

        Raises:
            ValueError: It is no such model; says why.
        """
        super().__init__(about)
        self.layers: list[tuple[Floats, Floats]] = []
        count, units = sum(name.startswith("weights") for name in arrays), about.width
        if not 1 <= count <= (MOST_LAYERS + 1 if about.kind == "mlp" else 1):
            raise ValueError(f"it has {count:,} layers")
        only(arrays, *(f"{name}{at}" for at in range(count) for name in ("weights", "bias")))
        for at in range(count):
            weights = take(arrays, f"weights{at}", "number", units, -1).astype(np.float64)
            units = weights.shape[1]
            self.layers.append((weights, take(arrays, f"bias{at}", "number", units).astype(np.float64)))
        if units != links.width(about):
            raise ValueError(f"its last layer gives {units:,} numbers, and not {links.width(about):,}")

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the constructor takes."""
        return named(self.layers)

    def scores(self, x: npt.NDArray[Any]) -> Floats:
        """(rows, width) -> (rows, outputs)."""
        self.about.check(x)
        parts = [np.empty((0, self.about.columns))]
        for start in range(0, len(x), BLOCK):
            values = np.asarray(x[start : start + BLOCK], np.float64)
            for at, (weights, bias) in enumerate(self.layers):
                values = (np.maximum(values, 0) if at else values) @ weights + bias
            parts.append(links.apply(self.about, values))
        return self.about.spread(np.concatenate(parts))


def named(layers: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of layers by name."""
    return {
        f"{name}{at}": array
        for at, pair in enumerate(layers)
        for name, array in zip(("weights", "bias"), pair, strict=True)
    }


KINDS = {"mlp": Dense, "logreg": Dense, "ridge": Dense}
