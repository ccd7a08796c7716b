"""An ensemble that predicts: its sub-models and its combiner, read from the folder of a bundle. NumPy alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregators import submodels
from aggregators.ensemble.bundle import CARD, ENSEMBLE, FORMAT
from aggregators.ensemble.combiner import Combiner, Floats
from aggregators.submodels import SubModel
from aggregators.submodels.boosting import Boosting

BLOCK_VALUES = 2**22
"""Numbers that sub-models say of the rows that are held at a time: 32 MiB."""


class Ensemble(NamedTuple):
    """What a bundle holds."""

    card: dict[str, Any]
    models: tuple[SubModel, ...]
    combiner: Combiner

    def scores(self, rows: NDArray[Any]) -> Floats:
        """Return what it says of encoded rows, (rows, width): probabilities (rows, classes), or (rows, 1) in the
        target's own unit."""
        block = max(1, BLOCK_VALUES // (self.combiner.models * self.combiner.outputs))
        found = [self._block(rows[at : at + block]) for at in range(0, len(rows), block)]
        joined = np.concatenate(found) if found else np.zeros((0, self.combiner.outputs))
        if scale := self.card["target_scale"]:
            return np.asarray(joined * scale["std"] + scale["mean"], np.float64)
        return joined

    def _block(self, rows: NDArray[Any]) -> Floats:
        return self.combiner.combine(scores_of(self.models, rows))


def scores_of(models: tuple[SubModel, ...], rows: NDArray[Any]) -> Floats:
    """Return what each sub-model says: (rows, models, outputs)."""
    return np.stack([model.scores(rows) for model in models], axis=1)


def load(folder: Path) -> Ensemble:
    """Read an ensemble from the folder of its bundle.

    Raises:
        ValueError: There is none, or it is damaged; the message says what is wrong.
    """
    try:
        told = json.loads((folder / ENSEMBLE).read_bytes())
        card = json.loads((folder / CARD).read_bytes())
        if told["format"] != FORMAT:
            raise ValueError(f"its format is {told['format']!r}, and this version reads {FORMAT}")
        models = tuple(submodels.unpack((folder / _inside(each["file"])).read_bytes()) for each in told["models"])
        combiner = Combiner.from_json(told["combiner"])
        if len(models) != combiner.models or any(each.outputs != combiner.outputs for each in models):
            raise ValueError("its combiner is for other sub-models")
        if any(each.about.width != card["input_shape"][0] for each in models):
            raise ValueError("its sub-models are for rows of another width than its card")
        if combiner.outputs != card["outputs"]:
            raise ValueError("its card is of another number of classes")
    except OSError as error:
        raise ValueError(f"the ensemble cannot be read: {error.strerror}: {Path(error.filename).name}") from None
    except (LookupError, TypeError) as error:
        raise ValueError(f"the ensemble cannot be read: {type(error).__name__}: {error}") from None
    return Ensemble(card, models, combiner)


def load_quick(folder: Path) -> Ensemble | None:
    """Read an ensemble whose rows find all leaves in tables, which takes less time than ONNX Runtime; None for others.

    Raises:
        ValueError: It is damaged; the message says what is wrong.
    """
    if not _kinds(folder) <= {"hgb"}:  # forests may be large, and walk
        return None
    found = load(folder)
    return found if all(isinstance(each, Boosting) and each.tables for each in found.models) else None


def _kinds(folder: Path) -> set[str]:
    try:
        return {each["kind"].partition(":")[0] for each in json.loads((folder / ENSEMBLE).read_bytes())["models"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return set()  # ``load`` tells


def _inside(name: str) -> str:
    if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"the file {name!r} of a sub-model lies outside of the bundle")
    return name
