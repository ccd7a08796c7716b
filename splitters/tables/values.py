"""Read the texts in a column as numbers, and tell those that stand for nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"})
"""Texts that stand for a missing value."""

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
    """See that no number of a column is infinite.

    Raises:
        ValueError: One is; the message tells where.
    """
    infinite = np.flatnonzero(np.isinf(found))
    if infinite.size:
        raise ValueError(
            f"{name} is infinite in {place(int(infinite[0]))}: mend the number, or leave it empty if it is not known"
        )


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in a sentence, the first ``most`` of them."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
