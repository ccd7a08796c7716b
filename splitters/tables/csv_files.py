"""Read text files with a header and a row a line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from splitters.tables.columns import Block, Columnar

DELIMITERS = ",;\t|"
HEAD_BYTES = 4096


def table(paths: Sequence[Path], block_rows: int) -> Columnar:
    """Text files of the same columns, one after another. Their delimiter is the one that cuts the header most often.

    Raises:
        ValueError: A file is no such text; the message says what to do.
    """
    delimiter, names = _header(paths[0])
    for path in paths[1:]:
        other = _header(path)[1]
        if other != names:
            raise ValueError(f"{path.name} has other columns than {paths[0].name}: {', '.join(other[:50])}")

    def blocks() -> Iterator[Block]:
        for path in paths:
            yield from _blocks(path, delimiter, names, block_rows)

    name = paths[0].name if len(paths) == 1 else f"{paths[0].name} and {len(paths) - 1} more"
    return Columnar(name, names, blocks)


def _header(path: Path) -> tuple[str, list[str]]:
    """Return the delimiter and the names of the columns."""
    with path.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
    if not head:
        raise ValueError(f"{path.name} is empty: it must have a line with the names of the columns, then rows")
    if b"\0" in head:
        raise ValueError(
            f"{path.name} is a binary file: give a CSV file in UTF-8, an .npz file, or a folder of pictures"
        )
    found = max((_first_row(path, delimiter) for delimiter in DELIMITERS), key=lambda row: len(row[1]))
    delimiter, names = found
    if len(names) < 2:
        raise ValueError(
            f"{path.name} has one column only: columns are cut by one of , ; | or a tab, and one of them is the target"
        )
    names = [name or f"column {at}" for at, name in enumerate(names, 1)]
    if len(set(names)) < len(names):
        [twice, *_] = [name for name in names if names.count(name) > 1]
        raise ValueError(f"{path.name} has two columns of the name {twice!r}")
    if all(_is_number(name) for name in names):
        raise ValueError(f"the first line of {path.name} is all numbers: it must have the names of the columns")
    return delimiter, names


def _first_row(path: Path, delimiter: str) -> tuple[str, list[str]]:
    return delimiter, next((row for _, row in _rows(path, delimiter, strict=False)), [])


def _rows(path: Path, delimiter: str, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the number of the line that it ends in."""
    with path.open(encoding="utf-8-sig", newline="") as opened:
        reader = csv.reader(opened, delimiter=delimiter, skipinitialspace=True, strict=strict)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, [field.strip() for field in row]
        except UnicodeDecodeError:
            raise ValueError(
                f"{path.name} is no text in UTF-8 (after line {reader.line_num}): save it as UTF-8"
            ) from None
        except csv.Error as error:
            raise ValueError(
                f"{path.name} cannot be read after line {reader.line_num}: {error}; is a quotation mark left open?"
            ) from None


def _blocks(path: Path, delimiter: str, names: Sequence[str], block_rows: int) -> Iterator[Block]:
    lines: list[int] = []
    rows: list[list[str]] = []
    reading = _rows(path, delimiter)
    next(reading)
    for line, row in reading:
        if len(row) != len(names):
            raise ValueError(f"line {line} of {path.name} has {len(row)} fields, and the header has {len(names)}")
        lines.append(line)
        rows.append(row)
        if len(rows) == block_rows:
            yield _block(rows, lines, path)
            lines, rows = [], []
    if rows:
        yield _block(rows, lines, path)


def _block(rows: Sequence[Sequence[str]], lines: Sequence[int], path: Path) -> Block:
    return Block(list(zip(*rows, strict=True)), lambda at: f"line {lines[at]} of {path.name}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
