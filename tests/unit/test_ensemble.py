"""An ensemble round by round: what its steps make of parts, whoever hands them in, and how often."""

from __future__ import annotations

import importlib.util
import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregators import NoResult, ensemble, submodels
from aggregators import predictor as predictors
from aggregators.ensemble import arrays, bundle, choice, predictor
from aggregators.ensemble.combiner import HOWS, Combiner
from aggregators.submodels.dense import Dense
from cluster import catalog, errors
from tasks.ensemble import fit, turns
from tests.kit.ensembles import Made
from tests.kit.tables import save, write

pytest.importorskip("sklearn")
KINDS = "tree:depth=4 logreg"


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    """Three classes around three points, in four numbers."""
    chance = np.random.default_rng(3)
    y = np.arange(360) % 3
    return save(tmp_path / "blobs.npz", X=chance.normal(size=(360, 4)) + 1.5 * np.eye(3, 4)[y], y=y)


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A number that two columns make, in a CSV file."""
    chance = np.random.default_rng(4)
    a, b = chance.normal(size=(2, 300))
    return write(tmp_path / "line.csv", {"a": a, "b": b, "y": 50 + 10 * a - 3 * b + chance.normal(size=300)})


def unpacked(model: Any, folder: Path) -> predictor.Ensemble:
    for name, data in model.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return predictor.load(folder)


@pytest.mark.parametrize("by", ["rows", "sample", "all"])
def test_classes_are_told_from_each_other(blobs: Path, by: str) -> None:
    report = Made(blobs, kind=KINDS, parts=3, by=by).model().report

    assert report["test"]["accuracy"] > 0.7 > report["baseline"]["accuracy"]
    assert sum(map(sum, report["test"]["confusion"])) == report["test"]["rows"] == report["rows"]["test"] == 72
    assert set(report["combine"]["validation"]) == set(HOWS)
    assert report["combine"]["chosen"] in HOWS
    assert [(one["kind"], one["part"]) for one in report["sub_models"]] == [
        (kind, part) for kind in KINDS.split() for part in range(3)
    ]


def test_numbers_come_close(line: Path) -> None:
    report = Made(line, target="y", kind="ridge tree:depth=5", parts=2, by="sample").model().report

    assert report["task"] == "regression"
    assert set(report["combine"]["validation"]) == {"average", "weighted", "stack"}
    assert report["test"]["rmse"] < 2 < report["baseline"]["rmse"]
    assert report["test"]["mae"] < report["test"]["rmse"]
    assert report["test"]["r2"] > 0.95


def test_the_bundle_answers_as_the_test_round_did(blobs: Path, line: Path, tmp_path: Path) -> None:
    for name, source, options in (("c", blobs, {}), ("n", line, {"target": "y"})):
        made = Made(source, parts=2, by="rows", kind="tree rf:trees=5", **options)
        model = made.model()
        loaded = unpacked(model, tmp_path / name)
        rows = np.concatenate([one["test_X"] for one in map(made.arrays, range(made.shards))])
        y = np.concatenate([one["test_y"] for one in map(made.arrays, range(made.shards))])
        scores = loaded.scores(rows)
        if name == "c":
            assert (scores.argmax(axis=1) == y).mean() == pytest.approx(model.report["test"]["accuracy"], abs=1e-6)
        else:
            scale = made.card["target_scale"]
            error = scores[:, 0] - (y * scale["std"] + scale["mean"])
            assert np.sqrt((error**2).mean()) == pytest.approx(model.report["test"]["rmse"], rel=1e-5)


def test_onnx_gives_what_numpy_gives(blobs: Path, line: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    for name, source, options in (("c", blobs, {}), ("n", line, {"target": "y"})):
        made = Made(source, parts=2, by="rows", kind="tree:depth=4 rf:trees=5", **options)
        folder = tmp_path / name
        exact = unpacked(made.model(), folder)
        rows = made.arrays(0)["test_X"]

        found = predictors.load(folder).scores(rows)

        unit = (made.card["target_scale"] or {"std": 1})["std"]
        np.testing.assert_allclose(found / unit, exact.scores(rows) / unit, atol=2e-6)


def test_trees_that_are_too_many_for_onnx_are_noted(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aggregators.onnx_ensemble.MOST_NODES", 3)
    model = Made(blobs, parts=2, kind="tree").model()

    assert "model.onnx" not in model.files
    assert "there is no model.onnx, so NumPy answers: the trees have" in model.report["notes"][-1]


def test_no_rows_for_a_bundle_give_no_scores(blobs: Path, tmp_path: Path) -> None:
    loaded = unpacked(Made(blobs, parts=2, kind="tree").model(), tmp_path / "m")

    assert loaded.scores(np.zeros((0, 4), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("how", HOWS)
def test_the_combiner_that_is_asked_for_is_used(blobs: Path, how: str) -> None:
    report = Made(blobs, parts=3, by="rows", kind="tree:depth=3", combine=how).model().report

    assert report["combine"]["chosen"] == how
    assert list(report["combine"]["validation"]) == [how]


def test_a_stack_is_fitted_on_rows_that_none_has_seen(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(blobs, parts=3, by="rows", kind="tree").until("predict")
    models = made.view.models
    [shard] = [made.arrays(0)]
    parts = made.turns()

    found = arrays.load(parts[0]["stack"], np.float32, (None, 3, 3), "stack")
    for row, seen, said in zip(shard["stack_X"], shard["stack_seen"], found, strict=True):
        own = np.array([model.scores(row[None])[0] for model in models])
        assert seen.sum() == 1
        np.testing.assert_allclose(said[~seen], own[~seen], atol=1e-6)
        np.testing.assert_allclose(said[seen][0], own[~seen].mean(axis=0), atol=1e-6)


def test_own_rows_are_replaced_by_the_same_kind_first() -> None:
    scores = np.arange(8, dtype=np.float32).reshape(2, 4, 1)
    unseen = np.array([[False, True, False, True], [False, False, True, True]])

    found = turns.replaced(scores, unseen, ["a", "a", "b", "b"])[:, :, 0]

    assert found[0].tolist() == [1, 1, 3, 3]
    assert found[1].tolist() == [6.5, 6.5, 6, 7]  # of "a" none is left: the mean of all that are


def test_a_turn_done_again_gives_the_same(blobs: Path) -> None:
    made = Made(blobs, parts=2, by="sample", kind="rf:trees=3 logreg")
    while made.step.kind:
        first, again = ({**made.turn(1), "seconds": 0} for _ in range(2))
        kept: dict[str, Any] = {}
        made.turn(1, kept)
        assert {**made.turn(1, kept), "seconds": 0} == first == again
        made.close()


def test_a_step_done_again_gives_the_same_after_a_resume(blobs: Path) -> None:
    made = Made(blobs, parts=2, by="sample", kind="rf:trees=3")
    while made.step.kind:
        parts, state = made.turns(), made.state
        closed = made.closed(parts)
        first = ensemble.step(state, closed, made.about)
        again = ensemble.step(ensemble.load(ensemble.dump(state)), closed, made.about)
        assert ensemble.dump(first.state) == ensemble.dump(again.state)
        assert first._replace(state=None) == again._replace(state=None)
        made.close(parts)


def test_the_same_seed_gives_the_same_bundle(blobs: Path) -> None:
    def files(seed: int) -> Any:
        return {**Made(blobs, parts=2, by="sample", kind="rf:trees=3", seed=seed).model().files, "curve.json": b""}

    assert files(1) == files(1)
    assert files(1) != files(2)


def test_it_goes_on_without_a_sub_model_that_failed(blobs: Path) -> None:
    made = Made(blobs, parts=4, by="rows", kind="tree:depth=4")
    parts = made.turns()
    del parts[1]
    parts[2] |= {"model": b"", "problem": "ValueError: odd"}

    with pytest.raises(NoResult, match="2 of 4 sub-models were fitted, and an ensemble needs 60% of them"):
        made.close(parts, {1: "MemoryError: "})
    parts[2] = made.turn(2)
    step = made.close(parts, {1: "MemoryError: no room"})

    assert step.missing == {"tree:depth=4 of part 1": "MemoryError: no room (on n1)"}
    report = made.model().report
    assert [one["part"] for one in report["sub_models"]] == [0, 2, 3]
    assert report["missing"] == [{"kind": "tree:depth=4", "part": 1, "why": "MemoryError: no room", "node": "n1"}]
    assert report["test"]["accuracy"] > 0.6


def diverged(model: Any) -> bytes:
    """A network that says more than a float32 holds."""
    large = {name: np.sign(array) * 9e19 for name, array in model.arrays().items()}
    return submodels.pack(Dense(model.about, large))


def test_a_regressor_that_diverged_is_named_and_left_out(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(line, target="y", kind="ridge", parts=3)
    [fitted, *others] = made.turns().values()

    class Diverged:
        coef_, intercept_ = np.full(2, 1e45), 0.0

    monkeypatch.setattr(fit, "_fitted", lambda *told: Diverged())
    lost = made.turn(0)
    assert lost["model"] == b""
    step = made.close({0: lost, 1: others[0], 2: others[1]})

    [(name, why)] = step.missing.items()
    assert name == "ridge of part 0"
    assert re.search(r"it diverged: it says \S+e\+4\d of one of its own rows.* smaller rate", why)
    assert made.model().report["test"]["rmse"] < 5
    assert fitted["problem"] == ""


def test_one_that_is_far_out_elsewhere_does_not_cost_the_others_their_rows(line: Path) -> None:
    made = Made(line, target="y", kind="mlp:units=8,rate=0.1", parts=3)
    parts = made.turns()
    parts[0] |= {"model": diverged(submodels.unpack(parts[0]["model"]))}
    made.close(parts)
    step = made.close()

    assert step.rejected == {}
    assert made.model().report["combine"]["chosen"] in ("weighted", "stack")


def test_a_sub_model_of_junk_is_rejected_and_named(blobs: Path) -> None:
    made = Made(blobs, parts=4, by="rows", kind="tree:depth=4 logreg")
    parts = made.turns()
    parts[0] = {**parts[0], "model": b"junk"}
    parts[1] = {**parts[1], "model": parts[4]["model"]}
    step = made.close(parts)

    assert set(step.rejected) == {0, 1}
    assert "kind logreg, and tree:depth=4 was asked for" in step.rejected[1]
    assert len(made.state.models) == 6


HEADERS = [
    b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
    for header in (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 6, 3)}\n", b"(" * 5000, b"{[]: 1}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000000000000, 6, 3)}\n",
    )
]  # fmt: skip
"""Of arrays that are none, or too large for any machine."""


@pytest.mark.parametrize("kind", ["fit", "predict", "combine", "test"])
def test_parts_of_junk_change_nothing_but_are_rejected(blobs: Path, kind: str) -> None:
    made = Made(blobs, parts=3, by="rows", kind="tree:depth=4 logreg").until(kind)
    parts = made.turns()
    for name, value in list(parts[0].items()):
        if isinstance(value, bytes):
            others = arrays.dump(np.full(3, np.nan, np.float32)), arrays.dump(np.zeros((2, 2)))
            for junk in (b"", b"junk", *HEADERS, *others):
                step = ensemble.step(made.state, made.closed({**parts, 0: {**parts[0], name: junk}}), made.about)
                assert set(step.rejected) == {0}
        elif isinstance(value, dict):
            for odd in ({"rows": 3}, {**value, "more": "x"}, {**value, "of_second": b"x"}):
                step = ensemble.step(made.state, made.closed({**parts, 0: {**parts[0], name: odd}}), made.about)
                assert set(step.rejected) == {0}
    step = ensemble.step(made.state, made.closed({**parts, 0: {**parts[0], "kind": "other"}}), made.about)
    assert step.rejected == {0: "it is of another round"}


FIT = {"kind": "fit", "model": b"", "rows": 1, "seconds": 1.0, "notes": [], "problem": ""}


@pytest.mark.parametrize(
    "value",
    [
        None, 3, {}, {"kind": "x"}, {"kind": "fit"}, {**FIT, "model": "a"}, {**FIT, "rows": -1},
        {**FIT, "seconds": float("nan")}, {**FIT, "notes": [3]},
        {**FIT, "problem": "x" * 2001}, {**FIT, "notes": ["x" * 2001]}, {**FIT, "notes": ["x"] * 21},
        {"kind": "combine", "stacks": [], "problem": "x" * 2001},
        {"kind": "predict", "scores": b"", "y": b"", "stack": b""}, {"kind": "test", "sums": []},
    ],
)  # fmt: skip
def test_a_value_of_another_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        catalog.ENSEMBLE.check_part(value)


def test_a_long_error_is_cut_off_so_that_it_can_be_handed_in(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*told: Any) -> None:
        raise ValueError("odd " * 1000)

    monkeypatch.setattr(fit, "_fitted", refuse)

    assert Made(blobs, parts=2, kind="tree").turn(0)["problem"].startswith("ValueError: odd odd")


def test_the_size_of_a_large_onnx_file_is_told(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(blobs, parts=2, kind="tree").until("")
    assert not any("model.onnx" in note for note in made.model().report["notes"])

    monkeypatch.setattr(bundle, "LARGE_BYTES", 100)
    [note] = [note for note in made.model().report["notes"] if "model.onnx" in note]
    assert re.fullmatch(r"model.onnx has \d+ MB, and the sub-models \d+: a depth, .* make both smaller", note)


def test_validation_that_is_missing_is_noted(blobs: Path) -> None:
    made = Made(blobs, parts=4, by="rows", kind="tree:depth=4").until("predict")
    parts = made.turns()
    del parts[3]
    made.close(parts, {3: "it was lost"})

    assert "1 of 4 slices of the validation rows were not looked at" in made.model().report["notes"]


@pytest.mark.parametrize("how", ["stack", "weighted"])
def test_a_combiner_without_rows_to_fit_it_on_says_so(blobs: Path, how: str) -> None:
    with pytest.raises(NoResult, match=f"no combiner {how} could be fitted: too few rows"):
        Made(blobs, parts=3, by="all", kind="tree:depth=4", valid=0.003, combine=how).model()


@pytest.mark.parametrize("by", ["rows", "all"])
def test_no_stack_is_fitted_that_would_be_too_large(blobs: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aggregators.ensemble.parts.MOST_COEFFICIENTS", 29)
    report = Made(blobs, parts=3, by=by, kind="tree:depth=4").model().report
    assert set(report["combine"]["validation"]) == {"average", "weighted", "vote"}
    assert "a stack of 3 sub-models would have 30 coefficients, over the limit of 29" in report["notes"]
    with pytest.raises(ValueError, match=r"30 coefficients.*: give fewer --parts, or another --combine"):
        Made(blobs, parts=3, by=by, kind="tree:depth=4", combine="stack")


def test_without_validation_rows_the_average_is_taken(blobs: Path) -> None:
    report = Made(blobs, parts=2, by="rows", kind="tree", valid=0.0).model().report

    assert report["combine"] == {"asked": "auto", "chosen": "average", "validation": {}}
    assert any("without validation rows" in note for note in report["notes"])


def test_without_test_rows_there_is_no_test_round(blobs: Path) -> None:
    made = Made(blobs, parts=2, by="rows", kind="tree", test=0.0)
    report = made.model().report

    assert [row["kind"] for row in made.rows] == ["fit", "predict", "combine"]
    assert "test" not in report or not report["test"]
    assert any("no row is held out for the test" in note for note in report["notes"])


def test_a_class_that_a_part_lacks_is_never_said_by_it(tmp_path: Path) -> None:
    y = ["rare" if at in (3, 50) else "ab"[at % 2] for at in range(120)]
    path = write(tmp_path / "t.csv", {"a": np.arange(120) / 7 + 0.01, "y": y})
    made = Made(path, target="y", kind="tree logreg", parts=5, by="rows", test=0.2, valid=0.2)
    report = made.model().report

    assert report["classes"] == ["a", "b", "rare"]
    assert any("has no row of 'rare'" in note for note in report["notes"])


def test_a_constant_column_and_missing_values_do_no_harm(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    a = chance.normal(size=200)
    path = write(
        tmp_path / "t.csv",
        {
            "a": ["" if at % 9 == 0 else value for at, value in enumerate(a)], "one": [1] * 200,
            "colour": ["red" if value > 0 else "" for value in a], "y": ["up" if value > 0 else "down" for value in a],
        },
    )  # fmt: skip
    report = Made(path, target="y", kind="rf:trees=5 logreg", parts=2).model().report

    assert report["test"]["accuracy"] > 0.9
    assert any("'one'" in note for note in report["notes"])


def test_too_large_sub_models_say_what_helps(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST_MODEL_BYTES", 100)
    made = Made(blobs, parts=2, kind="tree")
    assert "over the limit of 100: give fewer trees" in made.turn(0)["problem"]
    with pytest.raises(NoResult, match=r"0 of 2 sub-models were fitted.*give fewer trees"):
        made.close()
    monkeypatch.undo()
    monkeypatch.setattr("aggregators.ensemble.views.MOST_BYTES", 100)
    with pytest.raises(NoResult, match="bytes together, over the limit of 100: give fewer trees"):
        made.close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "forest"}, "there is no sub-model 'forest'; choose from rf, et"),
        ({"kind": "rf:tree=5"}, "rf has no parameter 'tree=5'; it takes trees"),
        ({"kind": ["rf:trees=0"]}, "trees of rf is '0'; it must be a whole number from 1"),
        ({"kind": ["rf", "rf"]}, "--kind rf is given twice"),
        ({"kind": "rf", "test": 0.1, "test_file": __file__}, "--test and --test-file cannot go together"),
        ({"kind": "rf", "by": "rows", "share": 0.5}, "--share is for --by sample, and --by is rows"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.UsageError, match=says):
        catalog.ENSEMBLE.options_of_run({"model": "m", **options})


@pytest.mark.parametrize("given", ["rf:trees=5,depth=3 hgb", "rf:trees=5,depth=3,hgb", ["rf:trees=5,depth=3", "hgb"]])
def test_kinds_may_be_given_in_several_ways(given: Any) -> None:
    assert catalog.ENSEMBLE.options_of_run({"model": "m", "kind": given})["kind"] == "rf:trees=5,depth=3 hgb"


def test_kinds_that_are_not_for_numbers_are_refused(line: Path) -> None:
    with pytest.raises(errors.UsageError, match=r"logreg is for classification.*choose from rf, et, hgb, mlp, ridge"):
        catalog.ENSEMBLE.run_locally([line], model="m", target="y", kind="logreg")
    with pytest.raises(errors.UsageError, match="--combine vote is for classes, and 'y' is a number"):
        catalog.ENSEMBLE.run_locally([line], model="m", target="y", kind="tree", combine="vote")


def test_a_plan_tells_what_would_be_fitted(blobs: Path) -> None:
    told = catalog.ENSEMBLE.plan_of([blobs], {"model": "m", "kind": ["rf:trees=7", "hgb"], "parts": 3, "by": "sample"})

    assert "6 sub-models, 3 of each kind" in told
    assert "a sample of 50% of the training rows" in told
    assert "rf: random forest; trees 7" in told
    with pytest.raises(errors.UsageError, match="ridge is for regression"):
        catalog.ENSEMBLE.plan_of([blobs], {"model": "m", "kind": "ridge"})


def test_weights_prefer_the_better_sub_model() -> None:
    chance = np.random.default_rng(0)
    y = chance.integers(0, 2, 500).astype(np.int32)
    good = np.eye(2)[y] * 0.8 + 0.1
    bad = np.full((500, 2), 0.5)
    found = choice.weights(np.stack([good, bad], axis=1).astype(np.float32), y)

    assert found.sum() == pytest.approx(1)
    assert found[0] > 0.9 > 0.1 > found[1] > 0


def test_the_simpler_combiner_wins_where_none_is_clearly_better() -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(3), size=(200, 2)).astype(np.float32)
    average = Combiner("average", 2, 3)
    same = Combiner("weighted", 2, 3, weights=np.array([0.5, 0.5]))
    y = average.combine(scores).argmax(axis=1).astype(np.int32)

    assert choice.best([same, average], scores, y) == 1
    alone = Combiner("weighted", 2, 3, weights=np.array([1.0, 0.0]))
    assert choice.best([alone, average], scores, alone.combine(scores).argmax(axis=1)) == 0


def test_a_damaged_bundle_says_what_is_wrong(blobs: Path, tmp_path: Path) -> None:
    model = Made(blobs, parts=2, kind="tree").model()
    told = json.loads(model.files["ensemble.json"])
    changes = {
        "format": {**told, "format": 99},
        "other sub-models": {**told, "models": told["models"][:1]},
        "outside": {**told, "models": [{"file": "../x"}, {"file": "../x"}]},
        "cannot be read": {"format": 1},
    }
    for at, (says, changed) in enumerate(changes.items()):
        files = {**model.files, "ensemble.json": json.dumps(changed).encode()}
        with pytest.raises(ValueError, match=says):
            unpacked(model._replace(files=files), tmp_path / str(at))
    with pytest.raises(ValueError, match=r"ensemble\.json"):
        predictor.load(tmp_path)


def test_a_machine_without_scikit_learn_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name))

    assert catalog.ENSEMBLE.why_not_here() == 'scikit-learn is not installed (pip install "cluster[ensemble]")'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,y\n", "has no rows"),
        ("a,y\n1,x\n2,x\n", "one class in all rows"),
        ("a,y\n1,x\ninf,y\n", "infinite in line 3"),
        ("a,y\n1,x\n2,y\nred,y\n3,x\n", "is a number in 3 rows"),
        ("a,z\n1,x\n", "no column 'y'"),
        ("a,y\n" + "1.5,x\n2.5,z\n" * 10, "cannot be shared by 99 parts"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(errors.UsageError, match=says):
        catalog.ENSEMBLE.run_locally([path], model="m", target="y", kind="tree", parts=99 if "99" in says else 2)


@pytest.mark.parametrize(("by", "told"), [("all", True), ("sample", False)])
def test_sub_models_that_are_alike_are_noted(blobs: Path, by: str, told: bool) -> None:
    made = Made(blobs, kind="tree rf:trees=2", parts=2, by=by)

    notes = [note for note in made.state.notes if "the sub-models of tree hardly differ: --by sample" in note]
    assert bool(notes) is told
