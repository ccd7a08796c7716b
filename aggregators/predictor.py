"""What a trained model says of encoded rows: the net of a training, or the sub-models of an ensemble."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from aggregators import forward, nets, onnx_net
from aggregators.nets import Net

if TYPE_CHECKING:
    from aggregators.training.state import Card

Floats = npt.NDArray[np.float64]
CARD, NET, WEIGHTS, ENSEMBLE, ONNX = "card.json", "net.json", "weights.safetensors", "ensemble.json", "model.onnx"
FIELDS = ("task", "classes", "target_scale", "input_shape", "dtype", "columns", "scaling", "picture", "outputs")
MOST_BATCH_VALUES = 2**22
"""Numbers in the rows that ONNX Runtime gets at once."""


class Predictor(Protocol):
    """A model that is ready."""

    @property
    def card(self) -> Card:
        """What it takes and gives."""

    def scores(self, X: npt.NDArray[Any]) -> Floats:
        """Probabilities of shape (rows, classes), in the order of the card's classes, or (rows, 1) numbers in the
        target's own unit.

        Args:
            X: As ``splitters.tables.encoding`` makes it: (rows, *input_shape) of the card's dtype.
        """
        ...


class Model(NamedTuple):
    """A predictor of a function."""

    card: Card
    raw: Callable[[npt.NDArray[Any]], Floats]
    """Gives (rows, outputs): probabilities, but for rounding; or numbers in the target's own unit."""

    def scores(self, X: npt.NDArray[Any]) -> Floats:
        """See ``Predictor``."""
        if not len(X):
            return np.empty((0, len(self.card["classes"]) or 1))
        found = self.raw(X)
        if self.card["classes"]:
            found /= found.sum(axis=1, keepdims=True)
        return found


def load(folder: Path, *, prefer_onnx: bool = True) -> Predictor:
    """The model in a folder that a job has trained.

    Args:
        folder: Of a bundle of ``train`` or ``ensemble``.
        prefer_onnx: Work by ONNX Runtime where that is installed and not slower; else by NumPy, which gives the same
            but for the last digits of float32.

    Raises:
        ValueError: There is none, or it is damaged.
    """
    card = read_card(folder)
    runs_onnx = prefer_onnx and importlib.util.find_spec("onnxruntime") is not None
    if (folder / NET).is_file():
        return _net(folder, card, runs_onnx=runs_onnx)
    if (folder / ENSEMBLE).is_file():
        return _ensemble(folder, card, runs_onnx=runs_onnx)
    raise ValueError(f"the model has neither {NET} nor {ENSEMBLE}: it is none that the jobs train and ensemble make")


def read_card(folder: Path) -> Card:
    """What the model in a folder takes.

    Raises:
        ValueError: There is nothing that tells, or it is damaged.
    """
    try:
        card = json.loads((folder / CARD).read_bytes())
    except OSError as error:
        raise ValueError(f"the model's {CARD} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the model's {CARD} is no JSON: {error}") from None
    if not isinstance(card, dict) or (missing := [field for field in FIELDS if field not in card]):
        raise ValueError(
            f"the model's {CARD} is damaged: it has no {missing[0] if isinstance(card, dict) else 'fields'}"
        )
    return cast("Card", card)


def _net(folder: Path, card: Card, *, runs_onnx: bool) -> Model:
    try:
        net = nets.from_json((folder / NET).read_text(encoding="utf-8"))
        flat = net.flat(safetensors.numpy.load((folder / WEIGHTS).read_bytes()))
    except OSError as error:
        raise ValueError(f"the model's {Path(error.filename).name} cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, safetensors.SafetensorError) as error:
        raise ValueError(f"the model's net is damaged: {error}") from None
    outputs = len(card["classes"]) or 1
    if (net.input_shape, net.outputs) != (tuple(card["input_shape"]), outputs):
        raise ValueError(f"the model's {NET} and {CARD} do not belong together")
    return Model(card, _by_onnx(net, flat, card) if runs_onnx else _by_numpy(net, flat, card))


def _by_numpy(net: Net, flat: npt.NDArray[np.float32], card: Card) -> Callable[[npt.NDArray[Any]], Floats]:
    scale = card["target_scale"]

    def raw(X: npt.NDArray[Any]) -> Floats:
        logits = forward.logits(net, flat, _scaled(X, card)).astype(np.float64)
        return forward.softmax(logits) if scale is None else logits * scale["std"] + scale["mean"]  # type: ignore[arg-type, return-value]

    return raw


def _scaled(X: npt.NDArray[Any], card: Card) -> npt.NDArray[np.float32]:
    """Rows for a net: those that are bytes are scaled by channel."""
    scaling = card["scaling"]
    if card["dtype"] != "uint8" or scaling is None:
        return X
    wide = [1] * X.ndim
    wide[scaling["axis"]] = -1
    mean, std = (np.array(scaling[key], np.float32).reshape(wide) for key in ("mean", "std"))
    scaled: npt.NDArray[np.float32] = (X.astype(np.float32) - mean) / std
    return scaled


def _by_onnx(net: Net, flat: npt.NDArray[np.float32], card: Card) -> Callable[[npt.NDArray[Any]], Floats]:
    """The net as ONNX for encoded rows: the file in the bundle takes rows as they stand in the source."""
    is_bytes = card["dtype"] == "uint8"
    encoded = {**card, "columns": [], "scaling": card["scaling"] if is_bytes else None}
    session = _session(onnx_net.write(net, flat, encoded))
    output = "probabilities" if card["classes"] else "numbers"
    dtype = np.uint8 if is_bytes else np.float64
    return lambda X: _run(session, "x", output, X, dtype)


def _ensemble(folder: Path, card: Card, *, runs_onnx: bool) -> Predictor:
    from aggregators.ensemble import predictor

    if not runs_onnx or not (folder / ONNX).is_file():
        return cast("Predictor", predictor.load(folder))
    if quick := predictor.load_quick(folder):
        return cast("Predictor", quick)
    return Model(card, _ensemble_by_onnx((folder / ONNX).read_bytes(), card))


def _ensemble_by_onnx(data: bytes, card: Card) -> Callable[[npt.NDArray[Any]], Floats]:
    session = _session(data)
    scale = card["target_scale"]

    def raw(X: npt.NDArray[Any]) -> Floats:
        found = _run(session, "x", "scores", X, np.float32)
        return found if scale is None else found * scale["std"] + scale["mean"]

    return raw


def _session(data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # with a process for each core
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - its exceptions have no common class but this
        raise ValueError(f"the model's {ONNX} cannot be used by ONNX Runtime: {error}") from None


def _run(session: Any, given: str, output: str, X: npt.NDArray[Any], dtype: type) -> Floats:
    size = max(1, MOST_BATCH_VALUES // max(1, X[:1].size))
    made = [
        session.run([output], {given: X[at : at + size].astype(dtype)})[0].astype(np.float64)
        for at in range(0, len(X), size)
    ]
    found: Floats = np.concatenate(made).reshape(len(X), -1)
    return found
