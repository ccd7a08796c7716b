"""Look into ONNX files as far as it takes to know that one is complete in itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.onnx.parameters import ModelUnusable

# The numbers of fields in onnx.proto: which of a message's fields lead to tensors, and to what kind of message.
MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
GRAPH, EXTERNAL_DATA, DATA_LOCATION, ENTRY_KEY, ENTRY_VALUE = 7, 13, 14, 1, 2
VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
DEEPEST = 64
"""Graphs may hold graphs; none that is meant well goes as deep."""


def whole(file: Path) -> bytes:
    """A model's file, which is complete in itself.

    Raises:
        ModelUnusable: It is not, or cannot be read.
    """
    try:
        data = file.read_bytes()
        if others := files(data):
            raise ModelUnusable(f"{file.name} has weights in other files ({', '.join(others)}); export it as one file")
    except OSError as error:
        raise ModelUnusable(f"{file.name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ModelUnusable(f"{file.name}: {error}") from None
    return data


def files(data: bytes) -> list[str]:
    """The other files that hold weights of this model; empty for a model in one file.

    Raises:
        ValueError: It is no ONNX file, or a damaged one.
    """
    view = memoryview(data)
    if not any(number == GRAPH and kind == BYTES for number, kind, _ in fields(view)):
        raise ValueError("no ONNX file: there is no graph in it")
    named = set(_external(view, "model", 0))
    return sorted(named - {""}) or ["without a name"] * bool(named)


def _external(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise ValueError(f"its graphs go more than {DEEPEST} messages deep")
    for number, wire_type, value in fields(message):
        if kind == "tensor" and number == DATA_LOCATION and wire_type == VARINT and value != 0:
            yield ""  # outside, with no word of where
        if not isinstance(value, memoryview):
            continue
        if kind == "tensor" and number == EXTERNAL_DATA:
            entry = {n: bytes(v).decode(errors="replace") for n, _, v in fields(value) if isinstance(v, memoryview)}
            if entry.get(ENTRY_KEY) == "location":
                yield entry.get(ENTRY_VALUE, "")
        elif number in MESSAGES[kind]:
            yield from _external(value, MESSAGES[kind][number], depth + 1)


def fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Each field of a Protocol Buffers message: its number, its wire type, its number or bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        value: int | memoryview = 0
        if wire_type == VARINT:
            value, at = _varint(message, at)
        elif wire_type == BYTES:
            size, at = _varint(message, at)
            value = message[at : at + size]
            at += size
        elif wire_type in (FIXED_64, FIXED_32):
            at += 8 if wire_type == FIXED_64 else 4
        else:
            raise ValueError("no ONNX file, or a damaged one")
        if at > len(message):
            raise ValueError("no ONNX file, or a damaged one: it ends too early")
        yield number, wire_type, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at ``at``, and where it ends."""
    value = 0
    for place in range(10):
        if at + place >= len(message):
            break
        byte = message[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("no ONNX file, or a damaged one")
