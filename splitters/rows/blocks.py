"""Read the rows of an item again, where they are worked on."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from splitters import MAX_ITEM_BYTES, Item
from splitters.rows import csv_text, plain_csv
from splitters.tables.columns import Values
from splitters.tables.npz_files import NAMES

MAX_BYTES = 2 * MAX_ITEM_BYTES
"""Of the arrays of an item, once they are unpacked."""
NUMBERS = "fiub"
"""Kinds of dtypes that hold numbers."""


class Rows(NamedTuple):
    """Some rows of an input: named columns, an array, or both."""

    number: int
    columns: Mapping[str, Values]
    """Name -> texts, stripped, empty where a value is missing; or numbers, NaN where one is missing."""
    X: NDArray[Any] | None = None
    """Of shape (number, ...)."""
    problems: Mapping[int, str] = {}
    """Row -> why it cannot be read. Its fields do not count."""


def read(item: Item, numbers: Sequence[str] = (), texts: Sequence[str] = ()) -> Rows:
    """The rows of an item that is no picture.

    Args:
        item: See ``splitters.rows``.
        numbers: Columns that are wanted as numbers, if they are numbers. Of JSON, rows are read that lack others.
        texts: Columns that are wanted as texts; others need not be there, where all of these are.

    Raises:
        ValueError: It holds none.
    """
    data = item.data
    if data[:2] == b"PK":
        return _of_npz(data)
    if data.startswith(csv_text.MARK):
        return _of_csv(data.removeprefix(csv_text.MARK), item.name, numbers, texts)
    return _of_json(data, {*numbers, *texts})


def _of_csv(data: bytes, name: str, numbers: Sequence[str], texts: Sequence[str]) -> Rows:
    header = csv_text.header(data, name)
    data = data[len(header.text) :]
    places = {column: at for at, column in enumerate(header.names)}
    if (numbers or texts) and all(column in places for column in (*numbers, *texts)):
        wanted = ([places[column] for column in those] for those in (numbers, texts))
        if plain := plain_csv.read(data, header.delimiter, len(places), *wanted):
            return Rows(plain[0], {header.names[at]: values for at, values in plain[1].items()})
    found, problems = csv_text.rows(data, header.delimiter, len(header.names))
    columns: Sequence[Sequence[str]] = list(zip(*found, strict=True)) or [()] * len(header.names)
    return Rows(len(found), dict(zip(header.names, columns, strict=True)), problems=problems)


def _of_npz(data: bytes) -> Rows:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as zipped:
            if (size := sum(one.file_size for one in zipped.infolist())) > MAX_BYTES:
                raise ValueError(f"its arrays have {size:,} bytes, over the limit of {MAX_BYTES:,}")
        with np.load(io.BytesIO(data), allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, MemoryError) as error:
        raise ValueError(f"it is no .npz file of numbers and texts: {error}") from None
    names = arrays.pop(NAMES, None) if "X" in arrays else None
    X = arrays.pop("X", None)
    if X is not None and not X.ndim:
        raise ValueError("X is one value, not rows")
    columns = {name: _column(name, array) for name, array in arrays.items()}
    if X is not None and names is not None and X.ndim == 2:
        if len(names) != X.shape[1]:
            raise ValueError(f"'{NAMES}' has {len(names)} names, and X has {X.shape[1]} columns")
        columns = {str(name): _column(str(name), X[:, at]) for at, name in enumerate(names)} | columns
    lengths = {len(values) for values in columns.values()} | ({len(X)} if X is not None else set())
    if len(lengths) != 1:
        raise ValueError(
            f"its arrays have {', '.join(map(str, sorted(lengths))) or 'no'} rows: they must be of one length"
        )
    return Rows(lengths.pop(), columns, X)


def _column(name: str, array: NDArray[Any]) -> Values:
    if array.ndim != 1:
        raise ValueError(f"the array {name!r} has the shape {array.shape}: a column has one dimension")
    if array.dtype.kind in "US":
        texts = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        return [text.strip() for text in texts.tolist()]
    if array.dtype.kind not in NUMBERS:
        raise ValueError(f"the array {name!r} is of dtype {array.dtype}: save numbers or texts")
    return array


def _of_json(data: bytes, wanted: Collection[str]) -> Rows:
    """Rows as a list, or one a line. What is not ``wanted`` may be missing or of any kind, if anything is."""
    problems: dict[int, str] = {}
    try:
        if data.lstrip()[:1] == b"[":
            rows = orjson.loads(data)
        else:
            rows = [_line(line, at, problems) for at, line in enumerate(line for line in data.splitlines() if line)]
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    if not isinstance(rows, list):
        raise ValueError("it is no list of rows")
    if rows and all(isinstance(row, list) for row in rows):
        return _of_lists(rows)
    names = list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
    columns: dict[str, list[str]] = {name: [] for name in names}
    for at, row in enumerate(rows):
        if at not in problems and not isinstance(row, dict):
            problems[at] = "it is no object of names and values"
        for name in names:
            try:
                columns[name].append("" if at in problems else _text(row[name]))
            except (KeyError, ValueError) as error:
                columns[name].append("")
                if not wanted or name in wanted:
                    problems[at] = f"it has no {name!r}" if isinstance(error, KeyError) else f"{name!r} {error}"
    return Rows(len(rows), columns, problems=problems)


def _line(line: bytes, at: int, problems: dict[int, str]) -> Any:
    try:
        return orjson.loads(line)
    except ValueError as error:
        problems[at] = f"it is no JSON: {error}"
        return None


def _text(value: Any) -> str:
    """A value as it would stand in a CSV file.

    Raises:
        ValueError: It is none that could.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise ValueError(f"is {'a list' if isinstance(value, list) else 'an object'}: give a number, a text or null")


def _of_lists(rows: list[Any]) -> Rows:
    """Rows that are arrays; None in them is a missing number."""
    try:
        return Rows(len(rows), {}, np.array(rows, np.float64))
    except (ValueError, TypeError):
        raise ValueError("its rows must be lists of numbers, all of one shape") from None
