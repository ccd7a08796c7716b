"""Arrays as bytes in the form ``.npy``, as they travel between a run's machines."""

from __future__ import annotations

import io
import tokenize
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNREADABLE = (ValueError, TypeError, OverflowError, MemoryError, EOFError, OSError, SyntaxError, tokenize.TokenError)
"""What NumPy raises over bytes that are no array, or whose header tells of more than there is memory."""


def dump(array: NDArray[Any]) -> bytes:
    """Return an array as bytes."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def load(data: Any, dtype: Any, shape: tuple[int | None, ...], what: str) -> NDArray[Any]:
    """Return the array that ``dump`` made bytes of, perhaps on another machine; read-only.

    Args:
        data: The bytes.
        dtype: That it must have.
        shape: That it must have; None: any size.
        what: Names it in errors.

    Raises:
        ValueError: It is no such array, or one of objects, or has numbers that are not finite.
    """
    if not isinstance(data, bytes):
        raise ValueError(f"its {what} are no bytes")
    try:
        array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    except UNREADABLE as error:
        raise ValueError(f"its {what} are no array: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype(dtype):
        raise ValueError(f"its {what} are not of the dtype {np.dtype(dtype)}")
    if array.ndim != len(shape) or any(want not in (None, size) for want, size in zip(shape, array.shape, strict=True)):
        raise ValueError(f"its {what} have the shape {array.shape}, and it must be {shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"its {what} are not all finite")
    array.flags.writeable = False
    return array
