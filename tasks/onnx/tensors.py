"""A model's own outputs for its own inputs: tensors, without pictures and labels."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import Tensor, Tensors
from tasks.onnx import external, graph, parameters
from tasks.onnx.net import Net

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

DTYPE = "float32"
"""What OpenCV takes and gives."""


def about(model: str) -> Tensors:
    """What the model in that folder takes and gives. Axis 0 counts rows: of any number, also where the file says 1.

    Raises:
        ModelUnusable: There is no such model, or not one that can be run.
    """
    net = _loaded(model)
    return Tensors(
        tuple(_tensor(value) for value in net.declared.inputs), tuple(_tensor(value) for value in net.declared.outputs)
    )


def infer(arrays: Mapping[str, Array], model: str) -> dict[str, Array]:
    """All outputs of the model in that folder.

    Args:
        arrays: Input -> numbers, of shape (rows, ...); all inputs, with as many rows each.
        model: The path of the model's folder.

    Raises:
        ModelUnusable: The model cannot be run.
        ValueError: These are not the inputs that it takes; the message says what is wrong.
    """
    net = _loaded(model)
    known = {value.name: value.shape for value in net.declared.inputs}
    for name in {**known, **arrays}:
        if name not in arrays or name not in known:
            why = "missing" if name in known else "not one of them"
            raise ValueError(f"the model takes the inputs {', '.join(known)}, and {name} is {why}")
    for name, array in arrays.items():
        _check(name, array, known[name])
    if len({len(array) for array in arrays.values()}) > 1:
        raise ValueError(f"the inputs have {' and '.join(str(len(array)) for array in arrays.values())} rows")
    return {value.name: net.run(arrays, value.name) for value in net.declared.outputs}


def _check(name: str, array: Array, declared: graph.Shape | None) -> None:
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} is of dtype {array.dtype}: it must hold numbers")
    if not array.ndim or not len(array):
        raise ValueError(f"{name} has the shape {array.shape}: it must have a row or more")
    if declared is not None and not graph.fits(declared[1:], array.shape[1:]):
        shape = ", ".join("any" if size is None else str(size) for size in declared[1:])
        raise ValueError(f"a row of {name} has the shape {array.shape[1:]}; the model takes ({shape})")


def _tensor(value: graph.Value) -> Tensor:
    return Tensor(value.name, DTYPE, (None, *(value.shape or (None,))[1:]))


@functools.lru_cache(maxsize=2)
def _loaded(folder: str) -> Net:
    """Load a model once in a process.

    Raises:
        ModelUnusable: As ``about``.
    """
    file = parameters.file(Path(folder))
    data = external.whole(file)
    net = Net(data, graph.read(data), file.name)
    if not net.declared.inputs or not net.declared.outputs:
        raise parameters.ModelUnusable(f"{file.name} must have an input and an output")
    for value in net.declared.outputs:
        net.require(value.name)
    _try(net)
    return net


def _try(net: Net) -> None:
    """Run it on two made-up rows, where the file says of which shape they are."""
    import numpy as np

    shapes = {value.name: [size for size in (value.shape or ())[1:] if size] for value in net.declared.inputs}
    if all(value.shape and None not in value.shape[1:] for value in net.declared.inputs):
        chance = np.random.default_rng(0)
        rows = {name: chance.random((2, *shape), np.float32) for name, shape in shapes.items()}
        for value in net.declared.outputs:
            net.see_batches(rows, value.name)
