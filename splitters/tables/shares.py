"""Cut a table into shares for the sub-models of an ensemble.

The first chunk is the card, as for ``splitters.tables``, with ``shares``: see ``Shares``. A shard is a sub-model: shard
``i`` is of part ``i % parts`` and of the kind ``i // parts``. Its items are arrays as ``.npy`` files: those of
``splitters.tables`` (``X``, ``y`` of its part; its slices of the validation and the test rows), and

| array | dtype, shape | what |
| --- | --- | --- |
| ``stack_X``, ``stack_y`` | as ``X``, ``y`` | its slice of the training rows that a stack is fitted on |
| ``stack_seen`` | bool, (rows, parts) | which parts have a row |

| by | what a part has |
| --- | --- |
| rows | a slice of the training rows, which no other part has |
| sample | a share of the training rows, drawn by chance, none twice |
| all | all training rows |

With "all" there are no rows for a stack, as each sub-model has seen each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from splitters import Chunk
from splitters.items import Items

BYS = ("rows", "sample", "all")


class Shares(TypedDict):
    """How the training rows were shared."""

    by: str
    """One of ``BYS``."""
    share: float
    """Of the training rows, that a part has."""
    parts: int
    kinds: list[str]
    """What was asked for, in the order of the shards."""
    stack_rows: int
    """Rows for a stack, of all shards."""


def split(
    source: Sequence[Path] | Items, *, chunk_size: int = 8192, target: str | None = None, drop: str | None = None,
    test: float = 0.2, valid: float = 0.1, test_file: str | None = None, kind: str = "rf", parts: int = 0,
    by: str = "auto", share: float = 0.0, seed: int = 0,
) -> Iterator[Chunk]:  # fmt: skip
    """Yield the card, then a shard for each sub-model; the same ones for the same input, options and seed.

    Reads the source twice or thrice. Holds ``chunk_size`` of its rows, the targets and the numbers of all rows, and one
    part; the rows lie in files in the system's folder for temporary files meanwhile.

    Args:
        source: An .npz file with ``X`` and ``y``, or with an array for each column; or text files (CSV) with the same
            header.
        chunk_size: How many rows are read at a time.
        target: The column to learn; of an .npz file "y" if None.
        drop: Columns that are left out, with commas between.
        test: The share of the rows that the ensemble is measured by.
        valid: The share of the rows that the combiner is chosen by.
        test_file: Holds the test rows, in the form of ``source``; ``test`` does not count then.
        kind: The kinds of sub-models, with spaces between.
        parts: How many sub-models of each kind; 0: eight, or fewer of few rows.
        by: One of ``BYS``; "auto": "all" of up to 64 MiB of encoded training rows, "sample" of up to 256 MiB, "rows" of
            more.
        share: Of the training rows that each part has; for "sample", 0: a half.
        seed: Of all chance.

    Raises:
        ImportError: NumPy is not installed.
        NothingToSplit: There is nothing in the source.
        ValueError: The source or an option cannot be used; the message says what to do.
    """
    try:
        from splitters.tables import cut, cut_shares
        from splitters.tables.source import Wanted
    except ImportError as error:
        raise ImportError(f"tables are read with NumPy (pip install numpy): {error}") from None

    options = cut_shares.Options(test, valid, tuple(kind.split()), parts, by, share, seed)
    with cut.temporary() as folder:
        names = tuple(name.strip() for name in (drop or "").split(",") if name.strip())
        wanted = Wanted(target, names, None, False, chunk_size, folder)
        yield from cut_shares.split(list(source), None if test_file is None else Path(test_file), wanted, options)
