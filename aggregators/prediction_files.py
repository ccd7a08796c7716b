"""Write what a model said of rows to files; each writer holds one part at a time."""

from __future__ import annotations

import csv
import io
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
    """Write a Parquet file, a row group a block.

    Raises:
        ValueError: PyArrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ValueError(
            "Parquet is written with PyArrow, which is not installed: pip install 'cluster[parquet]'"
        ) from None
    names, tables = predictions.read(parts)
    first = next(tables, None)
    kinds = [_arrow(name, values) for name, values in zip(names, _all(first), strict=True)] if first else []
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    with parquet.ParquetWriter(out, schema) as writer:
        for table in _from(first, tables):
            columns = [pa.array(values, kind) for values, kind in zip(_all(table), kinds, strict=True)]
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
    """A column in a file, until its length is known."""

    def __init__(self, held: ExitStack) -> None:
        self._file: IO[bytes] = held.enter_context(tempfile.TemporaryFile(prefix="cluster-npz-"))  # noqa: SIM115 - held is one
        self._rows = 0
        self._chars = 0
        self._dtype = ""

    def add(self, values: Sequence[Any]) -> None:
        import numpy as np

        if not self._dtype and any(value is not None for value in values):
            first = next(value for value in values if value is not None)
            self._dtype = "U" if isinstance(first, str) else "<i8" if isinstance(first, int) else "<f8"
        if self._dtype in ("", "U"):
            texts = ["" if value is None else str(value) for value in values]
            self._chars = max(self._chars, *map(len, texts), 0)
            self._file.writelines(json.dumps(text).encode() + b"\n" for text in texts)
            self._rows += len(texts)
        else:
            self.add_array(np.array(values, self._dtype))

    def add_array(self, array: np.ndarray[Any, Any]) -> None:
        self._dtype = self._dtype or array.dtype.str
        self._file.write(array.tobytes())
        self._rows += len(array)

    def write(self, written: zipfile.ZipFile, name: str, width: int = 0) -> None:
        import numpy as np

        self._file.seek(0)
        shape = (self._rows, width) if width else (self._rows,)
        if self._dtype in ("", "U"):
            dtype = np.dtype(f"<U{max(1, self._chars)}")
            _write(written, name, shape, dtype, self._texts(dtype))
        else:
            _write(written, name, shape, np.dtype(self._dtype), iter(lambda: self._file.read(2**20), b""))

    def _texts(self, dtype: np.dtype[Any]) -> Iterator[bytes]:
        import numpy as np

        for start in range(0, self._rows, PIECE_ROWS):
            number = min(PIECE_ROWS, self._rows - start)
            yield np.array([json.loads(self._file.readline()) for _ in range(number)], dtype).tobytes()


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


def _from(first: Table | None, others: Iterator[Table]) -> Iterator[Table]:
    if first is not None:
        yield first
        yield from others


def _cells(values: Sequence[Any]) -> Sequence[Any]:
    """Values for a spreadsheet."""
    if isinstance(values, range) or not any(isinstance(value, str) for value in values[:100]):
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
    first = next((value for value in values if value is not None), "")
    return pa.string() if isinstance(first, str) else pa.int64() if isinstance(first, int) else pa.float64()
