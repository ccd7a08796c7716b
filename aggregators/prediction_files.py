"""Write what a model said of rows to files; each writer holds one part at a time."""

from __future__ import annotations

import csv
import io
import itertools
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import orjson

from aggregators import by_name, predictions
from aggregators.predictions import PROBABILITY, ROW, VALUE, Table

if TYPE_CHECKING:
    import numpy as np

Parts = Iterable[Mapping[str, Any]]
PIECE_ROWS = 100_000
TEXT, INT, FLOAT = "U", "<i8", "<f8"
NUMBER_CHARS = 24
"""Of the longest number as a text."""


def write_json(parts: Parts, out: BinaryIO) -> None:
    """Write a JSON list with an object a row, each in a line."""
    between = b"[\n  "
    for line in _objects(parts):
        out.write(between + line)
        between = b",\n  "
    out.write(b"\n]\n" if between[:1] == b"," else b"[]\n")


def write_jsonl(parts: Parts, out: BinaryIO) -> None:
    """Write an object a row, each in a line."""
    for line in _objects(parts):
        out.write(line + b"\n")


def write_csv(parts: Parts, out: BinaryIO) -> None:
    """Write a table with a header. UTF-8, lines end with a line feed. Texts pass ``by_name.cell``; None is empty."""
    names, tables = predictions.read(parts)
    if names:
        out.write(_lines([[by_name.cell(name) for name in names]]))
    for table in tables:
        columns = [_cells(values) for values in (table.ids, *table.columns.values())]
        out.write(_lines(zip(*columns, strict=True)))


