"""Take the arrays out of fitted scikit-learn models."""

from __future__ import annotations

from typing import Any

import numpy as np

from aggregators.submodels import SubModel, boosting, dense, forest
from aggregators.submodels.about import About
from aggregators.submodels.trees import Plain


def extract(about: About, model: Any) -> SubModel:
    """Return a fitted model of scikit-learn's as arrays.

    Args:
        about: Its classes are those of ``model.classes_``, as numbers of the card's classes.
        model: One that ``fit`` made.
    """
    if about.kind in forest.KINDS:
        return _forest(about, [model] if about.kind == "tree" else model.estimators_)
    if about.kind == "hgb":
        return _boosting(about, model)
    if about.kind == "mlp":
        layers = list(zip(model.coefs_, model.intercepts_, strict=True))
    else:
        layers = [(np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_))]
    return dense.Dense(about, dense.named(layers))


def of_one_class(about: About) -> SubModel:
    """Return a model of a single class: most of scikit-learn's refuse to be fitted on one."""
    one = [Plain(np.array([-1]), np.array([-1]), np.array([-1]), np.zeros(1))]
    if about.kind in forest.KINDS:
        return forest.of(about, one, [np.ones((1, 1))])
    if about.kind == "hgb":
        return boosting.of(about, one, [np.zeros(1)], np.zeros(1))
    return dense.Dense(about, dense.named([(np.zeros((about.width, 1)), np.zeros(1))]))


def _forest(about: About, models: list[Any]) -> SubModel:
    trees = [model.tree_ for model in models]
    plain = [_plain(tree.children_left, tree.children_right, tree.feature, tree.threshold) for tree in trees]
    return forest.of(about, plain, [np.asarray(tree.value[:, 0, :], np.float64) for tree in trees])


def _boosting(about: About, model: Any) -> SubModel:
    nodes = [each.nodes for iteration in model._predictors for each in iteration]
    plain = [
        _plain(
            np.where(each["is_leaf"], -1, each["left"].astype(np.int64)), each["right"], each["feature_idx"],
            each["num_threshold"],
        )
        for each in nodes
    ]  # fmt: skip
    base = np.asarray(model._baseline_prediction, np.float64).reshape(-1)
    return boosting.of(about, plain, [np.asarray(each["value"], np.float64) for each in nodes], base)


def _plain(left: Any, right: Any, feature: Any, threshold: Any) -> Plain:
    return Plain(
        np.asarray(left, np.int64), np.asarray(right, np.int64), np.asarray(feature, np.int64),
        np.asarray(threshold, np.float64),
    )  # fmt: skip
