"""The network of the contest: 64 numbers, 128 hidden ones, 10 classes, as ONNX; and its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 2000
Array = np.ndarray[Any, np.dtype[np.float32]]


def weights(seed: int = 0) -> list[Array]:
    """Of both layers, with their biases."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.1, shape).astype(np.float32) for shape in ((64, 128), (128,), (128, 10), (10,))]


def write(folder: Path, seed: int = 0) -> Path:
    """The bundle of the job ``onnx``; gives the ONNX file in it."""
    from onnx import TensorProto, helper, numpy_helper

    given = [numpy_helper.from_array(one, name) for one, name in zip(weights(seed), "wbvc", strict=True)]
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "v", "c"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["p"], axis=1),
    ]
    takes = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])
    gives = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 10])
    graph = helper.make_graph(nodes, "net", [takes], [gives], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    folder.mkdir(parents=True)
    file = folder / "net.onnx"
    file.write_bytes(model.SerializeToString())
    bundle = {"job": "onnx", "parameters": {"tensors": True}, "requirements": []}
    (folder / "bundle.json").write_text(json.dumps(bundle))
    return file


def rows() -> Array:
    """The inputs that are asked for, of shape (2000, 64)."""
    return np.random.default_rng(1).random((ROWS, 64), dtype=np.float32).round(4)


def answers(asked: Array, seed: int = 0) -> Array:
    """The right answers, of shape (rows, 10)."""
    w, b, v, c = weights(seed)
    scores = np.maximum(asked @ w + b, 0) @ v + c
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Array = powers / powers.sum(axis=1, keepdims=True)
    return found


def body(row: Array, *, plain: bool = False) -> bytes:
    """One row as V2 asks for it; plain as BentoML does."""
    if plain:
        return json.dumps({"x": [[round(float(value), 4) for value in row]]}).encode()
    tensor = {"name": "x", "shape": [1, 64], "datatype": "FP32", "data": [round(float(value), 4) for value in row]}
    return json.dumps({"inputs": [tensor]}).encode()
