"""How the scores of sub-models become those of an ensemble."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregators.ensemble.combiner import HOWS, NEVER, Combiner, How, softmax


def made(how: How, models: int, outputs: int, seed: int = 0) -> Combiner:
    chance = np.random.default_rng(seed)
    if how == "weighted":
        return Combiner(how, models, outputs, weights=chance.dirichlet(np.ones(models)))
    if how == "stack":
        coefficients = chance.normal(size=(outputs, models * outputs))
        return Combiner(how, models, outputs, coefficients=coefficients, intercepts=chance.normal(size=outputs))
    return Combiner(how, models, outputs)


def probabilities(rows: int, models: int, outputs: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).dirichlet(np.ones(outputs), size=(rows, models)).astype(np.float32)


@pytest.mark.parametrize("how", HOWS)
@given(models=st.integers(1, 6), outputs=st.integers(2, 5), seed=st.integers(0, 99))
def test_each_row_sums_up_to_one(how: How, models: int, outputs: int, seed: int) -> None:
    found = made(how, models, outputs, seed).combine(probabilities(7, models, outputs, seed))

    assert found.shape == (7, outputs)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert (found >= 0).all()


@given(models=st.integers(1, 6), seed=st.integers(0, 99))
def test_order_of_sub_models_changes_no_vote(models: int, seed: int) -> None:
    scores = probabilities(20, models, 4, seed)
    order = np.random.default_rng(seed).permutation(models)
    for combiner in (made("vote", models, 4), made("average", models, 4)):
        np.testing.assert_allclose(combiner.combine(scores), combiner.combine(scores[:, order]), atol=1e-6)


def test_a_vote_beats_a_surer_minority() -> None:
    scores = np.array([[[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]]])

    assert made("vote", 3, 2).combine(scores).argmax() == 0
    assert made("average", 3, 2).combine(scores).argmax() == 1


def test_average_decides_between_equal_votes() -> None:
    scores = np.array([[[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]]])

    assert made("vote", 2, 3).combine(scores).argmax() == 1


def test_weights_are_those_of_sub_models() -> None:
    scores = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    weighted = Combiner("weighted", 2, 2, weights=np.array([0.75, 0.25]))

    np.testing.assert_allclose(weighted.combine(scores), [[0.75, 0.25]])


def test_a_class_that_stack_never_saw_gets_nothing() -> None:
    coefficients, intercepts = np.zeros((3, 6)), np.array([0.0, 0.0, NEVER])
    stack = Combiner("stack", 2, 3, coefficients=coefficients, intercepts=intercepts)

    np.testing.assert_allclose(stack.combine(probabilities(4, 2, 3)), [[0.5, 0.5, 0.0]] * 4)


def test_stack_of_numbers_is_linear() -> None:
    stack = Combiner("stack", 2, 1, coefficients=np.array([[0.5, 2.0]]), intercepts=np.array([1.0]))

    np.testing.assert_allclose(stack.combine(np.array([[[2.0], [3.0]]])), [[8.0]])


def test_softmax_stands_large_numbers() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0]])), [[1.0, 0.0]])


@pytest.mark.parametrize("how", HOWS)
def test_json_gives_the_same_bits_back(how: How) -> None:
    combiner = made(how, 3, 4, 5)
    back = Combiner.from_json(json.loads(json.dumps(combiner.to_json())))

    scores = probabilities(9, 3, 4)
    assert back.combine(scores).tobytes() == combiner.combine(scores).tobytes()
    with pytest.raises(dataclasses.FrozenInstanceError):
        back.models = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"how": "mean"}, "no combiner 'mean'"),
        ({"how": 3}, "no whole numbers"),
        ({"models": 0}, "joins nothing"),
        ({"outputs": 2.0}, "no whole numbers"),
        ({"weights": [0.5, 0.6]}, "sum up to 1"),
        ({"weights": [1.5, -0.5]}, "sum up to 1"),
        ({"weights": [1.0]}, "must have the shape"),
        ({"weights": [float("nan"), 1.0]}, "finite"),
        ({"weights": "a"}, "float"),
        ({"weights": None}, "must have the shape"),
        ({"intercepts": [0.0]}, "must have the shape"),
    ],
)
def test_a_damaged_combiner_is_refused(changes: dict[str, Any], says: str) -> None:
    told = Combiner("weighted", 2, 2, weights=np.array([0.5, 0.5])).to_json()

    with pytest.raises(ValueError, match=says):
        Combiner.from_json({**told, **changes})


def test_numbers_have_no_vote() -> None:
    with pytest.raises(ValueError, match="no combiner 'vote' for 1 outputs"):
        Combiner("vote", 3, 1)


def test_scores_of_other_sub_models_are_refused() -> None:
    with pytest.raises(ValueError, match="joins 3 sub-models with 2 outputs"):
        made("average", 3, 2).combine(probabilities(5, 2, 2))
