"""Read plain CSV text, without quotation marks, column by column: the numbers of all rows at once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from splitters.rows.csv_text import LINE_FEED
from splitters.tables.columns import Values

COMMA, MINUS, POINT, ZERO, NINE = b",-.09"
MOST_DIGITS = 15
"""Whole numbers of as many digits are exact as floats."""
POWERS = 10.0 ** np.arange(MOST_DIGITS + 1)
EMPTY = re.compile(rb"(?<=,)(?=,)|\A(?=,)")


def read(
    data: bytes, delimiter: str, width: int, numbers: Sequence[int], texts: Sequence[int]
) -> tuple[int, dict[int, Values]] | None:
    """How many rows there are, and the columns of these places; what ``csv_text.rows`` and ``values.numbers`` give.

    Args:
        data: Whole rows.
        delimiter: Of fields.
        width: How many fields a row has.
        numbers: Columns that are wanted as numbers, NaN where a field is empty.
        texts: Columns that are wanted as texts.

    Returns:
        None where only the module csv can tell, or a number is none.
    """
    if b'"' in data or b"(" in data or b"\0" in data:  # NumPy takes nan(1) for a number
        return None
    data = data.replace(b"\r\n", b"\n")
    if b"\r" in data:
        return None
    if not data.endswith(b"\n"):
        data += b"\n"
    if width == 1 and (data.startswith(b"\n") or b"\n\n" in data):  # a blank line is no row
        return None
    found = np.frombuffer(data, np.uint8)
    is_end = (found == LINE_FEED) | (found == ord(delimiter))
    ends = np.flatnonzero(is_end)
    rows = len(ends) // width
    if len(ends) != rows * width:
        return None
    is_line_end = (found[ends] == LINE_FEED).reshape(rows, width)
    if not is_line_end[:, -1].all() or is_line_end[:, :-1].any():
        return None
    columns: dict[int, Values] = {}
    if numbers:
        is_number = np.zeros(width, bool)
        is_number[list(numbers)] = True
        matrix = _numbers(found, is_end, is_number, rows)
        if matrix is None:
            return None
        columns |= {place: matrix[:, at] for at, place in enumerate(sorted(numbers))}
    starts = np.concatenate([[0], ends[:-1] + 1])
    try:
        for place in texts:
            pairs = zip(starts[place::width].tolist(), ends[place::width].tolist(), strict=True)
            columns[place] = [data[start:end].decode().strip() for start, end in pairs]
    except UnicodeDecodeError:
        return None
    return rows, columns


def _numbers(
    found: NDArray[np.uint8], is_end: NDArray[np.bool_], is_number: NDArray[np.bool_], rows: int
) -> NDArray[np.float64] | None:
    """The fields of some columns, of shape (rows, columns)."""
    if not is_number.all():
        column = (np.cumsum(is_end, dtype=np.int64) - is_end) % len(is_number)
        wanted = is_number[column]
        found, is_end = found[wanted], is_end[wanted]
    ends = np.flatnonzero(is_end)
    starts = np.concatenate([[0], ends[:-1] + 1])
    read = _decimals(found, starts, ends - starts)
    if read is None:
        read = _any(np.where(is_end, np.uint8(COMMA), found).tobytes())
    width = int(is_number.sum())
    return None if read is None or len(read) != rows * width else read.reshape(rows, width)


def _decimals(
    text: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Numbers such as 7, -0.25 and nothing, exactly: both parts of the quotient are whole floats (Clinger, "How to read
    floating point numbers accurately", 1990). None where there are others."""
    longest = int(lengths.max(initial=0))
    if longest > MOST_DIGITS:
        return None
    whole = np.zeros(len(starts), np.int64)
    scale = np.zeros(len(starts), np.int64)
    after_point = np.zeros(len(starts), bool)
    is_negative = np.zeros(len(starts), bool)
    digits = np.zeros(len(starts), np.int8)
    for place in range(longest):
        here = np.flatnonzero(lengths > place) if place else np.flatnonzero(lengths)
        char = text[starts[here] + place]
        is_digit = (char >= ZERO) & (char <= NINE)
        if not is_digit.all():
            odd, signs = here[~is_digit], char[~is_digit]
            is_point = signs == POINT
            if (is_point & after_point[odd]).any() or not (is_point | ((signs == MINUS) & (place == 0))).all():
                return None
            after_point[odd[is_point]] = True
            is_negative[odd[~is_point]] = True
            here, char = here[is_digit], char[is_digit]
        whole[here] = whole[here] * 10 + (char - ZERO)
        digits[here] += 1
        scale[here] += after_point[here]
    if ((digits == 0) & (lengths > 0)).any():
        return None
    read = whole / POWERS[scale]
    read[is_negative] *= -1
    read[lengths == 0] = np.nan
    return read


def _any(text: bytes) -> NDArray[np.float64] | None:
    """Numbers with commas behind."""
    if b",," in text or text[:1] == b",":
        text = EMPTY.sub(b"nan", text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fields that are no number
        try:
            return np.fromstring(text, np.float64, sep=",")
        except ValueError:
            return None