def write_parquet(parts: Parts, out: BinaryIO) -> None:
    """Write a Parquet file, a row group a block. A column is of the type of its first block that could be read.

    Raises:
        ValueError: PyArrow is not installed; or a column that was kept holds numbers first, and then others or texts.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ValueError(
            "Parquet is written with PyArrow, which is not installed: pip install 'cluster[parquet]'"
        ) from None
    names, tables = predictions.read(parts)
    ahead: list[Table] = []
    for table in tables:
        ahead.append(table)
        if any(map(_kind, table.columns.values())):  # else the block could not be read
            break
    kinds = [_arrow(name, values) for name, values in zip(names, _all(ahead[-1]), strict=True)] if ahead else []
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    with parquet.ParquetWriter(out, schema) as writer:
        for table in itertools.chain(ahead, tables):
            columns = [_arrow_array(*each) for each in zip(names, _all(table), kinds, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def write_npz(parts: Parts, out: BinaryIO) -> None:
    """Write an array for each column; ``probabilities`` of shape (rows, classes) with ``classes`` beside it.

    None is NaN, or an empty text. The columns lie in files in the system's folder for temporary files meanwhile.
    """
    import numpy as np

    names, tables = predictions.read(parts)
    shares = [name for name in names if name.startswith(PROBABILITY)]
    with ExitStack() as held, zipfile.ZipFile(out, "w") as written:
        spools = {name: _Spool(held) for name in names if name not in shares}
        beside = _Spool(held)
        for table in tables:
            for name, values in zip(names, _all(table), strict=True):
                if name not in shares:
                    spools[name].add(values)
            if shares:
                rows = np.array([table.columns[name] for name in shares], np.float64).T
                beside.add_array(rows)
        for name, spool in spools.items():
            spool.write(written, name)
        if shares:
            beside.write(written, "probabilities", len(shares))
            classes = np.array([name.removeprefix(PROBABILITY) for name in shares])
            _write(written, "classes", classes.shape, classes.dtype, [classes.tobytes()])


class _Spool:
    """A column in a file, until its length is known, and whether all blocks hold the same kind of values."""

    def __init__(self, held: ExitStack) -> None:
        self._file: IO[bytes] = held.enter_context(tempfile.TemporaryFile(prefix="cluster-npz-"))  # noqa: SIM115 - held is one
        self._pieces: list[tuple[str, int]] = []
        """The kind of the values of each block, see ``_kind``, and how many there are."""
        self._chars = 1

    def add(self, values: Sequence[Any]) -> None:
        import numpy as np

        kind = _kind(values)
        if kind == TEXT:
            texts = ["" if value is None else str(value) for value in values]
            self._chars = max(self._chars, *map(len, texts))
            self._file.writelines(json.dumps(text).encode() + b"\n" for text in texts)
        elif kind:
            self._file.write(np.array(values, kind).tobytes())
        self._pieces.append((kind, len(values)))

    def add_array(self, array: np.ndarray[Any, Any]) -> None:
        self._file.write(array.astype(FLOAT).tobytes())
        self._pieces.append((FLOAT, len(array)))

    def write(self, written: zipfile.ZipFile, name: str, width: int = 0) -> None:
        import numpy as np

        self._file.seek(0)
        rows = sum(number for _, number in self._pieces)
        kinds = {kind for kind, _ in self._pieces}
        if TEXT in kinds or (kinds <= {""} and not width):
            chars = self._chars if kinds <= {TEXT, ""} else max(self._chars, NUMBER_CHARS)
            dtype = np.dtype(f"<U{chars}")
        else:
            dtype = np.dtype(INT if kinds == {INT} else FLOAT)
        _write(written, name, (rows, width) if width else (rows,), dtype, self._read(dtype, width or 1))

    def _read(self, dtype: np.dtype[Any], width: int) -> Iterator[bytes]:
        import numpy as np

        for kind, total in self._pieces:
            for start in range(0, total, PIECE_ROWS):
                number = min(PIECE_ROWS, total - start)
                if kind == TEXT:
                    found = np.array([json.loads(self._file.readline()) for _ in range(number)], dtype)
                elif kind:
                    found = np.frombuffer(self._file.read(8 * number * width), kind).astype(dtype)
                else:
                    found = np.full(number, "" if dtype.kind == "U" else np.nan, dtype)
                yield found.tobytes()


def _kind(values: Sequence[Any]) -> str:
    """The dtype that holds these values; "" where all are None."""
    if isinstance(values, range):
        return INT
    kinds = set(map(type, values))
    if str in kinds:
        return TEXT
    if kinds <= {type(None)}:
        return ""
    return INT if kinds <= {int, bool} else FLOAT


def _write(
    written: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], pieces: Iterable[bytes]
) -> None:
    import numpy as np

    with written.open(f"{name}.npy", "w", force_zip64=True) as out:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        for piece in pieces:
            out.write(piece)


def _objects(parts: Parts) -> Iterator[bytes]:
    names, tables = predictions.read(parts)
    for table in tables:
        for row in zip(*_all(table), strict=True):
            yield orjson.dumps(dict(zip(names, row, strict=True)))


def _all(table: Table) -> list[Sequence[Any]]:
    return [table.ids, *table.columns.values()]


def _cells(values: Sequence[Any]) -> Sequence[Any]:
    """Values for a spreadsheet."""
    if isinstance(values, range):
        return values
    if not any(isinstance(value, str) for value in values[:100]):
        return [by_name.cell(value) if isinstance(value, str) else value for value in values]
    known = {value: by_name.cell(value) for value in set(values) if value is not None}
    return [known.get(value) for value in values]


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _arrow(name: str, values: Sequence[Any]) -> Any:
    import pyarrow as pa

    if name == ROW:
        return pa.int64()
    if name == VALUE or name.startswith(PROBABILITY):
        return pa.float64()
    return {INT: pa.int64(), FLOAT: pa.float64()}.get(_kind(values), pa.string())


def _arrow_array(name: str, values: Sequence[Any], kind: Any) -> Any:
    import pyarrow as pa

    if kind == pa.string():
        return pa.array([None if value is None else str(value) for value in values], kind)
    if kind == pa.int64() and not isinstance(values, range):
        odd = [value for value in values if isinstance(value, str) or (isinstance(value, float) and value % 1)]
    else:
        odd = [value for value in values if isinstance(value, str)]
    if odd:
        raise ValueError(
            f"the column {name!r} begins with numbers of the type {kind}, and {odd[0]!r} is none: a column of"
            " Parquet has one type; give --format csv, or jsonl"
        )
    return pa.array(values, kind)
