"""Joining parts."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregators import by_name, counts

TEXTS = [{"a/1.png": "eins\n", "ü.png": 'quote " and \\'}, {}, {"b.png": ""}]


def test_json_is_written_part_by_part_as_one_object() -> None:
    out = io.BytesIO()
    by_name.write_json(iter(TEXTS), out)
    assert json.loads(out.getvalue()) == by_name.join(TEXTS)


def test_an_empty_result_is_an_empty_object() -> None:
    out = io.BytesIO()
    by_name.write_json([{}], out)
    assert out.getvalue() == b"{}\n"


def test_jsonl_has_a_line_an_item() -> None:
    out = io.BytesIO()
    by_name.write_jsonl(TEXTS, out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {row["item"]: row["text"] for row in rows} == by_name.join(TEXTS)


def test_a_text_folder_mirrors_the_names(tmp_path: Path) -> None:
    by_name.write_text_folder(TEXTS, tmp_path)
    found = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.*")}
    assert found == {f"{name}.txt": text for name, text in by_name.join(TEXTS).items()}


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_no_text_is_written_outside_the_folder(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(ValueError, match="outside"):
        by_name.write_text_folder([{name: "text", "fine": "text"}], inside)
    assert list(tmp_path.rglob("*.txt")) == [inside / "fine.txt"]


def test_a_name_that_is_too_long_for_a_file_costs_the_others_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long"):
        by_name.write_text_folder([{"x" * 300: "text", "fine": "text", "back\\slash": "text"}], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back\\slash.txt", "fine.txt"]


TABLES = st.lists(st.dictionaries(st.text(min_size=1).filter(lambda w: w.split() == [w]), st.integers(1, 2**40)))


@given(TABLES)
def test_counts_add_up_like_counters(tables: list[dict[str, int]]) -> None:
    total: Counter[str] = Counter()
    for table in tables:
        total.update(table)
    assert counts.to_dict(counts.add(map(counts.of, tables))) == dict(total)


def test_top_gives_the_most_frequent_words_in_order() -> None:
    compact = counts.of({"rare": 1, "b": 5, "a": 5, "most": 9})
    assert list(counts.to_dict(compact, top=3).items()) == [("most", 9), ("a", 5), ("b", 5)]


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 words has 1 counts"):
        counts.add([counts.Counts(words=b"a\nb", counts=b"\1" + bytes(7))])
