"""Turn a change of a net's parameters into few bytes, group by group, and add it up again.

Values are quantized in blocks of ``BLOCK``: each block has a float32 scale, its largest value in absolute terms by
``2**(bits - 1) - 1``, and its values are whole multiples of that (8-bit blocks as in Dettmers et al., "8-bit Optimizers
via Block-wise Quantization", 2022). A value between two multiples becomes the upper one with the probability that
makes it right on average (QSGD, Alistarh et al., 2017), so the mean over many parts tends to the mean of their values.
Where float16 or float32 is chosen instead, values are rounded to the nearest.

Form of an encoded group, for each of its spans one after another, little-endian, without a header:

| bits | bytes |
| --- | --- |
| 2 to 8 | a float32 a block, then the codes, packed without gaps, the first one in the lowest bits |
| 16, 32 | a float16 or float32 a value |

All functions work on ``SEGMENT`` values at a time, so that they hold no copy of a large net.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregators.layer_groups import Group

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

BLOCK = 256
"""Values that share a scale."""
SEGMENT = 256 * BLOCK
"""Values that are worked on at a time."""
FLOATS: dict[int, np.dtype[Any]] = {16: np.dtype("<f2"), 32: np.dtype("<f4")}
"""Bits a value -> how values are written that are not quantized."""
SCALE: np.dtype[np.float32] = np.dtype("<f4")
LARGEST = 1e6
"""A change larger than this is no change of a net that learns."""
LARGEST_HALF = 65504.0
"""The largest float16."""
HALF_EXPONENT = 0x7C00
"""The bits of the exponent of a float16; all are set for infinities and NaN."""


class NotEncodable(ValueError):
    """The values are not finite, or too large: the training diverged."""


class BadCode(ValueError):
    """The bytes are none that ``encode`` makes of such groups."""


def sizes_bytes(groups: Sequence[Group]) -> list[int]:
    """Exact size of each encoded group in bytes."""
    return [sum(_span_bytes(stop - start, group.bits) for start, stop in group.spans) for group in groups]


def encode(
    change: Floats, groups: Sequence[Group], rng: np.random.Generator | None = None, error: Floats | None = None
) -> list[bytes]:
    """Encode each group of a change.

    Args:
        change: float32 of shape (n,), not altered.
        groups: Spans of it, see ``layer_groups.Group``.
        rng: Decides how values are rounded, at random but right on average; None rounds to the nearest.
        error: float32 of shape (n,): what earlier calls left over (error feedback, Seide et al., 2014). It is added to
            the change, and then holds what this call leaves over, altered in place. None does without.

    Raises:
        NotEncodable: A value is NaN, infinite or larger than ``LARGEST``; ``error`` is as before.
    """
    for group in groups:
        _see_encodable(group, change, error)
    encoded = []
    for group, size in zip(groups, sizes_bytes(groups), strict=True):
        out, at = np.empty(size, np.uint8), 0
        for start, stop in group.spans:
            left = None if error is None else error[start:stop]
            span = out[at : (at := at + _span_bytes(stop - start, group.bits))]
            _encode_span(change[start:stop], group.bits, span, rng, left)
        encoded.append(out.tobytes())
    return encoded


def decode_into(total: Floats, encoded: Sequence[bytes], groups: Sequence[Group], weight: float = 1.0) -> None:
    """Add ``weight`` times the decoded change to ``total``, float32 of shape (n,).

    The result is the same to the last bit on every machine.

    Raises:
        BadCode: Nothing has been added.
    """
    check(encoded, groups)
    for group, data in zip(groups, encoded, strict=True):
        for at, values in _decoded(data, group, np.float32(weight)):
            total[at : at + len(values)] += values


def norm(encoded: Sequence[bytes], groups: Sequence[Group]) -> float:
    """Euclidean norm of the decoded change.

    Raises:
        BadCode: See ``check``.
    """
    check(encoded, groups)
    squares = 0.0
    for group, data in zip(groups, encoded, strict=True):
        squares += sum(float(np.dot(values, values)) for _, values in _decoded(data, group, np.float32(1)))
    return math.sqrt(squares)


def check(encoded: Any, groups: Sequence[Group]) -> None:
    """See that these are encoded groups, with finite values of at most about ``LARGEST``.

    Raises:
        BadCode: They are not.
    """
    if not isinstance(encoded, list | tuple) or not all(isinstance(data, bytes) for data in encoded):
        raise BadCode("the change is no list of encoded groups")
    if len(encoded) != len(groups):
        raise BadCode(f"the change has {len(encoded)} groups; the plan has {len(groups)}")
    for group, data, size in zip(groups, encoded, sizes_bytes(groups), strict=True):
        if len(data) != size:
            raise BadCode(f"group {group.name} has {len(data):,} bytes; {group.bits} bits a value take {size:,}")
        at = 0
        for start, stop in group.spans:
            span = np.frombuffer(data, np.uint8)[at : (at := at + _span_bytes(stop - start, group.bits))]
            _check_span(group, span, stop - start)


def _span_bytes(length: int, bits: int) -> int:
    if bits in FLOATS:
        return length * bits // 8
    return _blocks(length) * SCALE.itemsize + -(-length * bits // 8)


def _blocks(length: int) -> int:
    return -(-length // BLOCK)


def _segments(length: int) -> Iterator[slice]:
    return (slice(at, min(at + SEGMENT, length)) for at in range(0, length, SEGMENT))


def _see_encodable(group: Group, change: Floats, error: Floats | None) -> None:
    for start, stop in group.spans:
        for part in _segments(stop - start):
            values = change[start:stop][part]
            if error is not None:
                values = values + error[start:stop][part]
            largest = max(float(values.max()), -float(values.min()))  # NaN where one is NaN
            if not largest <= min(LARGEST, LARGEST_HALF if group.bits == 16 else LARGEST):
                raise NotEncodable(
                    f"the training diverged: group {group.name} changes by {largest:.3g}; try a lower rate"
                )


def _encode_span(change: Floats, bits: int, out: Bytes, rng: np.random.Generator | None, error: Floats | None) -> None:
    scale_bytes = 0 if bits in FLOATS else _blocks(len(change)) * SCALE.itemsize
    all_scales = out[:scale_bytes].view(SCALE)
    for part in _segments(len(change)):
        values = np.zeros(_blocks(part.stop - part.start) * BLOCK, np.float32)  # whole blocks
        inside = values[: part.stop - part.start]
        inside += change[part]
        if error is not None:
            inside += error[part]
        if bits in FLOATS:
            written = inside.astype(FLOATS[bits])
            out[part.start * bits // 8 : part.stop * bits // 8] = written.view(np.uint8)
            decoded = inside if error is None else written.astype(np.float32)
        else:
            codes, scales = _quantize(values.reshape(-1, BLOCK), bits, rng)
            all_scales[part.start // BLOCK :][: len(scales)] = scales
            packed = _pack(codes.reshape(-1)[: len(inside)], bits)
            out[scale_bytes + part.start * bits // 8 :][: len(packed)] = packed
            decoded = _dequantize(codes, scales, bits)[: len(inside)] if error is not None else inside
        if error is not None:
            np.subtract(inside, decoded, out=error[part])


def _quantize(rows: Floats, bits: int, rng: np.random.Generator | None) -> tuple[Bytes, Floats]:
    """Codes 0 to 2 * top of the same shape (blocks, BLOCK), and a scale each block."""
    top = _top(bits)
    scales = np.maximum(rows.max(axis=1), -rows.min(axis=1)) / np.float32(top)
    steps = rows / np.where(scales > 0, scales, np.float32(1))[:, None]
    steps += np.float32(0.5) if rng is None else rng.random(steps.shape, np.float32)
    np.floor(steps, out=steps)
    np.clip(steps, -top, top, out=steps)  # float32 rounds what is just below the next whole number
    steps += top
    return steps.astype(np.uint8), scales


def _dequantize(codes: Bytes, scales: Floats, bits: int) -> Floats:
    """(blocks, BLOCK) codes -> (blocks * BLOCK,) values."""
    values = codes.astype(np.float32)
    values -= _top(bits)
    values *= scales[:, None]
    return values.reshape(-1)


def _top(bits: int) -> int:
    return (1 << (bits - 1)) - 1


def _pack(codes: Bytes, bits: int) -> Bytes:
    if bits == 8:
        return codes
    if bits == 4:
        packed = codes[::2].copy()
        packed[: len(codes) // 2] |= codes[1::2] << 4
        return packed
    return np.packbits(np.unpackbits(codes[:, None], axis=1, count=bits, bitorder="little"), bitorder="little")


def _unpack(packed: Bytes, bits: int, length: int) -> Bytes:
    if bits == 8:
        return packed
    if bits == 4:
        codes = np.empty(2 * len(packed), np.uint8)
        codes[::2], codes[1::2] = packed & 15, packed >> 4
        return codes[:length]
    flags = np.unpackbits(packed, count=length * bits, bitorder="little").reshape(length, bits)
    return np.packbits(flags, axis=1, bitorder="little")[:, 0]


def _decoded(data: bytes, group: Group, weight: np.float32) -> Iterator[tuple[int, Floats]]:
    """Decoded segments of a group that was checked, with where each begins in the whole; times ``weight``."""
    bits, everything, at = group.bits, np.frombuffer(data, np.uint8), 0
    for start, stop in group.spans:
        span = everything[at : (at := at + _span_bytes(stop - start, bits))]
        scales, codes = _cut(span, stop - start, bits)
        for part in _segments(stop - start):
            if bits in FLOATS:
                yield start + part.start, span.view(FLOATS[bits])[part].astype(np.float32) * weight
                continue
            length = part.stop - part.start
            padded = np.zeros(_blocks(length) * BLOCK, np.uint8)
            padded[:length] = _unpack(codes[part.start * bits // 8 : -(-part.stop * bits // 8)], bits, length)
            own = scales[part.start // BLOCK :][: _blocks(length)] * weight
            yield start + part.start, _dequantize(padded.reshape(-1, BLOCK), own, bits)[:length]


def _cut(span: Bytes, length: int, bits: int) -> tuple[Floats, Bytes]:
    scale_bytes = 0 if bits in FLOATS else _blocks(length) * SCALE.itemsize
    return span[:scale_bytes].view(SCALE), span[scale_bytes:]


def _check_span(group: Group, span: Bytes, length: int) -> None:
    scales, _ = _cut(span, length, group.bits)
    if group.bits == 16:  # NumPy compares float16 slowly; all that are finite are small enough
        values = span.view("<u2")
        odd = any(((values[part] & HALF_EXPONENT) == HALF_EXPONENT).any() for part in _segments(length))
        largest = math.inf if odd else 0.0
    elif group.bits == 32:
        floats = span.view(FLOATS[32])
        largest = max((_largest(floats[part]) for part in _segments(length)), default=0.0)
    else:
        largest = _largest(scales) * _top(group.bits)
        if (scales < 0).any():
            raise BadCode(f"group {group.name} has a scale below 0")
    if not largest <= LARGEST * (1 + 1e-6):  # a scale is rounded
        raise BadCode(f"group {group.name} changes by {largest:.3g}; a change is a number up to {LARGEST:.0e}")


def _largest(values: npt.NDArray[np.floating[Any]]) -> float:
    """The largest value in absolute terms; NaN where one is NaN."""
    return max(float(values.max()), -float(values.min())) if len(values) else 0.0
