"""Tables of trees find the leaves that rows walk to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aggregators import submodels
from tests.kit import predict_models

np = pytest.importorskip("numpy")

from aggregators import predictor  # noqa: E402 - they need NumPy
from aggregators.ensemble.combiner import Combiner  # noqa: E402
from aggregators.ensemble.predictor import Ensemble  # noqa: E402
from aggregators.submodels import masks  # noqa: E402
from aggregators.submodels.about import About  # noqa: E402
from aggregators.submodels.boosting import Boosting  # noqa: E402
from aggregators.submodels.forest import Forest  # noqa: E402
from aggregators.submodels.trees import Trees  # noqa: E402

WIDTH = 5
NUMBERS = (-1.5, 0.0, 1.0, 2.5, 1e30)
"""Thresholds; rows have the same numbers, and others."""


def grown(leaves: Sequence[int], width: int = WIDTH) -> Trees:
    """Trees of so many leaves each, with random forms, columns and thresholds."""
    rng = np.random.default_rng(len(leaves))
    sizes: list[int] = []
    asks: list[bool] = []
    for most in leaves:
        left, waiting, before = most - 1, 1, len(asks)
        while waiting:
            asks.append(left > 0 and (waiting == 1 or rng.random() < 0.6))
            left, waiting = left - asks[-1], waiting + (1 if asks[-1] else -1)
        sizes.append(len(asks) - before)
    feature = np.where(asks, rng.integers(0, width, len(asks)), -1)
    return Trees(np.array(sizes), feature, rng.choice(NUMBERS, sum(asks)).astype(np.float32), width)


def rows(number: int) -> Any:
    odd = (-0.0, 0.5, np.nan, np.inf, -np.inf)
    return np.random.default_rng(0).choice([*NUMBERS, *odd], (number, WIDTH)).astype(np.float32)


def walked(trees: Trees, x: Any) -> Any:
    return np.concatenate([leaves for _, leaves in trees.leaves(x)]).T


def looked_up(made: masks.Masks | None, x: Any) -> list[list[int]]:
    """Of each row, the leaf of each tree."""
    assert made is not None
    found: list[list[int]] = [[] for _ in x]
    for some, leaves in made.leaves(x):
        for row, those in zip(range(some.start, some.stop), leaves.tolist(), strict=True):
            found[row] += those
    return found


@pytest.mark.parametrize("leaves", [[2], [1, 2, 3], [31] * 40, [32, 1, 7], [33, 5], [64] * 9, [*range(1, 65)]])
def test_tables_find_the_leaves_that_rows_walk_to(leaves: list[int]) -> None:
    trees, x = grown(leaves), rows(700)
    assert looked_up(masks.of(trees), x) == walked(trees, x).tolist()


def test_rows_in_pieces_and_trees_in_groups_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("BLOCK", 50), ("TREES", 7), ("PAIRS", 33)):
        monkeypatch.setattr(masks, name, value)
    trees, x = grown([9] * 15), rows(171)
    made = masks.of(trees, 3)
    assert made is not None
    assert [len(group.offset) for group in made.groups] == [6, 6, 3]
    assert looked_up(made, x) == walked(trees, x).tolist()


@pytest.mark.parametrize(
    "trees", [grown([65, 3]), grown([1, 1]), grown([30] * 60, masks.MOST_COLUMNS + 1)],
    ids=["many leaves", "no question", "many columns"],
)  # fmt: skip
def test_other_trees_have_no_tables(trees: Trees) -> None:
    assert masks.of(trees) is None


def test_tables_that_would_be_large_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = grown([31] * 40)
    made = masks.of(trees)
    assert made is not None
    size_bytes = sum(table.nbytes for group in made.groups for table in group.tables)
    monkeypatch.setattr(masks, "MOST_BYTES", size_bytes)
    assert masks.of(trees) is not None
    monkeypatch.setattr(masks, "MOST_BYTES", size_bytes - 1)
    assert masks.of(trees) is None


@pytest.mark.parametrize("scores", [1, 3])
def test_boosting_adds_up_the_same_bits_by_tables(monkeypatch: pytest.MonkeyPatch, scores: int) -> None:
    def said() -> Any:
        return boosting(grown([31] * 150), scores).scores(rows(300))

    quick = said()
    monkeypatch.setattr(masks, "MOST_LEAVES", 2)
    assert np.array_equal(quick, said())


def boosting(trees: Trees, scores: int = 1) -> Boosting:
    described = About("hgb", WIDTH, scores, None if scores == 1 else tuple(range(scores)))
    rng = np.random.default_rng(0)
    said = {"base": rng.normal(size=scores), "values": rng.normal(size=trees.leaves_count)}
    return Boosting(described, {**trees.arrays(), **said})


def tree() -> Forest:
    trees = grown([9])
    said = {"values": np.arange(9.0)[:, None], "leaf": np.arange(9)}
    return Forest(About("tree", WIDTH, 1, None), {**trees.arrays(), **said})


def bundle(folder: Path, kind: str, model: submodels.SubModel) -> Path:
    """An ensemble of one sub-model, whose ONNX file cannot be read."""
    told = {"format": 1, "models": [{"file": "it.npz", "kind": kind}], "combiner": Combiner("average", 1, 1).to_json()}
    card = predict_models.card(task="regression", classes=[], outputs=1, input_shape=[WIDTH])
    (folder / "ensemble.json").write_text(json.dumps(told))
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "it.npz").write_bytes(submodels.pack(model))
    (folder / "model.onnx").write_bytes(b"none")
    return folder


def test_an_ensemble_with_tables_needs_no_onnx_runtime(tmp_path: Path) -> None:
    model, x = boosting(grown([31] * 4)), rows(9)
    found = predictor.load(bundle(tmp_path, "hgb:trees=4", model))
    assert isinstance(found, Ensemble)
    assert np.array_equal(found.scores(x), model.scores(x))


@pytest.mark.parametrize(("kind", "make"), [("hgb", lambda: boosting(grown([65]))), ("tree", tree)])
def test_an_ensemble_without_tables_is_for_onnx_runtime(tmp_path: Path, kind: str, make: Any) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match=r"model\.onnx cannot be used by ONNX Runtime"):
        predictor.load(bundle(tmp_path, kind, make()))
