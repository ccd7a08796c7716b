"""The ONNX files of ensembles: sound, and saying what NumPy says."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from aggregators import submodels
from aggregators.submodels import spec

np = pytest.importorskip("numpy")
pytest.importorskip("sklearn")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from aggregators import onnx_ensemble  # noqa: E402
from aggregators.ensemble.combiner import Combiner  # noqa: E402
from aggregators.likeliest import likeliest  # noqa: E402

CLASSIFIERS = ["rf:trees=7", "et:trees=3,leaf=4", "tree", "hgb:trees=4", "mlp:units=12x8,epochs=5", "logreg"]
REGRESSORS = ["rf:trees=7", "et:trees=3,leaf=4", "tree", "hgb:trees=4", "mlp:units=12x8,epochs=5", "ridge"]


def run(written: bytes, rows: Any) -> Any:
    """What ONNX Runtime says of rows, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(written, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": rows})[0]


@cache
def fitted(task: str, kind: str) -> submodels.SubModel:
    """A sub-model; those for 10 classes never saw two of them, those for a binary task saw both."""
    from tasks.ensemble import fit

    X, y = table(task)
    known = y < 8 if task == "digits" else np.ones(len(y), bool)
    classes = {"digits": 10, "binary": 2, "numbers": 0}[task]
    return fit.fit(spec.parse(kind), X[known][::3], y[known][::3], classes, 5)


@cache
def table(task: str) -> tuple[Any, Any]:
    from sklearn import datasets

    names = {"digits": "digits", "binary": "breast_cancer", "numbers": "diabetes"}
    X, y = getattr(datasets, f"load_{names[task]}")(return_X_y=True)
    y = (y - y.mean()) / y.std() if task == "numbers" else y
    return ((X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)).astype(np.float32), y


def agrees(models: list[submodels.SubModel], combiner: Combiner, rows: Any) -> None:
    written = onnx_ensemble.write(models, combiner)
    onnx.checker.check_model(onnx.load_from_string(written), full_check=True)
    wanted = combiner.combine(np.stack([each.scores(rows) for each in models], axis=1))
    found = run(written, rows)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-6
    assert (likeliest(found) == likeliest(wanted)).all()


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("task", ["digits", "binary"])
def test_a_file_says_what_its_classifier_says(task: str, kind: str) -> None:
    model = fitted(task, kind)
    agrees([model], Combiner("average", 1, model.outputs), table(task)[0])


@pytest.mark.parametrize("kind", REGRESSORS)
def test_a_file_says_what_its_regressor_says(kind: str) -> None:
    agrees([fitted("numbers", kind)], Combiner("average", 1, 1), table("numbers")[0])


@pytest.mark.parametrize("how", ["vote", "average", "weighted", "stack"])
@pytest.mark.parametrize("task", ["digits", "binary", "numbers"])
def test_each_combiner_joins_sub_models_as_numpy_does(task: str, how: Any) -> None:
    if (task, how) == ("numbers", "vote"):
        return
    models = [fitted(task, kind) for kind in (REGRESSORS if task == "numbers" else CLASSIFIERS)]
    outputs, draw = models[0].outputs, np.random.default_rng(0)
    share = draw.random(len(models))
    told: dict[str, Any] = {}
    if how == "weighted":
        told = {"weights": share / share.sum()}
    if how == "stack":
        told = {
            "coefficients": draw.normal(size=(outputs, len(models) * outputs)),
            "intercepts": draw.normal(size=outputs),
        }
    agrees(models, Combiner(how, len(models), outputs, **told), table(task)[0])


def test_one_row_and_no_row_are_answered() -> None:
    model = fitted("digits", "rf:trees=7")
    written = onnx_ensemble.write([model], Combiner("average", 1, 10))
    rows = table("digits")[0]
    assert np.abs(run(written, rows[:1]) - model.scores(rows[:1])).max() < 1e-6
    assert run(written, rows[:0]).shape == (0, 10)


def test_a_model_of_one_class_is_written() -> None:
    from tasks.ensemble import fit

    rows = table("digits")[0]
    models = [fit.fit(spec.parse(kind), rows, np.full(len(rows), 3), 5, 0) for kind in CLASSIFIERS]
    agrees(models, Combiner("average", len(models), 5), rows[:9])


def test_the_reference_of_onnx_says_the_same() -> None:
    from onnx.reference import ReferenceEvaluator

    models = [fitted("digits", kind) for kind in ("tree", "rf:trees=7", "mlp:units=12x8,epochs=5", "logreg")]
    combiner = Combiner("vote", 4, 10)
    rows = table("digits")[0][:20]
    evaluator = ReferenceEvaluator(onnx.load_from_string(onnx_ensemble.write(models, combiner)))
    found: Any = next(iter(evaluator.run(None, {"x": rows})))
    assert np.abs(found - combiner.combine(np.stack([each.scores(rows) for each in models], axis=1))).max() < 1e-6


def test_files_of_the_same_model_are_the_same() -> None:
    model = fitted("digits", "hgb:trees=4")
    again = submodels.unpack(submodels.pack(model))
    combiner = Combiner("average", 1, 10)
    assert onnx_ensemble.write([model], combiner) == onnx_ensemble.write([again], combiner)


def test_a_combiner_of_other_sub_models_is_refused() -> None:
    with pytest.raises(ValueError, match="joins 2 sub-models with 10 outputs"):
        onnx_ensemble.write([fitted("digits", "tree")], Combiner("average", 2, 10))


def test_trees_too_many_for_a_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_ensemble, "MOST_NODES", 100)
    with pytest.raises(onnx_ensemble.TooLarge, match="nodes; an ONNX file is written for up to 100"):
        onnx_ensemble.write([fitted("digits", "tree")], Combiner("average", 1, 10))
