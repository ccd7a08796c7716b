"""Tensors as KServe's protocol V2 writes them, to bytes and back. Needs no NumPy: most requests have a few numbers.

orjson reads the JSON once; ``struct`` packs the numbers. With the binary extension the bytes of a request
are used as they are.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from cluster.gateway.problems import wrong
from cluster.services.messages import MAX_DIMENSIONS, MAX_NAME_CHARS, MAX_TENSORS, Shape, Tensor

DATATYPES: Mapping[str, tuple[str, str, int]] = {
    "FP32": ("float32", "f", 4), "FP64": ("float64", "d", 8), "FP16": ("float16", "e", 2),
    "INT8": ("int8", "b", 1), "INT16": ("int16", "h", 2), "INT32": ("int32", "i", 4), "INT64": ("int64", "q", 8),
    "UINT8": ("uint8", "B", 1), "UINT16": ("uint16", "H", 2), "UINT32": ("uint32", "I", 4),
    "UINT64": ("uint64", "Q", 8), "BOOL": ("bool", "?", 1),
}  # fmt: skip
"""V2's datatype -> NumPy's, the code of ``struct``, and bytes of one."""
V2_OF = {dtype: (datatype, code) for datatype, (dtype, code, _) in DATATYPES.items()}
FLOATS = frozenset("fde")
SLICE = 64 * 1024
"""Numbers that are packed at a time."""
SHOWN = 40
"""Characters of a value that a message shows."""


class Asked(NamedTuple):
    """An inference request, read."""

    shapes: tuple[Shape, ...]
    data: bytes
    """Of all tensors, one after the other."""
    id: str | None = None
    timeout_us: int | None = None
    outputs: Sequence[str] | None = None
    """The tensors that are wanted; None for all."""
    binary: Collection[str] | bool = False
    """The tensors to give as bytes; True for all, False for none."""


def read(body: bytes, header_bytes: int | None = None) -> Asked:
    """Read a request.

    Args:
        body: JSON; with the binary extension the bytes of tensors follow it.
        header_bytes: Bytes of the JSON, where the binary extension is used.

    Raises:
        Problem: It is none (400); the message says where.
    """
    tail = None
    if header_bytes is not None:
        if not 0 < header_bytes <= len(body):
            raise wrong(f"Inference-Header-Content-Length is {header_bytes}, and the body has {len(body)} bytes")
        body, tail = body[:header_bytes], _Tail(body[header_bytes:])
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise wrong(f"the body is no JSON: {error}") from None
    if type(said) is not dict:
        raise wrong(f"the body must be a JSON object, not {_shown(said)}")
    inputs = said.get("inputs")
    if type(inputs) is not list or not 0 < len(inputs) <= MAX_TENSORS:
        raise wrong(f'the body needs a list "inputs" of 1 to {MAX_TENSORS} tensors')
    if len(inputs) == 1:
        shape, data = _tensor(inputs[0], tail)
        shapes: tuple[Shape, ...] = (shape,)
    else:
        shapes, parts = zip(*(_tensor(one, tail) for one in inputs), strict=True)
        _see_rows(shapes)
        data = b"".join(parts)
    if tail is not None:
        tail.see_end()
    if len(said) == 1:
        return Asked(shapes, data)
    id_ = said.get("id")
    if id_ is not None and type(id_) is not str:
        raise wrong(f'the "id" {_shown(id_)} is no text')
    return Asked(shapes, data, id_, _timeout(said), *_outputs(said))


def write(
    model: str, version: int | None, asked: Asked, tensors: Iterable[Tensor]
) -> tuple[bytes, int | None]:  # (body, bytes of its JSON where tensors follow)
    """The answer, as JSON; tensors that are wanted as bytes follow it.

    Raises:
        Problem: An output that was asked for is not there (400).
    """
    tensors = tuple(tensors)
    if asked.outputs is not None:
        there = {tensor.name: tensor for tensor in tensors}
        for name in asked.outputs:
            if name not in there:
                raise wrong(f"the model has no output {_shown(name)}; it has: {', '.join(there)}")
        tensors = tuple(there[name] for name in asked.outputs)
    outputs, tail = [], []
    for name, dtype, shape, data in tensors:
        datatype, code = V2_OF[dtype]
        if asked.binary is True or (asked.binary and name in asked.binary):
            parameters = {"binary_data_size": len(data)}
            outputs.append({"name": name, "datatype": datatype, "shape": shape, "parameters": parameters})
            tail.append(data)
        else:
            outputs.append({"name": name, "datatype": datatype, "shape": shape, "data": numbers(data, code)})
    said: dict[str, Any] = {"model_name": model, "model_version": "" if version is None else str(version)}
    if asked.id is not None:
        said["id"] = asked.id
    said["outputs"] = outputs
    head = orjson.dumps(said)
    return (b"".join((head, *tail)), len(head)) if tail else (head, None)


def numbers(data: bytes, code: str) -> list[Any]:
    """The numbers that little-endian bytes hold."""
    if sys.byteorder == "big" or code == "e":
        return [number for (number,) in struct.iter_unpack(f"<{code}", data)]
    return memoryview(data).cast(code).tolist()  # type: ignore[call-overload, no-any-return]


class _Tail:
    """The bytes that follow the JSON; each tensor that says so takes its part."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size_bytes: int) -> bytes:
        """The next bytes."""
        data = self._data[self._at : self._at + size_bytes]
        self._at += size_bytes
        if len(data) != size_bytes:
            raise wrong(f"{self._at} bytes should follow the JSON, and {len(self._data)} do")
        return data

    def see_end(self) -> None:
        """See that nothing is left."""
        if self._at != len(self._data):
            raise wrong(f"{self._at} bytes should follow the JSON, and {len(self._data)} do")


