"""Fit a sub-model with scikit-learn, on one thread: the slots of a node are its cores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from aggregators.ensemble.parts import MOST_SCORE
from aggregators.submodels import SubModel, spec
from aggregators.submodels.about import About
from aggregators.submodels.spec import MOST_DEPTH, Spec
from tasks.ensemble import extract

DENSE = frozenset({"mlp", "logreg", "ridge"})
"""Kinds that are fitted on float64; for trees, float32 is exact."""


def fit(
    asked: Spec, x: npt.NDArray[Any], y: npt.NDArray[Any], classes: int, seed: int, notes: list[str] | None = None
) -> SubModel:
    """Fit one sub-model and return its arrays. Done again with the same arguments, it returns the same.

    Args:
        asked: Of a kind that is for the task.
        x: Encoded rows (rows, width) float32.
        y: (rows,): numbers of classes, or the scaled number.
        classes: How many the card has, of which the rows may lack some; 0 for regression.
        seed: Decides what the kind draws.
        notes: Gets a sentence for the person who submitted, where there is something to tell.

    Raises:
        ValueError: There are no rows, scikit-learn cannot be fitted on them, or what it made diverged.
    """
    if not len(x):
        raise ValueError("there are no rows to fit a sub-model on")
    spec.check(asked, "classification" if classes else "regression")
    values = np.asarray(y, np.int64 if classes else np.float64)
    seen = tuple(np.unique(values).tolist()) if classes else None
    about = About(asked.kind, x.shape[1], classes or 1, seen)
    if about.seen is not None and about.columns == 1:
        return extract.of_one_class(about)
    rows = np.asarray(x, np.float64 if asked.kind in DENSE else np.float32)
    fitted = _fitted(asked, rows, values, bool(classes), seed, notes if notes is not None else [])
    model = extract.extract(about, fitted)
    if asked.kind in DENSE:  # trees say no more than their rows
        _check_scores(model, rows)
    return model


def _check_scores(model: SubModel, rows: npt.NDArray[Any]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        most = float(np.abs(model.scores(rows)).max())
    if not most <= MOST_SCORE:
        raise ValueError(
            f"it diverged: it says {most:g} of one of its own rows, and the limit is {MOST_SCORE:g}; give it a smaller"
            " rate or a stronger l2, or mend what is far out in its rows"
        )


def _fitted(asked: Spec, rows: Any, values: Any, by_class: bool, seed: int, notes: list[str]) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    model = MAKE[asked.kind](dict(asked.parameters), by_class, seed % 2**32)
    with warnings.catch_warnings(record=True) as told, threadpool_limits(1):
        warnings.simplefilter("always")
        model.fit(rows, values)
    if any(issubclass(each.category, ConvergenceWarning) for each in told):
        limit = "epochs" if asked.kind == "mlp" else "iterations"
        notes.append(f"{asked} had not settled after its {asked.get(limit):,} {limit}; more may be better")
    return model


def _forest(trees: str) -> Callable[[Mapping[str, Any], bool, int], Any]:
    def make(told: Mapping[str, Any], by_class: bool, seed: int) -> Any:
        from sklearn import ensemble

        share = told["features"] or ("sqrt" if by_class else 1.0)
        return getattr(ensemble, f"{trees}{'Classifier' if by_class else 'Regressor'}")(
            told["trees"], max_depth=told["depth"] or MOST_DEPTH, min_samples_leaf=told["leaf"], max_features=share,
            n_jobs=1, random_state=seed,
        )  # fmt: skip

    return make


def _tree(told: Mapping[str, Any], by_class: bool, seed: int) -> Any:
    from sklearn import tree

    kind = tree.DecisionTreeClassifier if by_class else tree.DecisionTreeRegressor
    return kind(max_depth=told["depth"] or MOST_DEPTH, min_samples_leaf=told["leaf"], random_state=seed)


def _boosting(told: Mapping[str, Any], by_class: bool, seed: int) -> Any:
    """Early stopping would hold back rows of a part that has few."""
    from sklearn import ensemble

    kind = ensemble.HistGradientBoostingClassifier if by_class else ensemble.HistGradientBoostingRegressor
    return kind(
        learning_rate=told["rate"], max_iter=told["trees"], max_leaf_nodes=told["leaves"],
        max_depth=told["depth"] or MOST_DEPTH, min_samples_leaf=told["leaf"], l2_regularization=told["l2"],
        early_stopping=False, random_state=seed,
    )  # fmt: skip


def _mlp(told: Mapping[str, Any], by_class: bool, seed: int) -> Any:
    from sklearn import neural_network

    kind = neural_network.MLPClassifier if by_class else neural_network.MLPRegressor
    return kind(
        hidden_layer_sizes=told["units"], alpha=told["l2"], learning_rate_init=told["rate"], max_iter=told["epochs"],
        random_state=seed,
    )  # fmt: skip


def _logreg(told: Mapping[str, Any], by_class: bool, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=told["c"], max_iter=told["iterations"], random_state=seed)


def _ridge(told: Mapping[str, Any], by_class: bool, seed: int) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=told["l2"], random_state=seed)


MAKE: Mapping[str, Callable[[Mapping[str, Any], bool, int], Any]] = {
    "rf": _forest("RandomForest"),
    "et": _forest("ExtraTrees"),
    "hgb": _boosting,
    "mlp": _mlp,
    "logreg": _logreg,
    "ridge": _ridge,
    "tree": _tree,
}
"""One for each kind of ``aggregators.submodels.spec.KINDS``."""
