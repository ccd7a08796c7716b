"""Cutting tables and arrays for a network to learn from."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splitters import Item, tables
from splitters.tables import deal, moments
from tests.kit.tables import cut, items, save, write

CLASSES = ["a", "b", "c"]


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """200 rows of three numbers, of which the first is the row's own; 120, 60 and 20 of three classes."""
    chance = np.random.default_rng(1)
    rows = np.arange(200.0)
    X = np.stack([rows, 5 + 2 * chance.normal(size=200), 1e6 + chance.normal(size=200)], axis=1)
    return save(tmp_path / "rows.npz", X=X, y=np.repeat([0, 1, 2], [120, 60, 20]), classes=CLASSES)


def own(rows: Any, card: Any) -> list[int]:
    """The numbers of rows, which stand in the first column."""
    scaling = card["scaling"]
    found: list[int] = np.rint(rows[:, 0] * scaling["std"][0] + scaling["mean"][0]).astype(int).tolist()
    return found


def test_an_array_comes_out_of_its_item_as_it_went_in() -> None:
    given = {"X": np.arange(6, dtype=np.float32).reshape(3, 2), "y": np.array([0, 1, 1], np.int32)}
    found = tables.arrays(tables.array_item(name, array) for name, array in given.items())
    assert list(found) == ["X", "y"]
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_an_item_of_pickled_objects_is_refused() -> None:
    out = io.BytesIO()
    np.save(out, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        tables.arrays([Item("X", out.getvalue())])


def test_every_row_is_in_one_part_of_one_shard(npz: Path) -> None:
    done = cut(npz, shards=3)
    found = [own(shard[name], done.card) for shard in done.shards for name, _ in tables.ARRAYS]
    assert sorted(row for rows in found for row in rows) == list(range(200))
    assert done.card["rows"] == {"train": 140, "valid": 20, "test": 40}
    assert done.card["shard_rows"] == [len(shard["X"]) for shard in done.shards]
    assert max(done.card["shard_rows"]) - min(done.card["shard_rows"]) <= 1


def test_targets_go_with_their_rows(npz: Path) -> None:
    done = cut(npz, shards=3)
    for X, y in tables.ARRAYS:
        of_row = np.repeat([0, 1, 2], [120, 60, 20])
        assert done.all(y).tolist() == of_row[own(done.all(X), done.card)].tolist()


def test_each_class_has_its_share_of_what_is_held_out(npz: Path) -> None:
    done = cut(npz, shards=3)
    assert done.card["classes"] == CLASSES
    assert done.card["outputs"] == 3
    for part, share in (("test", 0.2), ("valid", 0.1), ("train", 0.7)):
        assert np.allclose(done.card["class_rows"][part], share * np.array([120, 60, 20]), atol=2)
    for part, (_, y) in zip(tables.PARTS, tables.ARRAYS, strict=True):
        assert np.bincount(done.all(y)).tolist() == done.card["class_rows"][part]


def test_training_rows_have_mean_0_and_deviation_1(npz: Path) -> None:
    done = cut(npz, shards=3)
    X = done.all("X")
    assert X.dtype == np.float32
    assert np.allclose(X.mean(axis=0), 0, atol=1e-5)
    assert np.allclose(X.std(axis=0), 1, atol=1e-5)
    test = done.all("test_X")
    assert not np.allclose(test.mean(axis=0), 0, atol=1e-3)  # they are scaled by the training rows


def test_the_same_input_and_seed_give_the_same_bytes(npz: Path) -> None:
    assert items(npz, shards=3, seed=5) == items(npz, shards=3, seed=5)
    assert items(npz, shards=3, seed=5) != items(npz, shards=3, seed=6)
    few, many = cut(npz, shards=3, chunk_size=7), cut(npz, shards=3)
    assert np.allclose(few.all("X"), many.all("X"))  # means are rounded otherwise


def test_rows_are_scrambled_between_shards_and_within_them(npz: Path) -> None:
    done = cut(npz, shards=2)
    for shard in done.shards:
        rows = own(shard["X"], done.card)
        assert rows != sorted(rows)
        assert min(rows) < 40
        assert max(rows) > 160


def test_a_sample_draws_the_rows_of_each_shard_from_all(npz: Path) -> None:
    done = cut(npz, shards=4, partition="sample")
    drawn = Counter(row for shard in done.shards for row in own(shard["X"], done.card))
    assert drawn.total() == 140
    assert len(drawn) < 120  # 1 - 1/e of the rows come at least once
    held_out = {*own(done.all("valid_X"), done.card), *own(done.all("test_X"), done.card)}
    assert not held_out & set(drawn)
    assert len(held_out) == 60


@pytest.mark.parametrize(("rows", "batch", "shards"), [(2000, 32, 8), (100, 32, 2), (20, 32, 1)])
def test_the_number_of_shards_is_chosen_by_the_rows(tmp_path: Path, rows: int, batch: int, shards: int) -> None:
    npz = save(tmp_path / "a.npz", X=np.eye(rows, 2), y=np.arange(rows) % 2)
    assert cut(npz, batch_size=batch).card["shards"] == shards


def test_the_card_tells_what_one_answer_for_all_is_worth(npz: Path) -> None:
    assert cut(npz).card["baseline"] == {"always": "a", "accuracy": 0.6}
    assert cut(npz, test=0, valid=0.25).card["baseline"] == {"always": "a", "accuracy": 0.6}
    assert cut(npz, test=0, valid=0).card["baseline"] is None


def test_float_targets_are_numbers_to_come_close_to(tmp_path: Path) -> None:
    y = 100 + 7 * np.random.default_rng(1).normal(size=100)
    npz = save(tmp_path / "a.npz", X=np.stack([np.arange(100.0), y], axis=1), y=y)
    done = cut(npz, shards=2)
    assert (done.card["task"], done.card["outputs"], done.card["classes"]) == ("regression", 1, [])
    scale = done.card["target_scale"]
    assert scale is not None
    assert done.all("y").dtype == np.float32
    assert abs(done.all("y").mean()) < 1e-6
    for X, target in tables.ARRAYS:
        assert np.allclose(done.all(target) * scale["std"] + scale["mean"], y[own(done.all(X), done.card)], atol=1e-3)
    errors = done.all("test_y") * scale["std"]
    rmse = float(f"{np.sqrt((errors**2).mean()):.6g}")
    assert done.card["baseline"] == {"always": float(f"{scale['mean']:.6g}"), "rmse": pytest.approx(rmse, rel=1e-5)}


def test_a_test_file_takes_the_place_of_the_share(npz: Path, tmp_path: Path) -> None:
    test = save(tmp_path / "test.npz", X=[[500.0, 5, 1e6], [501, 5, 1e6]], y=[0, 2], classes=CLASSES)
    done = cut(npz, test_file=str(test), shards=2)
    assert done.card["rows"] == {"train": 180, "valid": 20, "test": 2}
    assert sorted(own(done.all("test_X"), done.card)) == [500, 501]
    assert done.card["class_rows"]["test"] == [1, 0, 1]


def test_pictures_in_an_array_stay_bytes(tmp_path: Path) -> None:
    X = np.random.default_rng(1).integers(0, 256, (40, 5, 4, 3)).astype(np.uint8)  # height, width, colours
    done = cut(save(tmp_path / "a.npz", X=X, y=np.arange(40) % 2), shards=2, test=0, valid=0)
    assert (done.card["input_shape"], done.card["dtype"]) == ([3, 5, 4], "uint8")
    assert done.card["picture"] == {"width": 4, "height": 5, "grey": False}
    found = done.all("X")
    assert sorted(map(bytes, found)) == sorted(bytes(row) for row in np.moveaxis(X, 3, 1).copy())
    scaling = done.card["scaling"]
    assert scaling is not None
    assert scaling["axis"] == 1
    assert np.allclose(scaling["mean"], X.mean(axis=(0, 1, 2)))
    assert np.allclose(scaling["std"], X.std(axis=(0, 1, 2)))


def test_columns_may_be_the_pixels_of_pictures(tmp_path: Path) -> None:
    X = np.arange(40 * 6).reshape(40, 6).astype(float)
    done = cut(save(tmp_path / "a.npz", X=X, y=np.arange(40) % 2), size="3x2")
    assert done.card["input_shape"] == [1, 2, 3]
    assert done.card["picture"] == {"width": 3, "height": 2, "grey": True}


def test_an_array_is_the_same_in_whatever_order_it_is_saved(tmp_path: Path) -> None:
    X, y = np.random.default_rng(1).normal(size=(60, 7, 2)), np.arange(60) % 2
    by_rows = items(save(tmp_path / "a.npz", X=X, y=y))
    assert items(save(tmp_path / "b.npz", X=np.asfortranarray(X), y=y)) == by_rows


def test_rows_of_arrays_without_a_target_are_left_out(tmp_path: Path) -> None:
    y = np.where(np.arange(40) % 4 == 2, np.nan, np.arange(40) / 2)
    done = cut(save(tmp_path / "a.npz", X=np.arange(80.0).reshape(40, 2) / 2, y=y), shards=1)
    assert sum(done.card["rows"].values()) == 30
    scale = done.card["target_scale"]
    assert scale is not None
    assert np.allclose(done.all("y") * scale["std"] + scale["mean"], np.array(own(done.all("X"), done.card)) / 2)


def test_sequences_are_scaled_by_feature(tmp_path: Path) -> None:
    X = np.random.default_rng(1).normal([3, -9], [1, 5], (60, 7, 2))
    done = cut(save(tmp_path / "a.npz", X=X, y=np.arange(60) % 2), shards=2, test=0, valid=0)
    assert done.card["input_shape"] == [7, 2]
    assert np.allclose(done.all("X").mean(axis=(0, 1)), 0, atol=1e-5)
    assert np.allclose(done.all("X").std(axis=(0, 1)), 1, atol=1e-5)


def test_arrays_may_be_columns_and_named_ones_dropped(tmp_path: Path) -> None:
    rows = np.arange(60)
    npz = save(tmp_path / "a.npz", size=rows * 0.5, kind=np.where(rows % 2, "x", "z"), id=rows, ok=rows % 3 == 0)
    card = cut(npz, target="ok", drop="id").card
    assert [(column["name"], column["kind"]) for column in card["columns"]] == [
        ("size", "number"),
        ("kind", "category"),
    ]
    assert card["classes"] == ["0", "1"]
    named = save(tmp_path / "b.npz", X=np.stack([rows, rows % 7], axis=1), y=rows % 2, names=["id", "day"])
    assert cut(named, drop="id").card["input_shape"] == [1]


def test_a_csv_file_is_read_whatever_it_is_cut_by(tmp_path: Path) -> None:
    columns = {"ß": range(50), "colour": ["red", "green"] * 25, "size, cm": [0.5, 1.5] * 25, "kind": ["p", "q"] * 25}
    expected = cut(write(tmp_path / "a.csv", columns, ";"), target="kind")
    quoted = {f'"{name}"': [f'"{value}"' for value in column] for name, column in columns.items()}
    for at, delimiter in enumerate(",\t|"):
        other = write(tmp_path / f"{at}.csv", quoted, delimiter)
        other.write_bytes(b"\xef\xbb\xbf" + other.read_bytes().replace(b"\n", b"\r\n"))
        done = cut(other, target="kind")
        assert done.card == expected.card
        assert all(np.array_equal(done.all(name), expected.all(name)) for name in expected.shards[0])


def test_a_space_after_a_comma_is_none_of_a_value(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x, name\n" + '1, "a, b"\n2, c\n' * 20)
    assert cut(tmp_path / "a.csv", target="name").card["classes"] == ["a, b", "c"]


def test_a_category_is_a_column_for_each_value(tmp_path: Path) -> None:
    colours = ["red", "green", "", "red"] * 10
    done = cut(
        write(tmp_path / "a.csv", {"row": range(40), "colour": colours, "y": [0.5, 1] * 20}), target="y", shards=1
    )
    number, category = done.card["columns"]
    assert category == {"name": "colour", "kind": "category", "values": ["green", "red", None]}
    assert done.card["input_shape"] == [4]
    X = done.all("X")
    rows = np.rint(X[:, 0] * number["std"] + number["mean"]).astype(int)
    values = [category["values"][at] or "" for at in X[:, 1:].argmax(axis=1)]
    assert values == [colours[row] for row in rows]
    assert (X[:, 1:].sum(axis=1) == 1).all()
    assert "the column 'colour' lacks 10 values: a category of their own stands for them" in done.notes()


def test_a_missing_number_is_the_mean(tmp_path: Path) -> None:
    numbers = ["NA" if row % 5 == 0 else row for row in range(50)]
    done = cut(write(tmp_path / "a.csv", {"x": numbers, "y": ["a", "b"] * 25}), target="y", shards=1, test=0, valid=0)
    assert (done.all("X") == 0).sum() == 10
    [column] = done.card["columns"]
    assert column["mean"] == pytest.approx(25)
    assert "the column 'x' lacks 10 values: their mean stands for them" in done.notes()


def test_files_of_the_same_header_are_one_table(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / f"{at}.csv", {"x": range(20 * at, 20 * at + 20), "y": ["a", "b"] * 10}) for at in range(3)
    ]
    done = cut(*parts, target="y")
    assert sum(done.card["rows"].values()) == 60


def test_a_test_table_may_have_its_columns_in_another_order(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", {"x": range(20), "c": ["u", "v"] * 10, "y": ["a", "b"] * 10})
    test = write(tmp_path / "b.csv", {"y": ["b", "a"], "c": ["v", "new"], "more": [1, 2], "x": [30, ""]})
    done = cut(train, target="y", test_file=str(test), shards=1)
    x = done.card["columns"][0]
    rows = {int(y): X.tolist() for X, y in zip(done.all("test_X"), done.all("test_y"), strict=True)}
    assert rows[1] == [pytest.approx((30 - x["mean"]) / x["std"], rel=1e-5), 0, 1]
    assert rows[0] == [0, 0, 0]  # missing, and a value that no training row has


WHOLE: Any = [
    (["3", "1", "2"] * 20, ["1", "2", "3"], "taken as classes"),
    (["10", "9"] * 20, ["9", "10"], "taken as classes"),
    ([str(row) for row in range(60)], [], "too many different whole numbers"),
    (["3.0", "1.0"] * 20, [], ""),
    (["yes", "no"] * 20, ["no", "yes"], ""),
]


@pytest.mark.parametrize(("targets", "classes", "note"), WHOLE)
def test_a_target_is_classes_or_numbers(tmp_path: Path, targets: list[str], classes: list[str], note: str) -> None:
    done = cut(write(tmp_path / "a.csv", {"x": range(len(targets)), "y": targets}), target="y")
    assert done.card["classes"] == classes
    assert (done.card["task"] == "classification") == bool(classes)
    assert note in done.notes()
    assert bool(note) == ("whole numbers" in done.notes())


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path) -> None:
    done = cut(write(tmp_path / "a.csv", {"x": range(40), "y": ["a", "b", "?", "b"] * 10}), target="y", shards=1)
    assert sum(done.card["rows"].values()) == 30
    [column] = done.card["columns"]
    rows = np.rint(done.all("X")[:, 0] * column["std"] + column["mean"]).astype(int)
    assert not (rows % 4 == 2).any()
    assert "10 rows of a.csv have no target and are left out" in done.notes()


def test_no_more_than_a_shard_and_some_rows_are_in_memory(tmp_path: Path) -> None:
    rows, columns = 40_000, 64
    npz = save(tmp_path / "a.npz", X=np.zeros((rows, columns)) + np.arange(rows)[:, None], y=np.arange(rows) % 2)
    tracemalloc.start()
    for chunk in tables.split([npz], shards=32, chunk_size=500):
        del chunk
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < rows * columns * 8 / 3


def test_nothing_is_left_where_the_files_lay(npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    chunks = tables.split([npz])
    next(chunks)
    before = len(list(scratch.rglob("rows-*")))
    next(chunks)
    assert 0 < len(list(scratch.rglob("rows-*"))) < before  # what was read is gone already
    del chunks
    assert not list(scratch.iterdir())


@settings(max_examples=200)
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=6), share=st.floats(0, 0.9), seed=st.integers(0, 99))
def test_what_is_held_out_is_the_share_of_all_and_of_each_class(counts: list[int], share: float, seed: int) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    chosen = deal.held_out(y, share, is_classes=True, generator=np.random.default_rng(seed))
    assert abs(chosen.sum() - share * len(y)) < 1 + 1e-9
    for one, count in enumerate(counts):
        assert abs(chosen[y == one].sum() - share * count) < 2