def _tensor(tensor: Any, tail: _Tail | None) -> tuple[Shape, bytes]:
    try:
        name, shape, datatype = tensor["name"], tensor["shape"], tensor["datatype"]
    except (TypeError, KeyError):
        raise wrong(f'an input needs "name", "shape", "datatype" and "data", not {_shown(tensor)}') from None
    if type(name) is not str or len(name) > MAX_NAME_CHARS:
        raise wrong(f'the "name" of an input must be a text of at most {MAX_NAME_CHARS} characters')
    kind = DATATYPES.get(datatype) if type(datatype) is str else None
    if kind is None:
        raise wrong(f"the datatype {_shown(datatype)} cannot be used; there are: {', '.join(DATATYPES)}")
    dtype, code, item_bytes = kind
    elements = _elements(shape)
    if "data" in tensor:
        return Shape(name, dtype, tuple(shape)), _packed(tensor["data"], code, shape, elements)
    if tail is None:
        raise wrong(f'the input {_shown(name)} has no "data"')
    return Shape(name, dtype, tuple(shape)), _from(tail, tensor, elements * item_bytes, code)


def _see_rows(shapes: Sequence[Shape]) -> None:
    rows = {shape.shape[0] for shape in shapes}
    if len(rows) > 1:
        raise wrong(f"the inputs have different numbers of rows: {', '.join(map(str, sorted(rows)))}")
    if len({shape.name for shape in shapes}) < len(shapes):
        raise wrong("two inputs have the same name")


def _elements(shape: Any) -> int:
    if type(shape) is not list or not 0 < len(shape) <= MAX_DIMENSIONS:
        raise wrong(f'the "shape" {_shown(shape)} is no list of 1 to {MAX_DIMENSIONS} numbers')
    elements = 1
    for side in shape:
        if type(side) is not int or not 0 < side < 2**31:
            raise wrong(f'the "shape" {_shown(shape)} must hold whole numbers from 1')
        elements *= side
    return elements


def _packed(data: Any, code: str, shape: Sequence[int], elements: int) -> bytes:
    """The numbers of a JSON list, which may be nested as the shape is."""
    if type(data) is not list:
        raise wrong(f'the "data" {_shown(data)} is no list')
    if data and type(data[0]) is list:
        data = list(_flat(data, shape))
    if len(data) != elements:
        raise wrong(f'the "shape" {list(shape)} holds {elements} numbers, and the "data" {len(data)}')
    try:
        if code == "?":
            if not all(type(value) is bool for value in data):
                raise TypeError("a value is neither true nor false")
            return bytes(data)
        # JSON has no number that is not finite. In slices: while one is packed, no other thread goes on.
        slices = (data[at : at + SLICE] for at in range(0, elements, SLICE)) if elements > SLICE else (data,)
        return b"".join([struct.pack(f"<{len(part)}{code}", *part) for part in slices])
    except (TypeError, OverflowError, struct.error) as error:
        raise wrong(f'the "data" cannot be read as such numbers: {error}') from None


def _flat(data: Any, shape: Sequence[int]) -> Iterator[Any]:
    """The numbers of nested lists, which must be as long as the shape says."""
    if type(data) is not list or len(data) != shape[0]:
        length = len(data) if type(data) is list else _shown(data)
        raise wrong(f'the "data" is not nested as its "shape": {length} where {shape[0]} values belong')
    if len(shape) == 1:
        yield from data
    else:
        for part in data:
            yield from _flat(part, shape[1:])


def _see_finite(values: Iterable[float]) -> None:
    for at, value in enumerate(values):
        if not math.isfinite(value):
            raise wrong(f'the "data" at {at} is {value} as such a number, which is no finite one')


def _from(tail: _Tail, tensor: Mapping[str, Any], size_bytes: int, code: str) -> bytes:
    parameters = tensor.get("parameters")
    said = parameters.get("binary_data_size") if type(parameters) is dict else None
    if type(said) is not int or said != size_bytes:
        raise wrong(f'the "shape" and datatype make {size_bytes} bytes, and "binary_data_size" is {_shown(said)}')
    data = tail.take(size_bytes)
    if code == "?" and data.strip(b"\0\1"):
        raise wrong("the bytes of a BOOL are 0 or 1")
    if code in FLOATS:
        _see_finite(numbers(data, code))
    return data


def _timeout(said: Mapping[str, Any]) -> int | None:
    parameters = said.get("parameters") or {}
    if type(parameters) is not dict:
        raise wrong('the "parameters" are no object')
    found = parameters.get("timeout")
    if found is not None and (type(found) is not int or found <= 0):
        raise wrong(f"the timeout {_shown(found)} is no number of microseconds")
    return found


def _outputs(said: Mapping[str, Any]) -> tuple[Sequence[str] | None, Collection[str] | bool]:
    parameters = said.get("parameters") or {}
    every = parameters.get("binary_data_output") is True
    wanted = said.get("outputs")
    if not wanted:
        return None, every
    if type(wanted) is not list or not all(type(one) is dict and type(one.get("name")) is str for one in wanted):
        raise wrong('the "outputs" must be a list of objects with a "name"')
    binary = set()
    for one in wanted:
        own = one.get("parameters")
        if own.get("binary_data", every) is True if type(own) is dict else every:
            binary.add(one["name"])
    return [one["name"] for one in wanted], binary


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:  # what JSON may nest is deeper
        text = f"a {type(value).__name__} in which others lie deeply"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
