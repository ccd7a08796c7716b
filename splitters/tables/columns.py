"""Rows of named columns: which are numbers and which are categories, and how both become what a net takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from splitters.tables import source, targets, values
from splitters.tables.moments import Moments
from splitters.tables.source import Described, Source, Wanted
from splitters.tables.targets import Targets
from splitters.tables.values import Place

MOST_VALUES = 255
"""Different texts in a column that still is a category."""

Values = Sequence[str] | NDArray[np.float64]
"""Of one column in a block: texts as they stand in a file, or numbers."""


class Block(NamedTuple):
    """Some rows."""

    columns: Sequence[Values]
    place: Place


class Columnar(NamedTuple):
    """A file of named columns, which can be read again."""

    name: str
    names: list[str]
    blocks: Callable[[], Iterator[Block]]


class Column(NamedTuple):
    """A column that is learned from."""

    name: str
    at: int
    """Its place among the file's columns."""
    categories: dict[str | None, int] | None = None
    """Value -> its number, None for a missing one; None: it is a column of numbers."""


class Survey:
    """Looks through the values of a column for what it holds."""

    def __init__(self, name: str, at: int) -> None:
        self.name = name
        self.at = at
        self.missing = 0
        self._numbers = 0
        self._texts = 0
        self._first_text = ""
        self._values: set[str] | None = set()

    def add(self, found: Values, place: Place) -> None:
        """Take in a block."""
        if isinstance(found, np.ndarray):
            lacking = int(np.isnan(found).sum())
            self.missing += lacking
            self._numbers += len(found) - lacking
            return
        numbers, is_text = values.numbers(found)
        texts = int(is_text.sum())
        if texts and not self._texts:
            at = int(np.flatnonzero(is_text)[0])
            self._first_text = f"{place(at)} has {found[at]!r}"
        lacking = int(np.isnan(numbers).sum()) - texts
        self.missing += lacking
        self._texts += texts
        self._numbers += len(found) - lacking - texts
        if self._values is not None:
            self._values.update(found)
            if len(self._values - values.MISSING) > MOST_VALUES:
                self._values = None

    def column(self) -> Column | str:
        """The column; or why it is left out.

        Raises:
            ValueError: It has texts among its numbers.
        """
        if not self._texts:
            return Column(self.name, self.at) if self._numbers else f"the column {self.name!r} is empty and is left out"
        if self._numbers > self._texts:
            raise ValueError(
                f"the column {self.name!r} is a number in {self._numbers:,} rows, but {self._first_text}: mend"
                f" the file, or leave the column out with --drop {self.name}"
            )
        if self._values is None:
            return f"the column {self.name!r} has more than {MOST_VALUES} different texts and is left out"
        known: list[str | None] = [*sorted(self._values - values.MISSING), *([None] if self.missing else [])]
        return Column(self.name, self.at, {value: number for number, value in enumerate(known)})


def read(table: Columnar, wanted: Wanted, goal: Targets | None = None, like: Source | None = None) -> Source:
    """Look through a file of named columns.

    Args:
        table: The file.
        wanted: Names the target, and columns to leave out.
        goal: The targets, where they are none of the columns.
        like: The training rows, whose columns and classes this file must have.

    Raises:
        ValueError: It cannot be learned from; the message says what to do.
    """
    target = wanted.target
    if target is None:
        raise ValueError(f"name the column to learn with --target: {table.name} has {', '.join(table.names[:50])}")
    for name in [] if like else wanted.drop:
        if name not in table.names:
            raise source.no_such("column", name, table.names, table.name)
    if goal is None and target not in table.names:
        raise source.no_such("column", target, table.names, table.name)
    surveys = (
        [] if like else [Survey(name, at) for at, name in enumerate(table.names) if name not in (target, *wanted.drop)]
    )
    text = targets.TextTarget(target)
    for block in table.blocks():
        for survey in surveys:
            survey.add(block.columns[survey.at], block.place)
        if goal is None:
            held = block.columns[table.names.index(target)]
            text.add([category(one) for one in held.tolist()] if isinstance(held, np.ndarray) else held, block.place)
    if goal is None:
        goal = text.targets()
    if not goal.rows:
        raise ValueError(f"{table.name} has no rows")
    notes: list[str] = []
    if like is None:
        encoder = ColumnEncoder(_columns(surveys, notes, table.name))
    else:
        encoder = cast(ColumnEncoder, like.encoder).of(table)
    decided = targets.decide(goal, f"the target {target!r}", like.classes if like else None, where=table.name)

    def blocks() -> Iterator[NDArray[Any]]:
        start = 0
        for block in table.blocks():
            raw = encoder.raw(block)
            is_there = decided.is_there[start : start + len(raw)]
            start += len(raw)
            yield raw[is_there]

    notes += decided.notes
    return Source(table.name, "table", target, decided.y, decided.classes, blocks, encoder, notes=notes)


