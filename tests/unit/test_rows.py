"""Blocks of rows are cut where the module csv ends a row, whatever the text, and read again as one table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitters import Item, NothingToSplit, PassedOver, rows
from splitters.items import Items
from splitters.rows import blocks, csv_text, sources

np = pytest.importorskip("numpy")

HEAD = "name,size,colour\n"


def of_bytes(data: bytes, name: str = "t.csv") -> Items:
    return Items(lambda: iter([Item(name, data)]))


def cut(data: bytes, size: int, name: str = "t.csv") -> list[Item]:
    return [item for chunk in rows.split(of_bytes(data, name), chunk_size=size) for item in chunk]


def joined(items: Sequence[Item]) -> tuple[list[list[Any]], dict[int, str]]:
    """All rows of blocks that follow on each other, and those with problems."""
    found: list[list[Any]] = []
    problems: dict[int, str] = {}
    for item in items:
        block = blocks.read(item)
        where = rows.place(item.name)
        assert where == (len(found), block.number)
        problems |= {len(found) + row: why for row, why in block.problems.items()}
        found += map(list, zip(*block.columns.values(), strict=True)) if block.columns else [[]] * block.number
    return found, problems


def by_csv(data: bytes, delimiter: str) -> list[list[str]]:
    """What the module csv reads, without the header and blank lines."""
    text = io.StringIO(data.decode("utf-8-sig"), newline="")
    reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True)
    return [[field.strip() for field in row] for row in reader if row][1:]


FIELDS = st.one_of(
    st.sampled_from(["", "1", "-2.5", "NA", ' "', '5" pipe', "a b", "é", "\u2028", "\x0b", ' ""']),
    st.text('ab ,;|\t\n\r"é', max_size=6).map(lambda text: '"' + text.replace('"', '""') + '"'),
    st.text("ab é'", max_size=4),
)
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r"])


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, str]:
    delimiter = draw(st.sampled_from(",;\t|"))
    width = draw(st.integers(2, 4))
    text = delimiter.join(f"column {at}" for at in range(width))
    for row in draw(st.lists(st.lists(FIELDS, min_size=width, max_size=width), max_size=12)):
        plain = [field if field.lstrip(" ").startswith('"') else field.replace(delimiter, "") for field in row]
        text += draw(LINE_ENDS) + delimiter.join(plain)
    text += draw(st.sampled_from(["", "\n", "\r\n", "\r"]))
    return draw(st.sampled_from([b"", csv_text.MARK])) + text.encode(), delimiter


@settings(max_examples=300, deadline=None)
@given(tables(), st.integers(1, 5), st.integers(1, 40))
def test_cut_and_joined_rows_are_those_of_the_module_csv(table: tuple[bytes, str], size: int, piece: int) -> None:
    data, delimiter = table
    try:
        expected = by_csv(data, delimiter)
    except csv.Error:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BLOCK_BYTES", max(piece, len(data.splitlines()[0]) + 4))
        found, problems = joined(cut(data, size))
    width = len(by_csv_head(data, delimiter))
    assert [row if len(row) == width else [""] * width for row in expected] == found
    assert set(problems) == {at for at, row in enumerate(expected) if len(row) != width}


def by_csv_head(data: bytes, delimiter: str) -> list[str]:
    return data.decode("utf-8-sig").splitlines()[0].split(delimiter)


@settings(max_examples=200, deadline=None)
@given(st.text('a1," \n\r;', max_size=60), st.integers(1, 4))
def test_any_text_gives_as_many_rows_as_its_blocks_say(text: str, size: int) -> None:
    found, problems = joined(cut(f"a,b{chr(10)}{text}".encode(), size))
    assert all(len(row) == 2 for row in found)
    assert all(found[row] == ["", ""] for row in problems)


def test_blocks_are_named_by_rows_counted_over_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEAD + "x,1,red\n" * 5)
    (tmp_path / "b.csv").write_text(HEAD + "y,2,red\n" * 2)
    items = [item for chunk in rows.split([tmp_path], chunk_size=2) for item in chunk]
    assert [item.name for item in items] == [
        "a.csv rows 0-1", "a.csv rows 2-3", "a.csv rows 4-4", "b.csv rows 5-6",
    ]  # fmt: skip
    assert all(item.last for item in items)  # each counts as an item
    assert [rows.place(item.name) for item in items] == [(0, 2), (2, 2), (4, 1), (5, 2)]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.npz", "t.parquet"])
@pytest.mark.parametrize(("number", "size", "about"), [(7, 2, 0), (0, 2, 0), (60_000, 1000, 2)])
def test_the_number_of_blocks_is_told_beforehand(name: str, number: int, size: int, about: int, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "t.npz":
        np.savez(path, X=np.zeros((number, 3)))
    elif name == "t.parquet":
        pytest.importorskip("pyarrow")
        from pyarrow import parquet, table

        parquet.write_table(table({"a": np.arange(number)}), path)
    else:
        path.write_text("a,b\n" * name.endswith(".csv") + "".join(f"{at:08},1\n" for at in range(number)))
    if number or name != "t.jsonl":
        assert rows.count([path], chunk_size=size) == pytest.approx(
            len(list(rows.split([path], chunk_size=size))), abs=about
        )


def test_a_table_without_rows_is_a_block_of_none() -> None:
    for text in ("a,b", "a,b\n", "a,b\r\n\r\n"):
        [item] = cut(text.encode(), 5)
        block = blocks.read(item)
        assert (block.number, dict(block.columns), rows.place(item.name)) == (0, {"a": (), "b": ()}, (0, 0))


@pytest.mark.parametrize(
    ("data", "name", "why"),
    [
        (b"", "t.csv", "t.csv is empty"),
        (b"\n\n", "t.csv", "first line of t.csv is empty"),
        (b"1,2\n3,4\n", "t.csv", "first line of t.csv is all numbers"),
        (b"a,a\n", "t.csv", "two columns of the name 'a'"),
        (b"a\0b\n", "t.csv", "binary file"),
        (b"\xff\xfea\0", "t.csv", "binary file"),
        (b"a,\xff\n1,2\n", "t.csv", "no text in UTF-8"),
        (b"x", "t.xlsx", "is a spreadsheet: save it as CSV"),
        (b"[1", "t.json", "is no JSON"),
        (b'"a"', "t.json", "holds no list"),
        (b"PK\x03\x04", "t.npz", "t.npz is damaged"),
        (b"PAR1", "t.parquet", "t.parquet is damaged"),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name(data: bytes, name: str, why: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=why):
        cut(data, 5, name)


def test_tables_and_pictures_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEAD)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"not both: b\.png is a picture"):
        list(rows.split([tmp_path]))
    (tmp_path / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"not both: a\.csv is no picture"):
        list(rows.split([tmp_path]))


def test_other_files_of_a_folder_are_passed_over_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(NothingToSplit, match=r"no tables and no pictures in .*1 file is .*1 \.doc"):
        list(rows.split([tmp_path], passed_over=PassedOver()))


def test_a_quotation_mark_left_open_ends_the_file_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(sources, "MAX_RECORD_BYTES", 4000)
    data = (HEAD + "x,1,red\n" * 3 + 'y,"2,red\n' + "z,3,red\n" * 2000).encode()
    *good, last = cut(data, 2)
    assert joined(good)[0] == [["x", "1", "red"]] * 3
    assert (last.name, last.data) == ("t.csv", b"")
    assert last.problem == "row 3 is longer than 4,000 bytes, so the rest is left out: a quotation mark is left open"


def test_rows_that_cannot_be_read_are_told_and_keep_their_place() -> None:
    data = HEAD.encode() + b'x,1,red\ny,2\nz,"3"4,red\nw,\xff,red\nv,5,red\n'
    found, problems = joined(cut(data, 10))
    assert found == [["x", "1", "red"], ["", "", ""], ["", "", ""], ["", "", ""], ["v", "5", "red"]]
    assert problems == {
        1: "it has 2 fields, and the header has 3",
        2: "it cannot be read: ',' expected after '\"'",
        3: "it is no text in UTF-8",
    }


def test_rows_of_json_are_texts_as_csv_has_them() -> None:
    objects = [
        {"size": 1, "colour": "red"}, {"colour": None, "size": 2.5}, {"size": True, "colour": " x "},
        {"size": 3}, {"size": [1], "colour": "y"}, 7,
    ]  # fmt: skip
    expected = [["1", "red"], ["2.5", ""], ["true", "x"], ["3", ""], ["", ""], ["", ""]]
    problems = {3: "it has no 'colour'", 4: "'size' is a list: give a number, a text or null",
                5: "it is no object of names and values"}  # fmt: skip
    lines = "\n".join(map(json.dumps, objects)).encode()
    for name, data in (("t.json", json.dumps(objects).encode()), ("t.jsonl", lines), ("t.jsonl", lines + b"\n\n")):
        assert joined(cut(data, 10, name)) == (expected, problems)
    assert joined(cut(lines + b"\n{", 1, "t.jsonl"))[1][6].startswith("it is no JSON")


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def test_arrays_are_cut_along_their_rows() -> None:
    X = np.arange(24.0).reshape(6, 2, 2)
    read = [blocks.read(item) for item in cut(npz(X=X, y=np.arange(6), odd=np.arange(4)), 4, "t.npz")]
    assert [block.number for block in read] == [4, 2]
    assert np.array_equal(np.concatenate([np.asarray(block.X) for block in read]), X)
    assert [list(block.columns) for block in read] == [["y"], ["y"]]


def test_columns_of_an_npz_file_keep_their_kind() -> None:
    data = npz(size=np.array([1, 2, 3]), colour=np.array([" red", "", "blué"]), classes=np.array(["a"]))
    read = [blocks.read(item) for item in cut(data, 2, "t.npz")]
    assert [block.columns["colour"] for block in read] == [["red", ""], ["blué"]]
    assert [np.asarray(block.columns["size"]).tolist() for block in read] == [[1, 2], [3]]
    with pytest.raises(ValueError, match=r"array 'b' of t.npz has the shape \(2,\), and 'a' \(3,\)"):
        cut(npz(a=np.arange(3), b=np.arange(2)), 2, "t.npz")


def test_the_columns_of_named_arrays_are_found_by_name() -> None:
    X = np.arange(6.0).reshape(3, 2)
    [item] = cut(npz(X=X, names=np.array(["size", "age"])), 9, "t.npz")
    assert np.asarray(blocks.read(item).columns["age"]).tolist() == [1, 3, 5]


def test_a_parquet_file_gives_numbers_and_texts(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({
        "whole": [1, 2, 3], "lacking": [1, None, 3], "real": [0.5, None, 1.5], "text": ["a ", None, "c"],
        "yes": [True, False, None], "listed": [[1], [2], [3]],
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    items = [item for chunk in rows.split([tmp_path / "t.parquet"], chunk_size=2) for item in chunk]
    assert [item.name for item in items] == ["t.parquet rows 0-1", "t.parquet rows 2-2"]
    first = blocks.read(items[0]).columns
    assert "listed" not in first
    assert tuple(np.asarray(first[name]).dtype.kind for name in ("whole", "lacking")) == ("i", "f")
    assert np.isnan(np.asarray(first["real"])[1])
    assert (first["text"], first["yes"]) == (["a", ""], ["true", "false"])


def test_a_parquet_file_is_learned_from_as_its_csv_file(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    from splitters import tables

    size, colour = [number / 8 for number in range(80)], ["red" if number % 3 else "blue" for number in range(80)]
    kind = [number % 2 for number in range(80)]
    parquet.write_table(pa.table({"size": size, "colour": colour, "kind": kind}), tmp_path / "t.parquet")
    lines = [f"{a},{b},{c}" for a, b, c in zip(size, colour, kind, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["size,colour,kind", *lines]))
    found = [list(tables.split([tmp_path / name], target="kind", shards=2)) for name in ("t.parquet", "t.csv")]
    assert found[0][1:] == found[1][1:]
    assert json.loads(found[0][0][0].data) == json.loads(found[1][0][0].data)


def test_of_json_only_columns_that_are_wanted_must_be_there() -> None:
    data = b'{"x": 1, "tags": ["a"]}\n{"x": 2, "note": {"by": "me"}}\n{"note": "x"}\n'
    [item] = cut(data, 9, "t.jsonl")
    read = blocks.read(item, ["x"], [])
    assert (read.columns["x"], read.problems) == (["1", "2", ""], {2: "it has no 'x'"})
    assert sorted(blocks.read(item).problems) == [0, 1, 2]
