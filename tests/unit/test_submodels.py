"""Sub-models as arrays say what scikit-learn's models say."""

from __future__ import annotations

from typing import Any

import pytest

from aggregators import submodels
from aggregators.submodels import spec
from tests.kit.programs import DATA

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


@pytest.mark.parametrize("kind", ["rf", "hgb", "mlp"])
def test_a_row_has_the_same_scores_alone_and_among_many(fitted: Any, kind: str) -> None:
    """Trees walk together for few rows, and one after another for many."""
    X, y = encoded("digits")
    model, _ = fitted(SMALL[kind], X[::2], y[::2], 10)
    many = model.scores(np.tile(X, (5, 1)))
    few = np.concatenate([model.scores(X[at : at + size]) for at, size in ((0, 1), (1, 40), (41, 400))])
    most = 0 if kind == "rf" else 1e-12
    assert np.abs(many[:441] - few).max() <= most
    assert np.abs(many[: len(X)] - many[-len(X) :]).max() <= most
    assert model.scores(X[:0]).shape == (0, 10)


def test_rows_of_another_width_are_refused(fitted: Any) -> None:
    X, y = encoded("wine")
    model, _ = fitted("tree", X, y, 3)
    with pytest.raises(ValueError, match=r"takes rows of 13 numbers, and these are \(178, 12\)"):
        model.scores(X[:, 1:])


def test_rows_of_one_column_make_a_model(fitted: Any) -> None:
    X, y = encoded("wine")
    for kind in CLASSIFIERS:
        model, original = fitted(SMALL[kind], X[:, 6:7], y, 3)
        agrees(kind, model.scores(X[:, 6:7]), said(original, kind, X[:, 6:7], True))


def test_equal_fits_make_equal_bytes() -> None:
    from tasks.ensemble import fit

    X, y = encoded("wine")
    for kind in CLASSIFIERS:
        first, second, other = (fit.fit(spec.parse(SMALL[kind]), X, y, 3, seed) for seed in (1, 1, 2))
        assert submodels.pack(first) == submodels.pack(second)
        assert kind in ("logreg", "hgb") or submodels.pack(first) != submodels.pack(other)


def test_a_fit_that_has_not_settled_is_told() -> None:
    from tasks.ensemble import fit

    X, y = encoded("wine")
    notes: list[str] = []
    fit.fit(spec.parse("mlp:epochs=2"), X, y, 3, 0, notes)
    assert notes == ["mlp:epochs=2 had not settled after its 2 epochs; more may be better"]


def test_what_cannot_be_fitted_is_refused() -> None:
    from tasks.ensemble import fit

    with pytest.raises(ValueError, match="no rows"):
        fit.fit(spec.parse("tree"), np.zeros((0, 3), np.float32), np.zeros(0), 3, 0)
    with pytest.raises(ValueError, match="logreg is for classification"):
        fit.fit(spec.parse("logreg"), np.zeros((4, 3), np.float32), np.zeros(4), 0, 0)


LETTER = {"rf": "rf:trees=30", "et": "et:trees=10", "hgb": "hgb:trees=3", "mlp": "mlp:epochs=8"}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_letters_have_the_classes_that_scikit_learn_gives_them(fitted: Any, kind: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from aggregators import onnx_ensemble
    from aggregators.ensemble.combiner import Combiner

    path = DATA / "tables" / "letter.npz"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    with np.load(path) as opened:
        X, y = opened["X"].astype(np.float32), np.unique(opened["y"], return_inverse=True)[1]
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    model, original = fitted(LETTER.get(kind, kind), X[:3000], y[:3000], 26)
    rows = X[14_000:]
    wanted = said(original, kind, rows, True)
    agrees(kind, model.scores(rows), wanted)
    written = onnx_ensemble.write([model], Combiner("average", 1, 26))
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": rows})[0]
    assert np.abs(found - wanted).max() < 1e-6
    assert (found.argmax(axis=1) == wanted.argmax(axis=1)).all()