def _columns(surveys: Sequence[Survey], notes: list[str], where: str) -> list[Column]:
    columns = []
    for survey in surveys:
        column = survey.column()
        if isinstance(column, str):
            notes.append(column)
            continue
        columns.append(column)
        if survey.missing:
            by = "their mean" if column.categories is None else "a category of their own"
            notes.append(f"the column {column.name!r} lacks {survey.missing:,} values: {by} stands for them")
    if not columns:
        raise ValueError(f"{where} has no column to learn from{': ' if notes else ''}{'; '.join(notes)}")
    return columns


def category(value: float) -> str:
    """A number as the text of a category; empty for NaN."""
    if value != value:
        return ""
    return f"{value:.0f}" if float(value).is_integer() else repr(value)


def encode(
    raw: NDArray[np.float64], told: Sequence[Mapping[str, Any]], mean: NDArray[np.float64], std: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Rows for the net, of shape (rows, width).

    Args:
        raw: (rows, columns): categories by their number; NaN for what is missing.
        told: The columns, as in the card.
        mean: Of each column; of categories it does not count.
        std: The same.
    """
    is_number = np.array([column["kind"] == "number" for column in told], bool)
    widths = [1 if column["kind"] == "number" else len(column["values"]) for column in told]
    starts = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
    encoded = np.zeros((len(raw), int(starts[-1])), np.float32)
    scaled = (raw[:, is_number] - mean[is_number]) / std[is_number]
    encoded[:, starts[:-1][is_number]] = np.nan_to_num(scaled, nan=0.0)
    for at in np.flatnonzero(~is_number).tolist():
        rows = np.flatnonzero(~np.isnan(raw[:, at]))
        encoded[rows, starts[at] + raw[rows, at].astype(np.int64)] = 1
    return encoded


class ColumnEncoder:
    """Scales numbers to a mean of 0 and a standard deviation of 1; makes a column of 0 and 1 of each category."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._moments = Moments(len(columns))
        widths = [1 if column.categories is None else len(column.categories) for column in columns]
        self._width = sum(widths)
        self.row_bytes = 4 * self._width

    def of(self, table: Columnar) -> ColumnEncoder:
        """One that reads the same of another file, which may have its columns in another order; it has learned nothing.

        Raises:
            ValueError: It lacks one.
        """
        for column in self._columns:
            if column.name not in table.names:
                raise source.no_such("column", column.name, table.names, table.name)
        return ColumnEncoder([column._replace(at=table.names.index(column.name)) for column in self._columns])

    def raw(self, block: Block) -> NDArray[np.float64]:
        """A block as numbers, of shape (rows, columns): categories by their number, NaN for what is missing or unknown.

        Raises:
            ValueError: A number is infinite, or a text.
        """
        found = np.empty((len(block.columns[0]), len(self._columns)))
        for to, column in enumerate(self._columns):
            held = block.columns[column.at]
            found[:, to] = self._numbers(held, column, block.place)
        return found

    def _numbers(self, held: Values, column: Column, place: Place) -> NDArray[np.float64]:
        name = f"the column {column.name!r}"
        known = column.categories
        if known is not None:
            texts = held if not isinstance(held, np.ndarray) else [category(one) for one in held.tolist()]
            missing = known.get(None)
            codes = (known.get(None if text in values.MISSING else text, missing) for text in texts)
            return np.array([np.nan if code is None else code for code in codes], np.float64)
        if isinstance(held, np.ndarray):
            numbers = held
        else:
            numbers, is_text = values.numbers(held)
            if is_text.any():
                at = int(np.flatnonzero(is_text)[0])
                raise ValueError(f"{name} is a number in the training rows, but {place(at)} has {held[at]!r}")
        values.check_finite(numbers, name, place)
        return numbers

    def learn(self, raw: NDArray[Any]) -> None:
        """Take in a block of training rows."""
        self._moments.add(raw)

    def encode(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        """Rows for the net, of shape (rows, width)."""
        return encode(raw, self.described().columns, self._moments.mean, self._moments.std)

    def described(self) -> Described:
        """The columns with what was learned of them."""
        told: list[dict[str, Any]] = []
        for column, mean, std in zip(self._columns, self._moments.mean, self._moments.std, strict=True):
            if column.categories is None:
                told.append({"name": column.name, "kind": "number", "mean": float(mean), "std": float(std)})
            else:
                told.append({"name": column.name, "kind": "category", "values": list(column.categories)})
        return Described([self._width], "float32", told, None)

    def notes(self) -> list[str]:
        """Which columns teach nothing, or little."""
        constant = [self._columns[at].name for at in np.flatnonzero(self._moments.is_constant).tolist()]
        far = [
            one.told(f"the column {self._columns[one.column].name!r}")
            for one in self._moments.far_out()
            if self._columns[one.column].categories is None
        ]
        if constant:
            far.insert(0, f"columns with one value in all training rows teach nothing: {values.listed(constant)}")
        return values.few(far)
