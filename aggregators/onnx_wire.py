"""Writes ONNX files: the few messages of onnx.proto that a net or trees need, in the wire format of Protocol Buffers.

The package ``onnx`` would do as well, but it is 26 MB with its own protobuf, and the machine that publishes a model
would need it: with these lines, each model has its file. Tests read the files with that package.

The numbers of fields are those of ``onnx.proto`` (ONNX 1.12); the wire format is that of
protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

IR_VERSION = 8
OPSET = 17
"""Both came with ONNX 1.12 (2022): what reads models today reads them."""
TREES = "ai.onnx.ml"
"""The domain of the operators for trees."""
ALL_OUTPUTS = frozenset({"TopK"})
"""Operators that always make all of their outputs."""
OPSETS = {"": OPSET, TREES: 3}
FLOAT, UINT8, INT64, STRING, DOUBLE = 1, 2, 7, 8, 11
"""TensorProto.DataType."""
TYPES = {"float32": FLOAT, "uint8": UINT8, "int64": INT64, "float64": DOUBLE}


class Graph:
    """The nodes of a graph as they are added; each gives one value, by its name."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._domains = {""}
        self._values = 0

    def add(
        self, operator: str, *inputs: str, name: str = "", gives: int = 0, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node and return the name of its output.

        Args:
            operator: Of the operator set of ``domain``.
            inputs: Names of values; "" is an input left out.
            name: Of the output; made up if not given.
            gives: Which of the operator's outputs is meant, from 0 on; those before are left out, or are there for
                nobody where the operator always makes them.
            domain: "" is that of the usual operators; or ``TREES``.
            attributes: Whole numbers, floats, texts, lists of whole numbers or of bytes (texts); arrays of int64 that
                are not negative, of float32, and of float64 (a tensor).
        """
        self._domains.add(domain)
        self._values += 1
        output = name or f"{operator}_{self._values}"
        unused = [f"{output}_{at}" if operator in ALL_OUTPUTS else "" for at in range(gives)]
        told = [
            *(_bytes(1, value.encode()) for value in inputs),
            *(_bytes(2, value.encode()) for value in [*unused, output]),
            _bytes(3, f"{operator}_{self._values}".encode()),
            _bytes(4, operator.encode()),
            *([_bytes(7, domain.encode())] if domain else []),
            *(_bytes(5, _attribute(key, value)) for key, value in attributes.items()),
        ]
        self._nodes.append(b"".join(told))
        return output

    def constant(self, array: npt.NDArray[Any], name: str = "") -> str:
        """Add an array of one of ``TYPES`` and return its name."""
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        return self._constant(array.shape, TYPES[array.dtype.name], [_bytes(9, little.tobytes())], name)

    def texts(self, values: Sequence[str]) -> str:
        """Add a row of texts and return its name."""
        return self._constant((len(values),), STRING, [_bytes(6, value.encode()) for value in values], "")

    def _constant(self, shape: Iterable[int], kind: int, content: list[bytes], name: str) -> str:
        name = name or f"constant_{len(self._constants)}"
        head = [*(_whole(1, size) for size in shape), _whole(2, kind), _bytes(8, name.encode())]
        self._constants.append(b"".join([*head, *content]))
        return name

    def model(self, inputs: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
        """Return the file; ``inputs`` and ``outputs`` are made by ``value``."""
        graph = [
            *(_bytes(1, node) for node in self._nodes),
            _bytes(2, b"net"),
            *(_bytes(5, constant) for constant in self._constants),
            *(_bytes(11, each) for each in inputs),
            *(_bytes(12, each) for each in outputs),
        ]
        told = [_whole(1, IR_VERSION), _bytes(2, b"cluster"), _bytes(7, b"".join(graph))]
        domains = [_bytes(1, each.encode()) + _whole(2, OPSETS[each]) for each in sorted(self._domains)]
        return b"".join([*told, *(_bytes(8, each) for each in domains)])


def value(name: str, kind: int, shape: Iterable[int]) -> bytes:
    """Describe an input or output: any number of samples, each of this shape."""
    dimensions = [_bytes(1, _bytes(2, b"samples")), *(_bytes(1, _whole(1, size)) for size in shape)]
    tensor = _whole(1, kind) + _bytes(2, b"".join(dimensions))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, float):
        content, kind = _key(2, 5) + struct.pack("<f", value), 1
    elif isinstance(value, int):
        content, kind = _whole(3, value), 2
    elif isinstance(value, str):
        content, kind = _bytes(4, value.encode()), 3
    elif hasattr(value, "dtype"):
        content, kind = _array(value)
    elif value and isinstance(value[0], bytes):
        known = {each: _bytes(9, each) for each in set(value)}
        content, kind = b"".join(map(known.__getitem__, value)), 8
    else:
        content, kind = b"".join(_whole(8, each) for each in value), 7
    return _bytes(1, name.encode()) + content + _whole(20, kind)


def _array(array: npt.NDArray[Any]) -> tuple[bytes, int]:
    """An attribute's content and kind: a tensor for float64, else a list, packed."""
    if array.dtype.name == "float64":
        head = [*(_whole(1, size) for size in array.shape), _whole(2, DOUBLE)]
        return _bytes(5, b"".join([*head, _bytes(9, array.astype("<f8").tobytes())])), 4
    if array.dtype.name == "float32":
        return _bytes(7, array.astype("<f4").tobytes()), 6
    return _bytes(8, _varints(array)), 7


def _varints(values: npt.NDArray[Any]) -> bytes:
    """The same as ``_varint`` of each, for millions of them; none is negative."""
    import numpy as np

    sizes = np.ones(len(values), np.int64)
    while ((values >> (7 * sizes)) > 0).any():
        sizes += (values >> (7 * sizes)) > 0
    starts = np.cumsum(sizes) - sizes
    out = np.zeros(int(sizes.sum()), np.uint8)
    for at in range(int(sizes.max(initial=0))):
        long = sizes > at
        more = np.where(sizes[long] > at + 1, 0x80, 0)
        out[starts[long] + at] = (values[long] >> (7 * at)) & 0x7F | more
    return out.tobytes()


def _whole(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value % 2**64)  # negative ones are written as their complement


def _bytes(field: int, content: bytes) -> bytes:
    return _key(field, 2) + _varint(len(content)) + content


def _key(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
