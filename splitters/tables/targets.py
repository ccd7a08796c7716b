"""Tell from the values of a target whether to learn classes or numbers, and count the classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitters.tables import values
from splitters.tables.values import Place

MOST_CLASSES = 1000
MOST_WHOLE = 100
"""Different whole numbers in a text file that still count as classes."""
WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


class Labels(NamedTuple):
    """Targets as classes by name."""

    names: list[str]
    codes: NDArray[np.int32]
    """The place of a row's name in ``names``; -1 where it has none."""


class Targets(NamedTuple):
    """The targets of all rows as they were read."""

    labels: Labels | None
    """None: more than ``MOST_CLASSES`` names, or numbers that are no classes."""
    numbers: NDArray[np.float64] | None
    """NaN for a missing one. None: some are texts."""
    is_classes: bool
    """As far as the values tell."""
    note: str = ""

    @property
    def rows(self) -> int:
        """How many there are."""
        if self.labels is not None:
            return len(self.labels.codes)
        return 0 if self.numbers is None else len(self.numbers)


class Decided(NamedTuple):
    """What is learned."""

    y: NDArray[Any]
    """Of the rows that have a target."""
    classes: list[str]
    is_there: NDArray[np.bool_]
    """Which rows have a target."""
    notes: list[str]


class TextTarget:
    """Takes in the target column of a text file, block by block."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers: list[NDArray[np.float64]] = []
        self._codes: list[NDArray[np.int32]] | None = []
        self._known: dict[str, int] = {}
        self._is_whole = True
        self._texts = 0
        self._first_text = ""

    def add(self, texts: Sequence[str], place: Place) -> None:
        """Take in a block."""
        numbers, is_text = values.numbers(texts)
        values.check_finite(numbers, f"the target {self._name!r}", place)
        if is_text.any():
            if not self._texts:
                at = int(np.flatnonzero(is_text)[0])
                self._first_text = f"{place(at)} has {texts[at]!r}"
            self._texts += int(is_text.sum())
        self._numbers.append(numbers)
        if self._is_whole:
            self._is_whole = all(WHOLE.fullmatch(text) for text in texts if text not in values.MISSING)
        if self._codes is not None:
            known = self._known
            codes = [-1 if text in values.MISSING else known.setdefault(text, len(known)) for text in texts]
            self._codes.append(np.array(codes, np.int32))
            if len(known) > MOST_CLASSES:
                self._codes = None

    def targets(self) -> Targets:
        """All that was taken in.

        Raises:
            ValueError: Numbers with a few texts among them, or too many classes.
        """
        numbers = np.concatenate(self._numbers) if self._numbers else np.zeros(0)
        count = int((~np.isnan(numbers)).sum())
        if self._texts and count > self._texts:
            raise ValueError(
                f"the target {self._name!r} is a number in {count:,} rows, but {self._first_text}: mend the file"
            )
        labels = None if self._codes is None else self._labels()
        if self._texts:
            if labels is None:
                raise ValueError(
                    f"the target {self._name!r} has more than {MOST_CLASSES:,} different texts: is it the right column?"
                )
            return Targets(labels, None, is_classes=True)
        if not self._is_whole:
            return Targets(None, numbers, is_classes=False)
        is_classes = labels is not None and len(labels.names) <= MOST_WHOLE and 2 * len(labels.names) <= count
        note = (
            f"the target {self._name!r} has whole numbers, which are taken as classes: with a decimal point (3.0) they"
            " are numbers to come close to"
            if is_classes
            else f"the target {self._name!r} has too many different whole numbers to be classes: they are taken as"
            " numbers to come close to"
        )
        return Targets(labels, numbers, is_classes, note)

    def _labels(self) -> Labels:
        order = sorted(self._known, key=_order)
        place = np.empty(len(order) + 1, np.int32)
        place[-1] = -1  # of a missing one
        for at, name in enumerate(order):
            place[self._known[name]] = at
        codes = np.concatenate(self._codes) if self._codes else np.zeros(0, np.int32)
        return Labels(order, place[codes])


def of_array(array: NDArray[Any], name: str, class_names: Sequence[str] | None = None) -> Targets:
    """The targets in an array: of text, of whole numbers (classes), or of other numbers.

    Args:
        array: Of shape (rows,) or (rows, 1).
        name: The array's.
        class_names: The names of the classes 0, 1, ... where the array has whole numbers.

    Raises:
        ValueError: It has another shape or dtype, or too many classes.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"the target {name!r} has the shape {array.shape}: it must have one value for each row")
    if array.dtype.kind in "US":
        text = TextTarget(name)
        texts = [str(one).strip() for one in array.astype(str)]
        known = sorted(set(texts) - values.MISSING)
        if len(known) > MOST_CLASSES:
            text.add(texts, lambda row: f"row {row}")
            return text.targets()
        place = {one: at for at, one in enumerate(known)}
        codes = np.array([place.get(one, -1) for one in texts], np.int32)
        return Targets(Labels(known, codes), None, is_classes=True)
    if array.dtype.kind == "f":
        numbers = array.astype(np.float64)
        values.check_finite(numbers, f"the target {name!r}", lambda row: f"row {row}")
        return Targets(None, numbers, is_classes=False)
    if array.dtype.kind not in "iub":
        raise ValueError(f"the target {name!r} is of dtype {array.dtype}: it must hold numbers or texts")
    found, places = np.unique(array, return_inverse=True)
    if len(found) > MOST_CLASSES:
        raise ValueError(
            f"the target {name!r} has {len(found):,} different whole numbers, more than the {MOST_CLASSES:,} classes"
            f" that there may be: to come close to numbers, save it as floats: {name}.astype(float)"
        )
    names = [str(int(one)) for one in found]
    if class_names is not None:
        if found.size and not 0 <= int(found[0]) <= int(found[-1]) < len(class_names):
            raise ValueError(
                f"the target {name!r} counts from {found[0]} to {found[-1]}, and 'classes' names {len(class_names)}"
            )
        names = [class_names[int(one)] for one in found]
    return Targets(Labels(names, places.astype(np.int32)), array.astype(np.float64), is_classes=True)


