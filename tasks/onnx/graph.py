"""The inputs and outputs of an ONNX model, as its file declares them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tasks.onnx.external import BYTES, GRAPH, VARINT, fields

# The numbers of fields in onnx.proto.
INITIALIZER, INPUT, OUTPUT, SPARSE_INITIALIZER = 5, 11, 12, 15
NOTES, NOTE_KEY, NOTE_VALUE = 14, 1, 2
TENSOR_NAME, SPARSE_VALUES = 8, 1
NAME, TYPE, TENSOR_TYPE, SHAPE, DIMENSION, DIMENSION_VALUE = 1, 2, 1, 2, 1, 1
Shape = tuple[int | None, ...]
"""None stands for a dimension of any size."""


class Value(NamedTuple):
    """An input or output."""

    name: str
    shape: Shape | None
    """None where the file does not declare one."""


class Graph(NamedTuple):
    """The values that a model takes and gives, in the order of its file."""

    inputs: tuple[Value, ...]
    """The model's inputs without those that have a value in the file."""
    outputs: tuple[Value, ...]


def read(data: bytes) -> Graph:
    """The main graph of a model.

    Raises:
        ValueError: It is no ONNX file, or a damaged one.
    """
    inputs, outputs, given = [], [], set()
    for graph in _messages(memoryview(data), GRAPH):
        inputs += [_value(found) for found in _messages(graph, INPUT)]
        outputs += [_value(found) for found in _messages(graph, OUTPUT)]
        given |= {_text(found, TENSOR_NAME) for found in _messages(graph, INITIALIZER)}
        for sparse in _messages(graph, SPARSE_INITIALIZER):
            given |= {_text(found, TENSOR_NAME) for found in _messages(sparse, SPARSE_VALUES)}
    return Graph(tuple(value for value in inputs if value.name not in given), tuple(outputs))


def notes(data: bytes) -> dict[str, str]:
    """The texts that the makers of a model left in its file, by their names.

    Raises:
        ValueError: It is no ONNX file, or a damaged one.
    """
    return {_text(found, NOTE_KEY): _text(found, NOTE_VALUE) for found in _messages(memoryview(data), NOTES)}


def fits(declared: Shape | None, shape: Shape) -> bool:
    """Whether a value of this shape may be given where that one is declared."""
    if declared is None:
        return True
    pairs = zip(declared, shape, strict=False)
    return len(declared) == len(shape) and all(wanted in (None, size) for wanted, size in pairs)


def _value(message: memoryview) -> Value:
    shape: Shape | None = None
    for kind in _messages(message, TYPE):
        for tensor in _messages(kind, TENSOR_TYPE):
            for found in _messages(tensor, SHAPE):
                shape = tuple(_size(dimension) for dimension in _messages(found, DIMENSION))
    return Value(_text(message, NAME), shape)


def _size(dimension: memoryview) -> int | None:
    sizes = [value for number, kind, value in fields(dimension) if number == DIMENSION_VALUE and kind == VARINT]
    # Some tools write 0 or -1 for "any".
    return sizes[-1] if sizes and isinstance(sizes[-1], int) and 0 < sizes[-1] < 2**63 else None


def _text(message: memoryview, number: int) -> str:
    return bytes(next(_messages(message, number), memoryview(b""))).decode(errors="replace")


def _messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """The messages or texts in the fields of that number."""
    for found, kind, value in fields(message):
        if found == number and kind == BYTES and isinstance(value, memoryview):
            yield value
