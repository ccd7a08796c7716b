"""Cut a table, arrays, or a folder of pictures into shards for a network to learn from.

The first chunk is one item, ``ABOUT``: the card, which tells all that a net and its report need to know of the data.
Each further chunk is a shard. Its items are arrays as ``.npy`` files; ``arrays`` reads them.

| array | dtype, shape | what |
| --- | --- | --- |
| ``X`` | float32 or uint8, (rows, *input_shape) | training rows |
| ``y`` | int32 (rows,), or float32 (rows,) | training targets: a class's number, or the scaled number |
| ``valid_X``, ``valid_y`` | as above | the shard's slice of the validation rows; may have 0 rows |
| ``test_X``, ``test_y`` | as above | the shard's slice of the test rows; may have 0 rows |

The rows of a shard come in random order. ``X`` of float32 is ready for the net. ``X`` of uint8 is what pictures are,
four times smaller: the net sees ``(X - mean) / std`` as float32, with a mean and a std for each channel, from the
card's ``scaling``.

The card is a JSON object with the fields of ``card.Card``, in UTF-8.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitters import Chunk, Item, PassedOver
from splitters.items import Items

if TYPE_CHECKING:
    import numpy as np

ABOUT = "about"
PARTS = ("train", "valid", "test")
"""What rows are for, in the order of their numbers."""
ARRAYS = (("X", "y"), ("valid_X", "valid_y"), ("test_X", "test_y"))
"""The arrays of a shard, for each of ``PARTS``."""


def split(
    source: Sequence[Path] | Items, *, chunk_size: int = 8192, target: str | None = None, drop: str | None = None,
    test: float = 0.2, valid: float = 0.1, test_file: str | None = None, shards: int = 0, partition: str = "slice",
    size: str | None = None, grey: bool = False, batch_size: int = 32, seed: int = 0,
    passed_over: PassedOver | None = None,
) -> Iterator[Chunk]:  # fmt: skip
    """Yield the card, then the shards; the same ones for the same input, options and seed.

    Reads the source twice or thrice. Holds ``chunk_size`` of its rows, the targets of all rows, and one shard; the
    rows lie scattered in files in the system's folder for temporary files meanwhile.

    Args:
        source: An .npz file with ``X`` and ``y``, or with an array for each column; text files (CSV) with the same
            header, or Parquet files; or a folder with a folder of pictures for each class.
        chunk_size: How many rows are read at a time.
        target: The column to learn; of an .npz file "y" if None.
        drop: Columns that are left out, with commas between.
        test: The share of the rows that the result is measured by.
        valid: The share of the rows that the best round is chosen by.
        test_file: Holds the test rows, in the form of ``source``; ``test`` does not count then.
        shards: How many; 0: eight, or fewer if they would have less than a batch.
        partition: "slice" scrambles the rows and cuts them into slices; "sample" draws the rows of each shard from all.
        size: To which pictures are scaled, as "32x32": width and height.
        grey: Take the brightness of pictures alone.
        batch_size: Of a step of training; smaller shards are noted.
        seed: Of all chance.
        passed_over: Counts the files of a folder that are no pictures.

    Raises:
        ImportError: NumPy is not installed; or Pillow, and the source is a folder.
        NothingToSplit: There is nothing in the source.
        ValueError: The source or an option cannot be used; the message says what to do.
    """
    try:
        from splitters.tables import cut
        from splitters.tables.source import Wanted
    except ImportError as error:
        raise ImportError(f"tables are read with NumPy (pip install numpy): {error}") from None

    options = cut.Options(test, valid, shards, partition, batch_size, seed)
    with cut.temporary() as folder:
        names = tuple(name.strip() for name in (drop or "").split(",") if name.strip())
        wanted = Wanted(target, names, cut.picture_size(size), grey, chunk_size, folder, passed_over)
        yield from cut.split(list(source), None if test_file is None else Path(test_file), wanted, options)


def arrays(shard: Iterable[Item]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a shard by name, read-only.

    Raises:
        ValueError: An item is no array, or one of objects.
    """
    import numpy as np

    found = {}
    for item in shard:
        array = np.load(io.BytesIO(item.data), allow_pickle=False)
        array.flags.writeable = False
        found[item.name] = array
    return found


def array_item(name: str, array: np.ndarray[Any, Any]) -> Item:
    """An array as an item."""
    import numpy as np

    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return Item(name, out.getvalue())
