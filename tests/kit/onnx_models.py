"""Small ONNX models with answers that NumPy can check, in folders as the job ``onnx`` wants them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

LABELS = ("red", "green", "blue", "dark")
WEIGHTS = ((6.0, -3.0, -3.0), (-3.0, 6.0, -3.0), (-3.0, -3.0, 6.0), (-2.0, -2.0, -2.0))
BIAS = (0.0, 0.0, 0.0, 2.0)
"""The logits are WEIGHTS times the mean colour (in 0..1), plus BIAS."""

PICTURES = {"red.png": (230, 20, 20), "b/green.png": (40, 200, 60), "b/blue.png": (0, 0, 250), "dark.png": (9, 9, 9)}
LONG_PICTURES, LONG_SIZE = 72, (2000, 1500)
PARAMETERS = {"labels": "labels.txt", "size": [8, 6], "softmax": True}


def mean_colour(channels: int = 3, *, softmax: bool = False, size: tuple[int, int] = (8, 6)) -> Any:
    """A model of the mean of each channel of a picture (width, height): ``LABELS`` by ``WEIGHTS`` and ``BIAS``."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: it makes the models")
    from onnx import TensorProto, helper, numpy_helper

    np = pytest.importorskip("numpy")
    weights = np.array(WEIGHTS, np.float32).T[:channels]
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"], axis=1),
        helper.make_node("Gemm", ["colour", "weights", "bias"], ["logits"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["likely"], axis=1))
    graph = helper.make_graph(
        nodes,
        "mean-colour",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, channels, size[1], size[0]])],
        [helper.make_tensor_value_info("likely" if softmax else "logits", TensorProto.FLOAT, [1, len(LABELS)])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array(BIAS, np.float32), "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def write(folder: Path, model: Any = None, /, **parameters: Any) -> str:
    """A model's folder with ``PARAMETERS`` and ``parameters`` (None takes one away); gives its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "colours.onnx").write_bytes((model or mean_colour()).SerializeToString())
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n")
    given = {key: value for key, value in {**PARAMETERS, **parameters}.items() if value is not None}
    bundle = {"job": "onnx", "parameters": given, "requirements": []}
    (folder / "bundle.json").write_text(json.dumps(bundle))
    return str(folder)


def answer(colour: Sequence[int]) -> list[dict[str, Any]]:
    """What the job says of a picture of one colour by ``mean_colour`` and ``PARAMETERS``, all labels."""
    rows = zip(WEIGHTS, BIAS, strict=True)
    grown = [math.exp(sum(w * c / 255 for w, c in zip(row, colour, strict=True)) + bias) for row, bias in rows]
    likely = zip(LABELS, (round(value / sum(grown), 4) for value in grown), strict=True)
    return [{"label": label, "confidence": share} for label, share in sorted(likely, key=lambda pair: -pair[1])]


def small(folder: Path) -> None:
    """A picture of one colour for each label."""
    for name, colour in PICTURES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(_plain(colour, (40, 30)))


def long(folder: Path) -> None:
    """Many large pictures: the model takes no time, decoding them does, some 0.06 s each."""
    drawn = [_plain(colour, LONG_SIZE) for colour in PICTURES.values()]
    for number in range(LONG_PICTURES):
        (folder / f"{number:03}.png").write_bytes(drawn[number % len(drawn)])


def _plain(colour: tuple[int, int, int], size: tuple[int, int]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, format="PNG")
    return out.getvalue()
