"""Joining parts."""

from __future__ import annotations

import csv
import errno
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    by_name.jsonl("text")(TEXTS, out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {row["item"]: row["text"] for row in rows} == by_name.join(TEXTS)


FACES: list[dict[str, Any]] = [
    {"ü/1.png": [{"box": [1, 2, 30, 40], "score": 0.5, "label": 'a "b", c', "confidence": 0.25}], "none.png": []},
    {"2.png": [{"box": [n, 0, 9, 9], "score": 1.0, "label": "unknown", "confidence": 0.0} for n in (3, 4)]},
]


def test_jsonl_holds_values_of_any_kind() -> None:
    out = io.BytesIO()
    by_name.jsonl("faces")(iter(FACES), out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {row["item"]: row["faces"] for row in rows} == by_name.join(FACES)


def test_a_table_of_faces_has_a_line_a_face() -> None:
    out = io.BytesIO()
    by_name.write_faces_csv(iter(FACES), out)
    assert out.getvalue().startswith(b"item,label,confidence,score,x,y,width,height\n")
    rows = list(csv.reader(io.StringIO(out.getvalue().decode())))[1:]
    assert rows == [
        ["ü/1.png", 'a "b", c', "0.25", "0.5", "1", "2", "30", "40"],
        ["2.png", "unknown", "0.0", "1.0", "3", "0", "9", "9"],
        ["2.png", "unknown", "0.0", "1.0", "4", "0", "9", "9"],
    ]


def test_a_part_is_written_before_the_next_is_read() -> None:
    out = io.BytesIO()

    def parts() -> Iterator[dict[str, Any]]:
        for part in FACES:
            before = out.tell()
            yield part
            assert out.tell() > before

    by_name.write_faces_csv(parts(), out)
    out = io.BytesIO()
    by_name.jsonl("faces")(parts(), out)


def test_a_text_folder_mirrors_the_names(tmp_path: Path) -> None:
    by_name.write_text_folder(TEXTS, tmp_path)
    found = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.*")}
    assert found == {f"{name}.txt": text for name, text in by_name.join(TEXTS).items()}


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", ".", "a\0b"])
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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_more_ends_the_writing(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    tried = []

    def full(folder: Path, path: Path, draft: Path, data: object) -> None:
        tried.append(path.name)
        raise OSError(number, "full", str(draft))

    monkeypatch.setattr(by_name, "put", full)
    with pytest.raises(OSError, match="full"):
        by_name.write_text_folder([{"a": "text", "b": "text"}], tmp_path)
    assert tried == ["a.txt"]


def test_a_link_in_the_output_folder_is_replaced_or_refused(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for folder in (out, elsewhere):
        folder.mkdir()
    (elsewhere / "precious.txt").write_text("precious")
    (out / "a.png.txt").symlink_to(elsewhere / "precious.txt")
    (out / "b").symlink_to(elsewhere)
    with pytest.raises(ValueError, match=r"^'b/c\.png': b is a link, which is not followed$"):
        by_name.write_text_folder([{"a.png": "a", "b/c.png": "c"}], out)
    assert [path.name for path in elsewhere.iterdir()] == ["precious.txt"]
    assert (elsewhere / "precious.txt").read_text() == "precious"
    assert ((out / "a.png.txt").read_text(), (out / "a.png.txt").is_symlink()) == ("a", False)


def test_a_draft_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "draft").symlink_to(tmp_path / "precious")
    by_name.put(tmp_path, tmp_path / "new", tmp_path / "draft", b"new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"precious": "precious", "new": "new"}


def test_a_text_is_written_below_folders_deeper_than_pythons_calls(deep_path: Path) -> None:
    depth = sys.getrecursionlimit() + 100
    by_name.write_text_folder([{"d/" * depth + "a.png": "deep"}], deep_path)
    assert (deep_path / ("d/" * depth) / "a.png.txt").read_text() == "deep"


RISKY = ["=1+1", "+1", "-1", "@it", "\t=1", "\r=1", "'=1", "''-1"]
HARMLESS = ["a.png", "1", "a=b", "'twas", "", "''", " =1", "ü"]


def test_no_cell_of_a_table_reads_as_a_formula() -> None:
    faces = [{"box": [-3, 0, 9, 9], "score": 1.0, "label": text, "confidence": -0.5} for text in RISKY]
    out = io.BytesIO()
    by_name.write_faces_csv([dict.fromkeys([*RISKY, *HARMLESS], faces[:1]), {"it": faces}], out)
    rows = list(csv.reader(io.StringIO(out.getvalue().decode(), newline="")))[1:]
    assert [row[0] for row in rows[:-8]] == [*(f"'{text}" for text in RISKY), *HARMLESS]
    assert [row[1] for row in rows[-8:]] == [f"'{text}" for text in RISKY]
    assert {tuple(row[2:]) for row in rows} == {("-0.5", "1.0", "-3", "0", "9", "9")}  # numbers stay numbers


@given(st.lists(st.text("'=-x", max_size=4), unique=True))
def test_two_texts_are_never_the_same_cell(texts: list[str]) -> None:
    assert len({by_name.cell(text) for text in texts}) == len(texts)


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


def test_two_who_write_to_one_folder_do_not_mix_their_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drafts = []
    monkeypatch.setattr(Path, "replace", lambda draft, _: drafts.append(draft.name))
    for _ in range(2):
        by_name.write_text_folder([{"a": "text"}], tmp_path)
    assert len(set(drafts)) == 2


def test_a_folder_that_cannot_be_made_costs_the_others_nothing(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("a file")
    with pytest.raises(ValueError, match=r"letters/x\.png"):
        by_name.write_text_folder([{"a.png": "a", "letters/x.png": "x", "z.png": "z"}], tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png.txt", "letters", "z.png.txt"]


def test_two_values_under_one_name_are_not_joined() -> None:
    with pytest.raises(ValueError, match="another value for 'b'"):
        by_name.join([{"a": 1, "b": 2}, {"b": 3}])
