"""A result is added to an earlier one of the same format."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aggregators import by_name, merging, readings_files
from tests.kit.records import record

OLD = {"a.png": record("old a"), "=b.png": record("old b")}
NEW = {"=b.png": record("new b\nin two lines"), "c.png": record("new c")}


def added(merge: Any, write: Callable[..., None], tmp_path: Path) -> tuple[bytes, bytes]:
    """What is merged, and what one writer of all would have written."""
    for name, part in (("old", OLD), ("new", NEW)):
        with (tmp_path / name).open("wb") as stream:
            write([part], stream)
    out, whole = io.BytesIO(), io.BytesIO()
    merge(tmp_path / "old", tmp_path / "new", out, lambda item: item in NEW)
    write([{"a.png": OLD["a.png"]}, NEW], whole)
    return out.getvalue(), whole.getvalue()


@pytest.mark.parametrize(
    ("merge", "write"),
    [
        (merging.json, readings_files.write_json),
        (merging.jsonl, readings_files.write_jsonl),
        (merging.table, readings_files.write_csv),
    ],
)
def test_new_items_take_the_place_of_old_ones(merge: Any, write: Callable[..., None], tmp_path: Path) -> None:
    merged, whole = added(merge, write, tmp_path)
    assert merged == whole


@pytest.mark.parametrize(
    ("merge", "before", "told"),
    [
        (merging.json, "[1]", "is no JSON object of items"),
        (merging.json, "{", "is no JSON object of items"),
        (merging.jsonl, '{"item": "a"}\n[]\n', "line 2 of .* is no JSON object with an item"),
        (merging.table, "name,size\n", "has the columns name, size, and not item"),
    ],
)
def test_what_is_no_earlier_result_is_named(merge: Any, before: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_text(before)
    fresh = {"json": "{}", "jsonl": "", "table": "item,text\n"}[merge.__name__]
    (tmp_path / "new").write_text(fresh)
    with pytest.raises(ValueError, match=told):
        merge(tmp_path / "old", tmp_path / "new", io.BytesIO(), lambda item: False)


def test_a_line_without_an_end_is_given_one(tmp_path: Path) -> None:
    (tmp_path / "old").write_text(json.dumps({"item": "a"}))
    with (tmp_path / "new").open("wb") as stream:
        by_name.jsonl("text")([{"b": "new"}], stream)
    out = io.BytesIO()
    merging.jsonl(tmp_path / "old", tmp_path / "new", out, lambda item: False)
    assert [json.loads(line)["item"] for line in out.getvalue().splitlines()] == ["a", "b"]
