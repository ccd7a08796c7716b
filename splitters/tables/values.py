"""Read the texts in a column as numbers, and tell those that stand for nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"})
"""Texts that stand for a missing value."""

LARGEST = 1e150
"""In absolute terms, of numbers: the square of a larger one is infinite."""
Place = Callable[[int], str]
"""Tells where a row of a block comes from, for messages: "line 7 of a.csv"."""


def numbers(texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The numbers in texts, NaN for the missing and for other texts; and which are such other texts."""
    try:
        return np.array(texts, np.float64), np.zeros(len(texts), bool)
    except ValueError:
        pass
    found = np.full(len(texts), np.nan)
    is_text = np.zeros(len(texts), bool)
    for at, text in enumerate(texts):
        if text not in MISSING:
            try:
                found[at] = float(text)
            except ValueError:
                is_text[at] = True
    return found, is_text


def check_finite(found: NDArray[Any], name: str, place: Place) -> None:
    """See that no number of a column is infinite, or larger than ``LARGEST``.

    Raises:
        ValueError: One is; the message tells where.
    """
    odd = np.flatnonzero(is_too_large(found))
    if odd.size:
        number = found[odd[0]]
        what = "infinite" if np.isinf(number) else f"{number:g}"
        raise ValueError(
            f"{name} is {what} in {place(int(odd[0]))}: mend the number, or leave it empty if it is not known"
        )


def is_too_large(found: NDArray[Any]) -> NDArray[np.bool_]:
    """Which numbers are infinite, or larger than ``LARGEST``."""
    if found.dtype != np.float64:  # has no room for such numbers
        return np.asarray(np.isinf(found))
    return np.asarray(np.abs(found) > LARGEST)


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in a sentence, the first ``most`` of them."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def few(sentences: Sequence[str], most: int = 10) -> list[str]:
    """The first ``most`` of sentences alike, and how many more there are."""
    more = len(sentences) - most
    return [*sentences[:most], f"… and {more} more columns like these"] if more > 0 else list(sentences)
