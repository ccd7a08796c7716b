"""Join what a model said of blocks of rows, and write it as a table, in the order of the input.

A part maps items to what ``tasks.predict`` says of them. Of a block of rows that has ``columns``, a list of dicts with
the ``name`` of a column and one of these; all numbers are little-endian:

| key | holds |
| --- | --- |
| ``codes`` and ``of`` | int32 a row: its place in the list of texts; -1 for None |
| ``floats`` | float64 a row; NaN for None |
| ``ints`` | int64 a row |
| ``texts`` | a list with a text a row |
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregators import by_name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

ROW, ITEM, LABEL, VALUE, PROBABILITY = "row", "item", "label", "value", "probability:"
DECIMALS = 6
"""Of probabilities: machines differ in the digits after these."""
DIGITS = 9
"""Of numbers that were predicted."""
PLACE = re.compile(r"(?s).* (?:rows (\d+)-(\d+)|without rows at (\d+))")
"""How items end that are blocks of rows, see ``splitters.rows.block``."""
BLANK_ROWS = 16_384
"""Of rows that are missing, so many stand in a table of the result."""
TYPES = {"codes": "<i4", "floats": "<f8", "ints": "<i8"}
Column = Mapping[str, Any]
Texts = Sequence[str]


class Table(NamedTuple):
    """Some rows of the result."""

    ids: Sequence[int] | Texts
    """The number of each row in the input, or the name of its item."""
    columns: Mapping[str, list[Any]]
    """Name -> a value a row: a text, a number or None."""


def kept(names: str | None) -> tuple[str, ...]:
    """The columns that the option ``keep`` names."""
    return tuple(name.strip() for name in (names or "").split(",") if name.strip())


def prepare(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a run, as they are.

    Raises:
        ValueError: A column that is to be kept has the name of one of the result, or is named twice.
    """
    names = kept(given.get("keep"))
    for name in names:
        if name in (ROW, ITEM, LABEL, VALUE) or name.startswith(PROBABILITY):
            raise ValueError(
                f"--keep cannot keep {name!r}: the result has a column of that name; rename it in the input"
            )
        if names.count(name) > 1:
            raise ValueError(f"--keep names {name!r} twice")
    return given


def packed(
    scores: Floats, classes: Texts, beside: Mapping[str, Any], *, probabilities: bool, without: Collection[int] = ()
) -> list[dict[str, Any]]:
    """The columns of a block of rows.

    Args:
        scores: (rows, classes), or (rows, 1) without classes.
        classes: In the order of the scores.
        beside: Name -> a list of texts, or an array of numbers: columns of the input that stand beside.
        probabilities: Give those of all classes.
        without: Rows of which nothing is said.
    """
    import numpy as np

    from aggregators.likeliest import likeliest

    skipped = np.zeros(len(scores), bool)
    skipped[list(without)] = True
    found = [_kept(name, values) for name, values in beside.items()]
    if not classes:
        numbers = np.where(skipped, np.nan, _significant(scores[:, 0]))
        return [{"name": VALUE, "floats": numbers.astype("<f8").tobytes()}, *found]
    codes = np.where(skipped, -1, likeliest(scores)).astype("<i4")
    found = [{"name": LABEL, "codes": codes.tobytes(), "of": list(classes)}, *found]
    if probabilities:
        shares = np.where(skipped[:, None], np.nan, scores.round(DECIMALS)).astype("<f8")
        found += [
            {"name": f"{PROBABILITY}{name}", "floats": np.ascontiguousarray(shares[:, at]).tobytes()}
            for at, name in enumerate(classes)
        ]
    return found


def plain(
    scores: Floats, classes: Texts, beside: Mapping[str, Any], *, probabilities: bool, without: Collection[int] = ()
) -> list[dict[str, Any]]:
    """The same as a dict for each row: see ``packed``."""
    columns = packed(scores, classes, beside, probabilities=probabilities, without=without)
    names = [column["name"] for column in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*map(_values, columns), strict=True)]


