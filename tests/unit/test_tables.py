"""Cutting tables, arrays and folders of pictures for a network to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from splitters import Item, tables


def test_an_array_comes_out_of_its_item_as_it_went_in() -> None:
    given = {"X": np.arange(6, dtype=np.float32).reshape(3, 2), "y": np.array([0, 1, 1], np.int32)}
    found = tables.arrays(tables.array_item(name, array) for name, array in given.items())
    assert list(found) == ["X", "y"]
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_an_item_of_pickled_objects_is_refused() -> None:
    import io

    out = io.BytesIO()
    np.save(out, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        tables.arrays([Item("X", out.getvalue())])
