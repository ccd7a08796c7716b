"""Sub-models as arrays say what scikit-learn's models say."""

from __future__ import annotations

from typing import Any

import pytest

from aggregators import submodels
from aggregators.submodels import spec

np = pytest.importorskip("numpy")
pytest.importorskip("sklearn")

SMALL = {
    "rf": "rf:trees=10", "et": "et:trees=10", "tree": "tree", "hgb": "hgb:trees=8", "mlp": "mlp:units=16x8,epochs=20",
    "logreg": "logreg", "ridge": "ridge",
}  # fmt: skip
CLASSIFIERS = sorted(name for name, kind in spec.KINDS.items() if "classification" in kind.tasks)
REGRESSORS = sorted(name for name, kind in spec.KINDS.items() if "regression" in kind.tasks)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Fits a sub-model, and returns it after a journey with the model of scikit-learn's that it was taken from."""
    from tasks.ensemble import extract, fit

    def both(text: str, X: Any, y: Any, classes: int, seed: int = 0) -> tuple[submodels.SubModel, Any]:
        models: list[Any] = []
        taken = extract.extract

        def remembered(about: Any, model: Any) -> submodels.SubModel:
            models.append(model)
            return taken(about, model)

        with monkeypatch.context() as patch:
            patch.setattr(extract, "extract", remembered)
            made = fit.fit(spec.parse(text), X, y, classes, seed)
        return submodels.unpack(submodels.pack(made)), models[0]

    return both


def said(model: Any, kind: str, X: Any, by_class: bool) -> Any:
    """What scikit-learn says of rows."""
    rows = X.astype(np.float64) if kind in ("mlp", "logreg", "ridge") else X
    return model.predict_proba(rows) if by_class else model.predict(rows)[:, None]


def encoded(name: str) -> tuple[Any, Any]:
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return ((X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)).astype(np.float32), y


def agrees(kind: str, found: Any, wanted: Any) -> None:
    most = 0.0 if kind in ("rf", "et", "tree") else 1e-12
    assert np.abs(found - wanted).max() <= most
    assert (found.argmax(axis=1) == wanted.argmax(axis=1)).all()


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine"])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classifiers_say_what_scikit_learn_says(fitted: Any, kind: str, name: str) -> None:
    X, y = encoded(name)
    model, original = fitted(SMALL[kind], X[::2], y[::2], int(y.max()) + 1)
    agrees(kind, model.scores(X), said(original, kind, X, True))
    assert (model.kind, model.outputs) == (kind, y.max() + 1)


@pytest.mark.parametrize("kind", REGRESSORS)
def test_regressors_say_what_scikit_learn_says(fitted: Any, kind: str) -> None:
    X, y = encoded("diabetes")
    y = (y - y.mean()) / y.std()
    model, original = fitted(SMALL[kind], X[::2], y[::2], 0)
    agrees(kind, model.scores(X), said(original, kind, X, False))
    assert model.outputs == 1


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classes_that_were_never_seen_are_zero(fitted: Any, kind: str) -> None:
    X, y = encoded("digits")
    known = np.isin(y, [1, 4, 7])
    model, original = fitted(SMALL[kind], X[known][::2], y[known][::2], 12)
    found = model.scores(X)
    assert found.shape == (len(X), 12)
    agrees(kind, found[:, [1, 4, 7]], said(original, kind, X, True))
    assert not np.delete(found, [1, 4, 7], axis=1).any()


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_rows_of_one_class_make_a_model_that_is_sure(kind: str) -> None:
    from tasks.ensemble import fit

    X, _ = encoded("wine")
    model = fit.fit(spec.parse(SMALL[kind]), X, np.full(len(X), 2), 4, 0)
    found = submodels.unpack(submodels.pack(model)).scores(X)
    assert (found == [0, 0, 1, 0]).all()