def join(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One mapping with the items of all parts, blocks of rows in the order of their rows.

    The same part handed in twice changes nothing.

    Raises:
        ValueError: Two parts have another value under one name.
    """
    return dict(sorted(by_name.join(parts).items(), key=lambda pair: pair[1].get("start", 0)))


def absent(names: Collection[str]) -> dict[str, Any]:
    """A part that stands for the blocks of rows among items that failed: it tells where the input ends at least."""
    ends = [start + rows for start, rows in (_place(name, 0) for name in names)]
    return {"": {"start": end, "rows": 0, "columns": []}} if (end := max(ends, default=0)) else {}


def finish(part: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The result as columns: name -> a value a row."""
    head, tables = read([part])
    found: dict[str, list[Any]] = {name: [] for name in head}
    for table in tables:
        for name, values in zip(head, (table.ids, *table.columns.values()), strict=True):
            found[name] += values
    return found


def check(part: Any, names: Collection[str] | None = None) -> None:
    """See that a part maps items of these ``names`` (None: of any) to what is said of them.

    Raises:
        ValueError: It does not.
    """
    by_name.check(part, names)
    for name, value in part.items():
        if not isinstance(value, dict):
            raise ValueError(f"it has a {type(value).__name__} for {name!r}")
        if "start" not in value:
            _check_row(name, value)
            continue
        start, rows = value["start"], value["rows"]
        if not (isinstance(start, int) and isinstance(rows, int) and 0 <= start < 2**62 and 0 <= rows < 2**31):
            raise ValueError(f"{name!r} has the rows {start!r} and {rows!r} on")
        if (start, rows) != _place(name, len(value.get("values", ()))):
            raise ValueError(f"{name!r} has {rows:,} rows from {start:,} on, which are others than its name tells")
        if "values" in value:
            if len(value["values"]) != rows:
                raise ValueError(f"{name!r} has {len(value['values'])} values of {rows} rows")
            for row in value["values"]:
                _check_row(name, row)
        for column in value.get("columns", ()):
            _check_column(name, column, rows)


def _place(name: str, given: int) -> tuple[int, int]:
    """The first row of an item and how many it has: by its name; else, as of rows in a request, those ``given``."""
    found = PLACE.fullmatch(name)
    if found is None:
        return 0, given
    return (int(found[1]), int(found[2]) - int(found[1]) + 1) if found[1] else (int(found[3]), 0)


def _check_row(name: str, row: Any) -> None:
    for key, value in row.items():
        if not isinstance(key, str) or not (value is None or isinstance(value, str | int | float)):
            raise ValueError(f"{name!r} has {key!r}: {value!r}")


def _check_column(name: str, column: Any, rows: int) -> None:
    import numpy as np

    if not isinstance(column["name"], str):
        raise ValueError(f"{name!r} has a column {column['name']!r}")
    if "texts" in column:
        texts = column["texts"]
        if not isinstance(texts, list) or len(texts) != rows or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{name!r} has no text for each row in {column['name']!r}")
        return
    [kind] = TYPES.keys() & column.keys()
    numbers = np.frombuffer(column[kind], TYPES[kind])
    if len(numbers) != rows:
        raise ValueError(f"{name!r} has {len(numbers)} numbers of {rows} rows in {column['name']!r}")
    if kind == "codes":
        classes = column["of"]
        if not isinstance(classes, list) or not all(isinstance(text, str) for text in classes):
            raise ValueError(f"{name!r} has no list of classes")
        if rows and not -1 <= int(numbers.min()) <= int(numbers.max()) < len(classes):
            raise ValueError(f"{name!r} has a class that is none of its {len(classes)}")


def read(parts: Iterable[Mapping[str, Any]]) -> tuple[list[str], Iterator[Table]]:
    """The names of the result's columns, the first of which is that of ``ids``, and its rows.

    Holds a part at a time. A row of a block that is missing, or could not be read, has None in all columns: the rows
    are those of the input; what ``absent`` gave tells of a missing block at its end.

    Raises:
        ValueError: A block has other columns than the first.
    """
    walking = _walk(parts)
    ahead: list[_Block] = []
    for found in walking:
        ahead.append(found)
        if found.columns:
            break
    names = list(ahead[-1].columns) if ahead else []
    first = ITEM if ahead and ahead[0].start is None else ROW
    return [first, *names] if ahead else [], _filled(ahead, walking, names)


class _Block(NamedTuple):
    start: int | None
    """None of pictures."""
    ids: Sequence[int] | Texts
    columns: Mapping[str, list[Any]]
    """Empty where the block could not be read."""


def _walk(parts: Iterable[Mapping[str, Any]]) -> Iterator[_Block]:
    for part in parts:
        pictures = {name: value for name, value in part.items() if "start" not in value}
        if pictures:
            rows = list(pictures.values())
            yield _Block(None, list(pictures), {key: [row.get(key) for row in rows] for key in rows[0]})
        for value in sorted((value for value in part.values() if "start" in value), key=lambda value: value["start"]):
            start, ids = value["start"], range(value["start"], value["start"] + value["rows"])
            if rows := value.get("values"):
                yield _Block(start, ids, {key: [row.get(key) for row in rows] for key in rows[0]})
            else:
                columns = value.get("columns", ())
                yield _Block(start, ids, {column["name"]: _values(column) for column in columns})


def _filled(ahead: Iterable[_Block], walking: Iterator[_Block], names: list[str]) -> Iterator[Table]:
    at = 0
    for blocks in (ahead, walking):
        for start, ids, columns in blocks:
            if start is not None:
                for gap in range(at, start, BLANK_ROWS):
                    yield _blank(range(gap, min(gap + BLANK_ROWS, start)), names)
                at = max(at, start + len(ids))
            if columns and list(columns) != names:
                raise ValueError(f"a block has the columns {', '.join(columns)}, and others {', '.join(names)}")
            yield Table(ids, columns) if columns else _blank(ids, names)


def _blank(ids: Sequence[int] | Texts, names: list[str]) -> Table:
    return Table(ids, {name: [None] * len(ids) for name in names})


def _values(column: Column) -> list[Any]:
    import numpy as np

    if "texts" in column:
        texts: list[Any] = column["texts"]
        return texts
    if "codes" in column:
        texts = [*column["of"], None]
        return [texts[code] for code in np.frombuffer(column["codes"], TYPES["codes"]).tolist()]
    if "ints" in column:
        whole: list[Any] = np.frombuffer(column["ints"], TYPES["ints"]).tolist()
        return whole
    numbers = np.frombuffer(column["floats"], TYPES["floats"])
    found: list[Any] = numbers.tolist()
    for row in np.flatnonzero(np.isnan(numbers)).tolist():
        found[row] = None
    return found


def _kept(name: str, values: Any) -> dict[str, Any]:
    import numpy as np

    if not isinstance(values, np.ndarray):
        return {"name": name, "texts": list(values)}
    if values.dtype.kind in "iub" and values.dtype != np.uint64:
        return {"name": name, "ints": values.astype("<i8").tobytes()}
    return {"name": name, "floats": values.astype("<f8").tobytes()}


def _significant(numbers: Floats) -> Floats:
    """Numbers with ``DIGITS`` digits."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.where(numbers == 0, 0, np.floor(np.log10(np.abs(numbers))))
    scale = 10.0 ** np.clip(DIGITS - 1 - exponent, -300, 300)
    found: Floats = np.round(numbers * scale) / scale
    return np.where(np.isfinite(found), found, numbers)
