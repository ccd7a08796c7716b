"""Put it together: read, hold rows out, scatter, scale, and tell."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitters import MAX_ITEM_BYTES, Chunk, Item
from splitters.tables import (
    ABOUT,
    ARRAYS,
    PARTS,
    about,
    array_item,
    columns,
    csv_files,
    deal,
    npz_files,
    parquet_files,
    picture_folders,
)
from splitters.tables.buckets import Buckets
from splitters.tables.card import Scale
from splitters.tables.deal import Dealt, Rows
from splitters.tables.source import Source, Wanted

USUAL_SHARDS = 8
SPREADSHEETS = (".xlsx", ".xls", ".ods")


class Options(NamedTuple):
    """How rows are dealt out; see ``split``."""

    test: float
    valid: float
    shards: int
    partition: str
    batch_size: int
    seed: int


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that goes when the ``with`` is left."""
    with tempfile.TemporaryDirectory(prefix="cluster-tables-") as folder:
        yield Path(folder)


def picture_size(text: str | None) -> tuple[int, int] | None:
    """Width and height.

    Raises:
        ValueError: The text names none.
    """
    if text is None:
        return None
    if not (found := re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text, re.ASCII)):
        raise ValueError(f"--size is {text!r}; it must be a width and a height up to 9999, as 32x32")
    return int(found[1]), int(found[2])


def split(paths: Sequence[Path], test_file: Path | None, wanted: Wanted, options: Options) -> Iterator[Chunk]:
    """See ``tables.split``.

    Raises:
        ValueError: The source or an option cannot be used.
    """
    test_share = check_shares(options.test, options.valid, test_file)
    train = read(paths, wanted)
    held = None if test_file is None else read_held(test_file, paths, wanted, train)
    shards = options.shards or _shards(len(train.y) * (1 - test_share - options.valid), options.batch_size)
    dealt = deal.deal(
        train.y, is_classes=bool(train.classes), test=test_share, valid=options.valid, shards=shards,
        partition=options.partition, seed=options.seed,
    )  # fmt: skip
    if held:
        dealt = dealt._replace(test=deal.slices(np.arange(len(held.y)), shards, deal.chance(options.seed, "test file")))
    _check_size(dealt, train.encoder.row_bytes)

    buckets = Buckets(wanted.folder)
    of_source = [*dealt.train, *dealt.valid, *([] if held else dealt.test)]
    scattered = buckets.scatter(learned(train, dealt.taught), of_source, "rows")
    if held:
        scattered += buckets.scatter(held.blocks(), dealt.test, "test")
    goals, scale = targets(train, held, dealt.taught)
    notes = [*about.of_shards(train, dealt, options.batch_size), *about.of_held_out(train, dealt)]
    told = about.card(train, held, dealt, goals, scale, notes, options.seed)
    yield [Item(ABOUT, json.dumps(told, ensure_ascii=False).encode())]
    problems = train.problems + (held.problems if held else [])
    for shard in range(shards):
        chunk: Chunk = []
        for part, (rows, numbers) in enumerate(ARRAYS):
            bucket = scattered[part * shards + shard]
            order = deal.chance(options.seed, f"{PARTS[part]} {shard}").permutation(len(bucket.rows))
            chunk.append(array_item(rows, train.encoder.encode(buckets.read(bucket)[order])))
            chunk.append(array_item(numbers, goals[part][bucket.rows][order]))
        yield chunk + problems
        problems = []


def check_shares(test: float, valid: float, test_file: Path | None) -> float:
    """The share of the rows that is held out for the test.

    Raises:
        ValueError: Nothing is left to learn from.
    """
    test_share = 0.0 if test_file else test
    if not (test_share >= 0 and valid >= 0 and test_share + valid < 1):
        raise ValueError(
            f"--test {test:g} and --valid {valid:g} leave no rows to learn from: both are shares of all rows, as 0.2"
            " and 0.1"
        )
    return test_share


