"""What the recogniser's scores say: letters with their places, and the words that they make (CTC, greedy).

For each column of a line, some 8 pixels wide, the recogniser gives a score of each character, and of none. A character
is there where it has the best score and the column before has another one.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

NONE = 0
"""The class of columns without a character; that of number n is the (n-1)-th of the list, the last one a blank."""
WIDE = 2.1
"""Between letters that are this many times as far apart as the letters of the line mostly are, a blank was lost."""


class Letter(NamedTuple):
    """A character, and where its peak is."""

    text: str
    column: int
    confidence: float
    """0 to 1."""


class Word(NamedTuple):
    """A word of a line."""

    text: str
    begin: float
    """Where it begins, in columns from the left edge of the line."""
    end: float
    confidence: int
    """The chance that all its letters are right, 0 to 100, if those are independent."""


def read(scores: Floats, characters: Sequence[str]) -> list[Letter]:
    """The letters of a line, from left to right, blanks among them.

    Args:
        scores: float32 of shape (columns, classes), 0 to 1.
        characters: Those of the classes from 1 on.
    """
    best = scores.argmax(axis=1)
    found, before = [], NONE
    for column, number in enumerate(best.tolist()):
        if number not in (NONE, before):
            found.append(Letter(characters[number - 1], column, float(scores[column, number])))
        before = number
    return found


def words(letters: Sequence[Letter], columns: int) -> list[Word]:
    """Cut the letters of a line that is ``columns`` wide into words, at blanks and at gaps that need one."""
    groups = _groups(letters)
    half = _advance(letters) / 2
    found = []
    for at, group in enumerate(groups):
        # A letter's peak is near its middle. A word goes half a letter beyond, but not into its neighbour.
        begin, end = group[0].column + 0.5 - half, group[-1].column + 0.5 + half
        if at:
            begin = max(begin, (groups[at - 1][-1].column + group[0].column) / 2 + 0.5)
        if at + 1 < len(groups):
            end = min(end, (group[-1].column + groups[at + 1][0].column) / 2 + 0.5)
        confidence = round(100 * math.prod(min(1.0, letter.confidence) for letter in group))
        text = "".join(letter.text for letter in group)
        found.append(Word(text, max(0.0, begin), min(float(columns), end), confidence))
    return found


def _groups(letters: Sequence[Letter]) -> list[list[Letter]]:
    """The letters of each word."""
    advance = _advance(letters)
    groups: list[list[Letter]] = [[]]
    for letter in letters:
        if letter.text.isspace():
            groups.append([])
            continue
        if groups[-1] and letter.column - groups[-1][-1].column > WIDE * advance:
            groups.append([])
        groups[-1].append(letter)
    return [group for group in groups if group]


def _advance(letters: Sequence[Letter]) -> float:
    """How far letters of one word are apart mostly, in columns; 2 where no two follow each other."""
    steps = [
        after.column - letter.column
        for letter, after in itertools.pairwise(letters)
        if not letter.text.isspace() and not after.text.isspace()
    ]
    return statistics.median(steps) if steps else 2.0