def decide(targets: Targets, name: str, like: Sequence[str] | None = None, *, where: str) -> Decided:
    """What is learned of these targets.

    Args:
        targets: As they were read.
        name: The target's, in words.
        like: The classes that these must be of; empty for numbers; None: what the targets are themselves.
        where: Their file.

    Raises:
        ValueError: There is one class only; or they are not ``like`` that.
    """
    is_classes = targets.is_classes if like is None else bool(like)
    notes = [targets.note] if targets.note and like is None else []
    if is_classes:
        if targets.labels is None:
            raise ValueError(f"{name} of {where} has numbers, and the training rows have classes")
        names, codes = targets.labels
        is_there = codes >= 0
        if like is not None:
            if unknown := [one for one in names if one not in set(like)]:
                raise ValueError(f"{where} has classes that no training row has: {values.listed(unknown)}")
            place = {one: at for at, one in enumerate(like)}
            codes = np.array([place[one] for one in names] or [0], np.int32)[codes].astype(np.int32)
            names = list(like)
        elif len(names) == 1:
            raise ValueError(
                f"{name} has one class in all rows, {names[0]!r}: there is nothing to tell apart. Is it the"
                " right column?"
            )
        y: NDArray[Any] = codes[is_there]
    else:
        if targets.numbers is None:
            raise ValueError(f"{name} of {where} has texts, and the training rows have numbers")
        names, is_there = [], ~np.isnan(targets.numbers)
        y = targets.numbers[is_there]
    if lacking := int((~is_there).sum()):
        notes.append(f"{lacking:,} rows of {where} have no target and are left out")
    return Decided(y, names, is_there, notes)


def _order(name: str) -> tuple[bool, int, str]:
    """Whole numbers by their size, then texts."""
    return (False, int(name), name) if WHOLE.fullmatch(name) else (True, 0, name)
