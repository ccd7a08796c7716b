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
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from splitters import Item

if TYPE_CHECKING:
    import numpy as np

ABOUT = "about"
PARTS = ("train", "valid", "test")
"""What rows are for, in the order of their numbers."""
ARRAYS = (("X", "y"), ("valid_X", "valid_y"), ("test_X", "test_y"))
"""The arrays of a shard, for each of ``PARTS``."""


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
