"""Read Parquet files in blocks of rows, by PyArrow, which is imported when such a file is met."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitters.tables.columns import Block, Columnar

EXACT = 2**53
"""Up to here a float64 holds every whole number."""
HOW = "Parquet files are read with PyArrow, which is not installed (pip install 'cluster[parquet]')"


def table(paths: Sequence[Path], block_rows: int) -> Columnar:
    """Files of the same columns, one after another. Columns of lists and other compounds are left out.

    Raises:
        ImportError: PyArrow is not installed.
        ValueError: A file is damaged, or has other columns than the first.
    """
    names = _names(paths[0], paths[0].name)
    for path in paths[1:]:
        if (other := _names(path, path.name)) != names:
            raise ValueError(f"{path.name} has other columns than {paths[0].name}: {', '.join(other[:50])}")

    def read() -> Iterator[Block]:
        for path in paths:
            start = 0
            for found in blocks(path, path.name, block_rows):
                columns = [_as_floats(found[name]) for name in names]
                yield Block(columns, lambda at, start=start, path=path: f"row {start + at} of {path.name}")  # type: ignore[misc]
                start += len(columns[0])

    return Columnar(paths[0].name if len(paths) == 1 else f"{paths[0].name} and {len(paths) - 1} more", names, read)


def blocks(path: Path, name: str, block_rows: int) -> Iterator[dict[str, NDArray[Any] | list[str]]]:
    """Yield blocks of columns: whole numbers and floats as arrays, with NaN where one is missing; all others as texts,
    empty where one is missing. So are whole numbers that floats cannot hold where one is missing in the file.
    A file without rows gives one block.

    Raises:
        ImportError, ValueError: As ``table``.
    """
    import pyarrow as pa

    with _opened(path, name) as file:
        wanted = _names(path, name)
        long = _too_long(file)
        made = False
        try:
            for batch in file.iter_batches(block_rows, columns=wanted, use_threads=False):
                made = True
                yield {
                    column: _values(batch.column(at), as_texts=column in long)
                    for at, column in enumerate(batch.schema.names)
                }
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{name} is damaged: {error}") from None
        if not made:
            yield {column: [] for column in wanted}


def rows(path: Path, name: str) -> int:
    """How many rows a file has, by its footer.

    Raises:
        ImportError, ValueError: As ``table``.
    """
    with _opened(path, name) as file:
        number: int = file.metadata.num_rows
    return number


def _opened(path: Path, name: str) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ImportError(HOW) from None
    try:
        return parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{name} is damaged, or no Parquet file: {error}") from None


def _names(path: Path, name: str) -> list[str]:
    """The columns that hold one value a row."""
    from pyarrow import types

    with _opened(path, name) as file:
        schema = file.schema_arrow
        known = [field.name for field in schema if not types.is_nested(field.type)]
    if not known:
        raise ValueError(f"{name} has no column with one value a row")
    if len(set(known)) < len(known):
        [twice, *_] = [one for one in known if known.count(one) > 1]
        raise ValueError(f"{name} has two columns of the name {twice!r}")
    return known


def _too_long(file: Any) -> set[str]:
    """Columns of whole numbers of which some are missing, and some may have more digits than a float has."""
    from pyarrow import types

    schema = file.schema_arrow
    wide = {field.name for field in schema if types.is_int64(field.type) or types.is_uint64(field.type)}
    lacking: set[str] = set()
    long: set[str] = set()
    for group in range(file.metadata.num_row_groups):
        for at in range(file.metadata.num_columns):
            column = file.metadata.row_group(group).column(at)
            if column.path_in_schema not in wide:
                continue
            found = column.statistics
            if found is None or not found.has_null_count or found.null_count:
                lacking.add(column.path_in_schema)
            if found is None or not found.has_min_max or not -EXACT <= found.min <= found.max <= EXACT:
                long.add(column.path_in_schema)
    return lacking & long


def _values(column: Any, *, as_texts: bool = False) -> NDArray[Any] | list[str]:
    import pyarrow as pa
    from pyarrow import compute, types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if as_texts or types.is_boolean(kind) or types.is_string(kind) or types.is_large_string(kind):
        texts = compute.cast(column, pa.string())
    elif types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        if column.null_count or not types.is_integer(kind):
            column = compute.cast(column, pa.float64(), safe=False)
        found: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return found
    elif types.is_null(kind):
        return np.full(len(column), np.nan)
    elif types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return ["" if value is None else value.as_py().decode(errors="backslashreplace") if value.is_valid else ""
                for value in column]  # fmt: skip
    else:  # moments, say
        texts = compute.cast(column, pa.string())
    return [(text or "").strip() for text in texts.to_pylist()]


def _as_floats(values: NDArray[Any] | list[str]) -> NDArray[np.float64] | list[str]:
    return values if isinstance(values, list) else values.astype(np.float64)