def test_chance_decides_of_what_is_no_whole_number_of_rows() -> None:
    chosen = [deal.held_out(np.zeros(1), 0.5, is_classes=True, generator=deal.chance(seed, "")) for seed in range(100)]
    assert 30 < np.sum(chosen) < 70


@settings(max_examples=200)
@given(
    columns=st.lists(
        st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=7, max_size=7), min_size=1, max_size=4
    ),
    cuts=st.lists(st.integers(0, 7), max_size=3),
)
def test_moments_of_blocks_are_those_of_all_rows(columns: list[list[float]], cuts: list[int]) -> None:
    rows = np.array(columns).T
    found = moments.Moments(rows.shape[1])
    for block in np.split(rows, sorted(cuts)):
        found.add(block)
    for at, column in enumerate(rows.T):
        there = column[~np.isnan(column)]
        if there.size:
            assert np.isclose(found.mean[at], there.mean(), rtol=1e-9, atol=1e-6)
            expected = 1.0 if there.min() == there.max() else there.std()
            assert np.isclose(found.std[at], expected, rtol=1e-6, atol=1e-6)
        else:
            assert (found.mean[at], found.std[at]) == (0, 1)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(alphabet='a,;"\t|. \nö', max_size=6), min_size=6, max_size=12),
    delimiter=st.sampled_from(",;\t|"),
)
def test_any_text_in_quotes_is_a_value(texts: list[str], delimiter: str, tmp_path: Path) -> None:
    quoted = ['"' + text.replace('"', '""') + '"' for text in [*texts, *"xyz", *"xyz", *texts]]
    table = {"row": range(len(quoted)), "text": quoted, "y": [row % 2 == 0 for row in range(len(quoted))]}
    done = cut(write(tmp_path / "a.csv", table, delimiter), target="y", test=0, valid=0)
    values = {text.strip() for text in texts} | {*"xyz"}
    found = done.card["columns"][1]["values"]
    assert {value or "" for value in found} == values


def test_a_card_is_plain_json(npz: Path) -> None:
    [about], *_ = items(npz)
    text = about.data.decode()
    assert json.loads(text)["format"] == 1
    assert "NaN" not in text