def read_held(test_file: Path, paths: Sequence[Path], wanted: Wanted, train: Source) -> Source:
    """Look through the file of test rows, which must be like the training rows at ``paths``.

    Raises:
        OSError: It is not there, or cannot be read.
        ValueError: It is another kind of file, or has other columns or classes.
    """
    if kind([test_file]) != kind(paths):
        raise ValueError(f"--test-file {test_file} must be of the kind of the training rows: {kind(paths)}")
    return read([test_file], wanted, train)


def read(paths: Sequence[Path], wanted: Wanted, like: Source | None = None) -> Source:
    """Look through a source, whatever kind it is of.

    Args:
        paths: Of the source.
        wanted: What the options say.
        like: The training rows, whose form it must have.

    Raises:
        OSError: A path is not there, or cannot be read.
        ValueError: It cannot be learned from.
    """
    first = paths[0]
    match kind(paths):
        case "pictures":
            return picture_folders.read(first, wanted, like)
        case "npz":
            return npz_files.read(first, wanted, like)
    if wanted.size is not None or wanted.grey:
        raise ValueError(f"--size and --grey are for pictures, and {first.name} is a table")
    table = parquet_files.table if kind(paths) == "Parquet" else csv_files.table
    return columns.read(table(paths, wanted.block_rows), wanted, like=like)


def kind(paths: Sequence[Path]) -> Literal["CSV", "Parquet", "npz", "pictures"]:
    """What the paths are, by what lies there.

    Raises:
        OSError: A path is not there, or cannot be read.
        ValueError: They are of no kind that is read, or of several.
    """
    kinds = [_kind(path) for path in paths]
    if len(paths) > 1 and set(kinds) not in ({"CSV"}, {"Parquet"}):
        raise ValueError("give one input: several are for CSV files with the same header, or Parquet files alike")
    return kinds[0]


def _kind(path: Path) -> Literal["CSV", "Parquet", "npz", "pictures"]:
    if path.is_dir():
        return "pictures"
    if path.suffix.lower() in SPREADSHEETS:
        raise ValueError(f"{path.name} is a spreadsheet: save it as CSV in UTF-8")
    with path.open("rb") as opened:
        head = opened.read(4)
    if head == b"PAR1":
        return "Parquet"
    return "npz" if head[:2] == b"PK" or path.suffix.lower() == ".npz" else "CSV"


def _shards(taught: float, batch_size: int) -> int:
    return max(1, min(USUAL_SHARDS, int(taught // batch_size)))


def _check_size(dealt: Dealt, row_bytes: int) -> None:
    most = max(len(rows) for rows in (*dealt.train, *dealt.valid, *dealt.test)) * row_bytes
    if most > MAX_ITEM_BYTES:
        least = -(-most * len(dealt.train) // MAX_ITEM_BYTES) + 1
        raise ValueError(
            f"a shard has up to {most:,} bytes, over the limit of {MAX_ITEM_BYTES:,}: give --shards {least} or more"
        )


def learned(train: Source, taught: Rows) -> Iterator[NDArray[Any]]:
    """All blocks of the source; its encoder learns of their training rows."""
    is_taught = np.zeros(len(train.y), bool)
    is_taught[taught] = True
    start = 0
    for block in train.blocks():
        train.encoder.learn(block[is_taught[start : start + len(block)]])
        start += len(block)
        yield block


def targets(train: Source, held: Source | None, taught: Rows) -> tuple[list[NDArray[Any]], Scale | None]:
    """The targets that each part takes its rows' from, as a net learns them; and how numbers were scaled."""
    found = [train.y, train.y, held.y if held else train.y]
    if train.classes:
        return found, None
    mean, std = float(train.y[taught].mean()), float(train.y[taught].std())
    if std == 0:
        raise ValueError(f"the target {train.target!r} is {mean:g} in all training rows: there is nothing to learn")
    return [((y - mean) / std).astype(np.float32) for y in found], {"mean": mean, "std": std}
