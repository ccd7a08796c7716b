"""Rows that are predicted are encoded as those that were learned from."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from splitters import tables
from tests.kit import predict_models

np = pytest.importorskip("numpy")

from splitters.tables.encoding import Encoder  # noqa: E402 - needs NumPy

CARD: Any = predict_models.card()
BLUE, RED, MISSING = ([1, 0, 0], [0, 1, 0], [0, 0, 1])


def encoded(columns: Any, problems: Any = None, card: Any = CARD) -> Any:
    return Encoder.of(card).columns(columns, problems).tolist()


def test_shards_and_rows_to_predict_are_encoded_alike(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [
        f"{number / 7:.3f},{'' if number % 5 == 0 else 'abc'[number % 3]},{'xy'[number % 2]}" for number in range(60)
    ]
    path.write_text("\n".join(["size,letter,kind", *lines]))
    [about], shard = tables.split([path], target="kind", shards=1)
    arrays = tables.arrays(shard)
    columns = dict(zip(("size", "letter", "kind"), zip(*(line.split(",") for line in lines), strict=True), strict=True))
    found = Encoder.of(json.loads(about.data)).columns(columns)
    expected = np.concatenate([arrays["X"], arrays["valid_X"], arrays["test_X"]])
    assert found.dtype == np.float32
    assert sorted(found.tolist()) == sorted(expected.tolist())


def test_columns_are_found_by_name_in_any_order() -> None:
    columns = {"colour": ["red", "blue"], "id": ["7", "8"], "size": ["7", "3"]}
    assert encoded(columns) == [[1, *RED], [-1, *BLUE]]


def test_missing_columns_are_named_with_those_that_are_there() -> None:
    with pytest.raises(
        ValueError, match=r"no column 'size' \(it has: Size, id\).*did you mean Size.*'size', 'colour' are"
    ):
        encoded({"Size": ["1"], "id": ["2"]})


def test_an_unseen_text_of_a_category_counts_as_missing() -> None:
    columns = {"size": ["5"] * 4, "colour": ["green", "", "NA", "red"]}
    assert encoded(columns) == [[0, *MISSING], [0, *MISSING], [0, *MISSING], [0, *RED]]
    told: Any = predict_models.card(
        columns=[{"name": "colour", "kind": "category", "values": ["red"]}], input_shape=[1]
    )
    assert encoded({"colour": ["green", "", "red"]}, card=told) == [[0], [0], [1]]


def test_numbers_stand_for_the_texts_of_a_category() -> None:
    told: Any = predict_models.card(columns=[{"name": "door", "kind": "category", "values": ["2", "4", "4.5", "True"]}])
    assert encoded({"door": np.array([4, 2])}, card=told) == [[0, 1, 0, 0], [1, 0, 0, 0]]
    assert encoded({"door": np.array([4.5, np.nan])}, card=told) == [[0, 0, 1, 0], [0, 0, 0, 0]]
    assert encoded({"door": ["true", "True"]}, card=told) == [[0, 0, 0, 1], [0, 0, 0, 1]]


def test_a_text_among_numbers_is_told_and_its_row_left_empty() -> None:
    problems: dict[int, str] = {}
    columns = {"size": ["7", "abc", "inf", "NaN"], "colour": ["red"] * 4}
    assert encoded(columns, problems) == [[1, *RED], [0, 0, 0, 0], [0, 0, 0, 0], [0, *RED]]
    assert problems == {1: "'size' has 'abc', which is no number", 2: "'size' is infinite"}
    with pytest.raises(ValueError, match="row 1: 'size' has 'abc'"):
        encoded(columns)


def test_arrays_are_scaled_by_the_card() -> None:
    told: Any = predict_models.card(
        source="arrays", columns=[], input_shape=[2], scaling={"axis": 1, "mean": [1, 2], "std": [1, 4]}
    )
    problems: dict[int, str] = {}
    X = np.array([[2, np.nan], [np.inf, 0], [1, 6]])
    assert Encoder.of(told).array(X, problems).tolist() == [[1, 0], [0, 0], [0, 1]]
    assert problems == {1: "X has an infinite number"}
    for odd, why in (((3, 3), r"shape \(3,\); the model takes \(2,\)"), ((3,), r"shape \(\)")):
        with pytest.raises(ValueError, match=why):
            Encoder.of(told).array(np.zeros(odd))
    with pytest.raises(ValueError, match="must hold numbers"):
        Encoder.of(told).array(np.array([["a", "b"]]))
    with pytest.raises(ValueError, match="takes arrays of 2, not columns"):
        Encoder.of(told).columns({"a": ["1"]})


def test_an_array_of_a_table_has_a_number_for_each_column() -> None:
    found = Encoder.of(CARD).array(np.array([[7, 1], [3, 0], [5, 2], [5, 9], [5, 0.5]]))
    assert found.tolist() == [[1, *RED], [-1, *BLUE], [0, *MISSING], [0, *MISSING], [0, *MISSING]]


PICTURES: Any = predict_models.card(
    source="pictures", columns=[], input_shape=[3, 2, 4], dtype="uint8",
    picture={"width": 4, "height": 2, "grey": False}, scaling={"axis": 1, "mean": [0] * 3, "std": [1] * 3},
)  # fmt: skip


def test_pictures_come_in_the_size_of_the_training(tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    Image.new("RGB", (8, 4), (250, 100, 0)).save(out, "PNG")
    X, problems = Encoder.of(PICTURES).pictures([out.getvalue(), b"none"])
    assert X.shape == (2, 3, 2, 4)
    assert X[0, :, 0, 0].tolist() == [250, 100, 0]
    assert list(problems) == [1]
    with pytest.raises(ValueError, match="takes the columns 'size', 'colour', and no pictures"):
        Encoder.of(CARD).pictures([])


def test_bytes_may_have_channels_last_and_must_be_bytes() -> None:
    X = np.arange(24).reshape(1, 2, 4, 3)
    assert Encoder.of(PICTURES).array(X).tolist() == np.moveaxis(X, -1, 1).tolist()
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        Encoder.of(PICTURES).array(np.full((1, 3, 2, 4), 0.5))


@pytest.mark.parametrize("card", [{}, {**CARD, "columns": [{"name": "a"}]}, {**CARD, "columns": None}])
def test_a_damaged_card_is_told(card: Any) -> None:
    with pytest.raises(ValueError, match="card is damaged"):
        Encoder.of(card)
