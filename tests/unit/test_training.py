"""Training in rounds on the coordinator: what is made of parts, what is refused, and what comes out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx.reference
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregators import Step, codec, layer_groups, nets, server, training
from aggregators.training import scores, views
from aggregators.training.state import State
from tests.kit import softmax
from tests.kit.softmax import Part

NETWORK = nets.resolve(nets.parse(softmax.NET), (softmax.FEATURES,), softmax.CLASSES)


def begun(about: bytes | None = None, **options: Any) -> Step:
    given_: dict[str, Any] = {"net": softmax.NET, "steps": 5, "server": "nesterov", **options}
    return training.begin(about or softmax.card(), None, **given_)


def parts_of(step: Step, round_: int = 0, view: codec.Floats | None = None, **options: Any) -> dict[int, Part]:
    seen = step.state.view if view is None else view
    return {
        shard: softmax.part(seen, str(round_), step.kind, round_, shard, **options) for shard in range(softmax.SHARDS)
    }


def encoded(change: codec.Floats, bits: int = 4) -> list[bytes]:
    return codec.encode(change, layer_groups.plan(NETWORK.parameters, bits))


def test_a_training_ends_with_a_model_that_has_learnt() -> None:
    model, rows = softmax.run(rounds=8)

    assert [row["round"] for row in rows] == list(range(10))
    assert rows[0]["accuracy"] < 0.5 < 0.8 < model.report["test"]["accuracy"]
    assert rows[-1]["test_accuracy"] == model.report["test"]["accuracy"]
    assert model.report["valid"]["accuracy"] >= max(softmax.accuracies(rows)) - 0.02  # the standard error
    assert rows[model.report["best_round"]]["accuracy"] == model.report["valid"]["accuracy"]
    assert model.report["steps"] == 8 * softmax.SHARDS * 5
    assert model.report["rounds"] == 8


def test_the_report_counts_each_byte_by_the_formula() -> None:
    model, _ = softmax.run(rounds=3)
    size, shards = NETWORK.size, softmax.SHARDS
    groups = layer_groups.plan(NETWORK.parameters, 4)
    codes = shards * 3 * sum(codec.sizes_bytes(groups))
    up = shards * 5 * 100 + codes
    down = shards * (2 * views.size_bytes(size, 16) + 3 * views.size_bytes(size, 8))  # first, three changes, best

    assert model.report["traffic"] == {
        "codes_bytes": codes,
        "up_bytes": up,
        "down_bytes": down,
        "share_of_sync_fp32": pytest.approx((up + down) / (8 * size * 3 * shards * 5), rel=1e-5),
    }


def test_turns_that_were_under_way_at_the_end_are_in_the_report() -> None:
    state, rows = softmax.close(begun(), softmax.card(), 0, parts_of(begun())).state, [{"round": 0, "late": 0}]
    drained: Any = {"kind": "drained", "down_bytes": 50}
    late, dropped = {"late": 1, "dropped": 0, "up_bytes": 0}, {"late": 0, "dropped": 1, "up_bytes": 100}
    more = [*rows, drained | late, drained | dropped]
    before, after = (training.finish(state, each, softmax.card()).report for each in (rows, more))

    assert (after["late"] - before["late"], after["dropped"] - before["dropped"]) == (1, 1)
    assert after["traffic"]["up_bytes"] - before["traffic"]["up_bytes"] == 100
    assert after["traffic"]["down_bytes"] - before["traffic"]["down_bytes"] == 100


def test_the_same_run_twice_gives_the_same_bits() -> None:
    first, second = (softmax.run(rounds=4)[0] for _ in range(2))

    assert first.files == second.files


def test_a_step_alters_no_state_and_can_be_repeated() -> None:
    step = begun()
    parts, before = parts_of(step), training.dump(step.state)

    first, second = (softmax.close(step, softmax.card(), 0, parts) for _ in range(2))

    assert training.dump(step.state) == before
    assert training.dump(first.state) == training.dump(second.state) != before
    assert first.view == second.view


def test_the_order_in_which_parts_come_changes_nothing() -> None:
    step = begun()
    parts = parts_of(step)

    there = softmax.close(step, softmax.card(), 0, parts)
    back = softmax.close(step, softmax.card(), 0, dict(reversed(parts.items())))

    assert training.dump(there.state) == training.dump(back.state)
    assert there.row == back.row


def test_parts_count_by_the_samples_they_saw() -> None:
    step = begun(steps=0, server="average", bits=32)
    parts = parts_of(step, bits=32)
    changes = np.random.default_rng(0).standard_normal((softmax.SHARDS, NETWORK.size)).astype(np.float32) * 0.01
    for shard, part in parts.items():
        part |= {"groups": encoded(changes[shard], 32), "steps": shard + 1, "samples": 100 * (shard + 1)}

    state = softmax.close(step, softmax.card(), 0, parts).state

    expected = step.state.weights + np.average(changes, axis=0, weights=[1, 2, 3, 4])
    assert np.allclose(state.weights, expected, atol=1e-6)


def test_a_run_notes_why_changes_are_averaged() -> None:
    few, many = begun(steps=25, server="auto"), begun(steps=1, server="auto")

    assert few.state.settings.optimizer == server.choose("average")
    assert "so the server optimizer is average" in few.state.book.notes[0]
    assert many.state.settings.optimizer == server.choose("nesterov")
    assert many.state.book.notes == ()
    assert training.load(training.dump(few.state)).settings == few.state.settings


def test_nodes_hold_what_the_state_says_they_hold() -> None:
    step, seen = begun(rounds=20), None
    for round_ in range(18):
        assert step.view is not None
        seen = training.see(seen, step.view, step.whole)
        assert seen.tobytes() == step.state.view.tobytes()
        step = softmax.close(step, softmax.card(), round_, parts_of(step, round_, seen))


def test_every_eighth_view_is_a_whole_one() -> None:
    step, whole = begun(rounds=20), []
    for round_ in range(17):
        step = softmax.close(step, softmax.card(), round_, parts_of(step, round_))
        whole.append(step.whole)

    assert [at for at, each in enumerate(whole) if each] == [7, 15]


def break_part(part: Part, how: str) -> Part:
    huge, right = encoded(np.full(NETWORK.size, 1e4, np.float32)), part["groups"]
    changes: dict[str, Part] = {
        "base": {"base": "7"},
        "kind": {"kind": "valid"},
        "diverged": {"loss": float("nan"), "groups": []},
        "empty": {"groups": []},
        "size": {"groups": [right[0], right[1] + b"\0"]},
        "nan": {"groups": [np.full(1, np.nan, codec.SCALE).tobytes() + right[0][4:], right[1]]},
        "norm": {"groups": huge},
        "steps": {"steps": 4},
        "rows": {"valid": {**part["valid"], "rows": 10**6}},
    }
    return part | changes[how]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("base", "made for train of the view 7, and the round is train of the view 0"),
        ("kind", "made for valid"),
        ("diverged", "training diverged: the loss is not finite; try a lower --lr"),
        ("empty", "has 0 groups; the plan has 2"),
        ("size", "group norm+bias has 7 bytes"),
        ("nan", "group linear changes by nan"),
        ("norm", "over 10 times the median"),
        ("steps", "made 4 steps; the run has 5"),
        ("rows", r"evaluated on 1,000,000 rows; all shards have 480"),
    ],
)
def test_a_bad_part_is_named_and_the_round_goes_on(how: str, why: str) -> None:
    step = begun()
    parts = parts_of(step)
    without = softmax.close(step, softmax.card(), 0, {shard: part for shard, part in parts.items() if shard != 2})
    parts[2] = break_part(parts[2], how)

    closed = softmax.close(step, softmax.card(), 0, parts)

    assert list(closed.rejected) == [2]
    assert why in closed.rejected[2]
    assert closed.state.weights.tobytes() == without.state.weights.tobytes()


def test_a_huge_part_alone_is_found_by_the_rounds_before() -> None:
    step = begun()
    step = softmax.close(step, softmax.card(), 0, parts_of(step))
    part = break_part(parts_of(step, 1)[0], "norm")

    assert list(softmax.close(step, softmax.card(), 1, {0: part}).rejected) == [0]


def test_without_the_norm_check_a_huge_part_counts() -> None:
    step = begun(norm_check=False)
    parts = parts_of(step)
    parts[2] = break_part(parts[2], "norm")

    closed = softmax.close(step, softmax.card(), 0, parts)

    assert not closed.rejected
    assert np.abs(closed.state.weights).max() > 1000


def test_a_fast_machine_may_go_as_much_farther() -> None:
    step = begun(steps=0)
    parts = parts_of(step)
    for shard, part in parts.items():
        length = 0.4 if shard == 2 else 0.01
        part |= {"groups": encoded(np.full(NETWORK.size, length, np.float32)), "steps": 200 if shard == 2 else 20}

    assert not softmax.close(step, softmax.card(), 0, parts).rejected

    parts[2]["steps"] = 30_000
    assert "30,000 steps, over 1,000 times" in softmax.close(step, softmax.card(), 0, parts).rejected[2]


def test_a_round_without_any_part_changes_nothing() -> None:
    step = begun()

    closed = softmax.close(step, softmax.card(), 0, {})

    assert closed.view is None
    assert (closed.kind, closed.state.book.trained) == ("train", 1)
    assert closed.state.weights.tobytes() == step.state.weights.tobytes()


def test_parts_that_are_late_or_refused_stand_in_the_report() -> None:
    def spoil(round_: int, shard: int, part: Part) -> Part | None:
        if (round_, shard) == (2, 1):
            return break_part(part, "base")
        return None if (round_, shard) in ((1, 0), (1, 3)) else part

    model, rows = softmax.run(spoil=spoil, rounds=5)

    assert (model.report["late"], model.report["rejected"]) == (2, 1)
    assert list(rows[2]["rejected"]) == [1]
    assert model.report["test"]["accuracy"] > 0.75


def test_the_best_round_is_kept_and_not_the_last() -> None:
    def spoil(round_: int, shard: int, part: Part) -> Part:
        worse = encoded(np.linspace(-1, 1, NETWORK.size).astype(np.float32))
        return part | {"groups": worse} if round_ > 4 and part["kind"] == "train" else part

    model, rows = softmax.run(spoil=spoil, rounds=8, norm_check=False)

    assert rows[8]["accuracy"] < 0.6 < model.report["test"]["accuracy"]
    assert model.report["best_round"] <= 5


def scored(step: Step, *correct: int) -> State:
    """The state after rounds that began with weights which had so many rows right, of 40 in each shard."""
    for round_, right in enumerate(correct):
        parts = parts_of(step, round_)
        for part in parts.values():
            part["valid"] = {"rows": 40, "loss_sum": 1.0, "correct": right}
        step = softmax.close(step, softmax.card(), round_, parts)
    state: State = step.state
    return state


def test_of_rounds_that_score_alike_the_last_is_best() -> None:
    rows = 40 * softmax.SHARDS
    error = (0.75 * 0.25 / rows) ** 0.5
    assert 1 / 40 < error < 2 / 40  # so one row less in each shard is within it, two are not

    books = [scored(begun(), *correct).book for correct in ((20, 30, 30, 29), (20, 30, 28), (20, 30, 29, 32, 20))]

    assert [book.best_round for book in books] == [3, 1, 3]
    assert [book.best_score for book in books] == [0.75, 0.75, 0.8]
    assert [book.valid["correct"] for book in books] == [29 * softmax.SHARDS, 30 * softmax.SHARDS, 32 * softmax.SHARDS]


def test_an_error_of_numbers_has_a_standard_error_too() -> None:
    sums = {"rows": 50, "loss_sum": 200.0, "squared": 200.0, "sum": 0.0, "sum2": 200.0}

    assert scores.of(sums) == -2
    assert scores.error(sums) == pytest.approx(0.2)
    assert scores.error({"rows": 100, "loss_sum": 0.0, "correct": 100}) == pytest.approx(0.0098, abs=1e-4)
    assert scores.error({"rows": 0}) == scores.error({**sums, "squared": float("nan")}) == 0


def test_training_ends_when_nothing_is_gained_any_more() -> None:
    model, rows = softmax.run(rounds=40, patience=3, min_gain=0.01)
    accuracies = softmax.accuracies(rows)
    trained = model.report["rounds"]

    assert trained < 20
    assert "has not gained 0.01 for 3 rounds" in model.report["notes"][-1]
    assert max(accuracies[trained - 3 : trained]) < max(accuracies[: trained - 3]) + 0.01


def test_a_net_that_does_not_fit_the_card_is_refused() -> None:
    with pytest.raises(nets.BadNet, match=r"layer 1\.conv2d gets samples of the shape"):
        begun(net="cnn:4")
    words = "layers = [{type='embedding', rows=9, units=2}, {type='flatten'}, {type='linear', units='outputs'}]"
    scaling = {"axis": 1, "mean": [0.0] * softmax.FEATURES, "std": [1.0] * softmax.FEATURES}
    with pytest.raises(nets.BadNet, match="the numbers of this data are scaled"):
        begun(softmax.card(scaling=scaling), net=words)


def test_patience_without_validation_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="--patience needs validation rows"):
        begun(softmax.card(rows={"train": 480, "valid": 0, "test": 0}), patience=3)


def test_training_ends_when_its_minutes_are_over() -> None:
    step = begun(minutes=2)

    goes_on = softmax.close(step, softmax.card(), 0, parts_of(step), at_s=119)
    ends = softmax.close(step, softmax.card(), 0, parts_of(step), at_s=121)

    assert (goes_on.kind, ends.kind, ends.rounds) == ("train", "valid", 3)
    assert ends.state.book.notes == ("the training ended after round 0: 2 minutes are over",)


def test_a_single_round_counts_though_none_follows() -> None:
    model, rows = softmax.run(rounds=1)

    assert model.report["best_round"] == 1
    assert model.report["test"]["accuracy"] > rows[0]["accuracy"] + 0.2


@pytest.mark.parametrize(("valid", "test"), [(0, 480), (480, 0), (0, 0)])
def test_rows_that_are_missing_leave_out_their_round(valid: int, test: int) -> None:
    def spoil(round_: int, shard: int, part: Part) -> Part:
        there = test if part["kind"] == "test" else valid
        return part if there else part | {"valid": {"rows": 0, "loss_sum": 0.0, "correct": 0}}

    about = softmax.card(rows={"train": 480, "valid": valid, "test": test})
    model, rows = softmax.run(about, spoil, rounds=4)

    assert len(rows) == 4 + (valid > 0) + (test > 0)
    assert bool(model.report["valid"]) == (valid > 0)
    assert bool(model.report["test"]) == (test > 0)
    weights = safetensors.numpy.load(model.files["weights.safetensors"])
    assert softmax.evaluate(NETWORK.flat(weights), "test", 0)["correct"] > 80


def test_rounds_in_float32_are_taken_as_they_come() -> None:
    step = begun(quantize=50)
    parts, exact = parts_of(step), parts_of(step, bits=32)
    parts[1] = exact[1]

    assert not softmax.close(step, softmax.card(), 0, parts).rejected


def test_every_so_many_rounds_there_is_a_checkpoint() -> None:
    step, kept = begun(checkpoint=3, rounds=7), []
    for round_ in range(7):
        step = softmax.close(step, softmax.card(), round_, parts_of(step, round_))
        kept.append(step.keep)

    assert kept == [False, False, True, False, False, True, False]


def test_a_part_that_is_stale_counts_less_and_then_not() -> None:
    step = begun(mode="async", server="sgd", server_lr=1.0, server_momentum=0.0, bits=32, staleness=4)
    part = {1: parts_of(step, bits=32)[1]}
    assert step.apart

    moved = {}
    for staleness in (0, 1, 3, 5):
        closed = softmax.close(step, softmax.card(), 0, part, staleness=staleness)
        moved[staleness] = float(np.linalg.norm(closed.state.weights - step.state.weights))
        assert (closed.row["staleness"], closed.row["dropped"]) == (staleness, int(staleness > 4))
        assert (closed.view is None, closed.apart) == (staleness > 4, True)

    assert moved[1] == pytest.approx(moved[0] / 2, rel=1e-4)
    assert moved[3] == pytest.approx(moved[0] / 4, rel=1e-4)
    assert moved[5] == 0


def test_shards_apart_end_with_rounds_together() -> None:
    step = begun(mode="async", server="sgd", server_lr=1.0, server_momentum=0.0, rounds=3)
    assert step.rounds == 3 * softmax.SHARDS + 2

    for number in range(12):
        assert (step.kind, step.apart) == ("train", True)
        shard = number % softmax.SHARDS
        step = softmax.close(step, softmax.card(), number, {shard: parts_of(step, number)[shard]}, late=())
    assert (step.kind, step.apart, step.state.book.trained) == ("valid", False, 12)
    for number, kind in ((12, "test"), (13, "")):
        step = softmax.close(step, softmax.card(), number, parts_of(step, number))
        assert step.kind == kind

    report = training.finish(step.state, [], softmax.card()).report
    assert report["rounds"] == 3
    assert report["test"]["accuracy"] > 0.75


def test_a_model_can_be_trained_on(tmp_path: Path) -> None:
    model, _ = softmax.run(rounds=6)
    for name, data in model.files.items():
        (tmp_path / name).write_bytes(data)

    step = training.begin(softmax.card(), tmp_path, net=softmax.NET, steps=5)
    closed = softmax.close(step, softmax.card(), 0, parts_of(step))

    assert closed.row["accuracy"] == model.report["valid"]["accuracy"]


def test_a_model_of_another_kind_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of the job train: it is without net\.json"):
        training.begin(softmax.card(), tmp_path, net=softmax.NET)
    (tmp_path / "ensemble.json").write_bytes(b"{}")
    with pytest.raises(ValueError, match="none of the job train: it is an ensemble"):
        training.begin(softmax.card(), tmp_path, net=softmax.NET)
    for name, data in softmax.run(rounds=1)[0].files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match="another net; give --net"):
        training.begin(softmax.card(), tmp_path, net="mlp:4")
    with pytest.raises(ValueError, match="has the classes a, b, c; the data has a, b, d"):
        training.begin(softmax.card(classes=["a", "b", "d"]), tmp_path, net=softmax.NET)


@pytest.mark.parametrize("odd", [["red", None], ["red"]])
def test_a_model_of_other_columns_cannot_be_trained_on(tmp_path: Path, odd: list[str | None]) -> None:
    number = {"name": "size", "kind": "number", "mean": 1.0, "std": 2.0}
    category = {"name": "colour", "kind": "category", "values": ["blue", "red"]}
    for name, data in softmax.run(rounds=1)[0].files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "card.json").write_bytes(softmax.card(columns=[number, category]))

    training.begin(softmax.card(columns=[{**number, "mean": 7.0}, category]), tmp_path, net=softmax.NET)
    with pytest.raises(ValueError, match="other columns than the data: 'colour' is one of them"):
        training.begin(softmax.card(columns=[number, {**category, "values": odd}]), tmp_path, net=softmax.NET)
    with pytest.raises(ValueError, match="other columns than the data: 'colour' is one of them"):
        training.begin(softmax.card(columns=[number]), tmp_path, net=softmax.NET)


def test_the_bundle_holds_data_and_nothing_else() -> None:
    model, rows = softmax.run(rounds=2)

    named = safetensors.numpy.load(model.files["weights.safetensors"])
    assert nets.from_json(model.files["net.json"].decode()) == NETWORK
    assert {name: array.shape for name, array in named.items()} == {
        each.name: each.shape for each in NETWORK.parameters
    }
    assert json.loads(model.files["card.json"]) == json.loads(softmax.card())
    assert json.loads(model.files["curve.json"]) == rows
    assert json.loads(json.dumps(model.parameters)) == model.parameters
    assert json.loads(json.dumps(model.report)) == model.report
    assert model.parameters["metrics"]["test"]["confusion"] == model.report["test"]["confusion"]


def test_the_onnx_file_says_what_the_weights_say() -> None:
    model, _ = softmax.run(rounds=3)
    flat = NETWORK.flat(safetensors.numpy.load(model.files["weights.safetensors"]))
    session: Any = onnx.reference.ReferenceEvaluator(onnx.load_from_string(model.files["model.onnx"]))

    for shard in range(softmax.SHARDS):
        X, y = softmax.rows_of("test", shard)
        labels = session.run(["labels"], {"x": X.astype(np.float64)})[0]
        right = sum(label == "abc"[number] for label, number in zip(labels, y, strict=True))
        assert right == softmax.evaluate(flat, "test", shard)["correct"]


def test_weights_of_the_bundle_are_those_that_were_tested() -> None:
    model, _ = softmax.run(rounds=3)
    flat = NETWORK.flat(safetensors.numpy.load(model.files["weights.safetensors"]))

    right = sum(softmax.evaluate(flat, "test", shard)["correct"] for shard in range(softmax.SHARDS))

    assert right / 480 == pytest.approx(model.report["test"]["accuracy"], abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 400), st.binary(max_size=30))
def test_a_damaged_state_is_refused(at: int, junk: bytes) -> None:
    data = training.dump(begun().state)
    damaged = data[: at % len(data)] + junk

    with pytest.raises(ValueError, match="state of the training cannot be read"):
        training.load(damaged)


def test_a_state_comes_back_as_it_was() -> None:
    step = begun()
    for round_ in range(3):
        step = softmax.close(step, softmax.card(), round_, parts_of(step, round_))

    back: State = training.load(training.dump(step.state))

    assert training.dump(back) == training.dump(step.state)
    assert back.book == step.state.book
    assert back.settings == step.state.settings


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["rows", "correct", "x"]), inner),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["base", "kind", "steps", "samples", "loss", "groups", "valid", "device", "fresh"]), VALUES)
def test_a_part_of_any_other_form_ends_no_round(field: str, value: Any) -> None:
    step = begun()
    part = parts_of(step)[0] | {field: value}
    try:
        training.check(part)
    except ValueError:
        return

    closed = softmax.close(step, softmax.card(), 0, {0: part})

    assert np.isfinite(closed.state.weights).all()


@pytest.mark.parametrize("value", [None, [], "part", 3, {}, {"base": "0"}])
def test_a_value_that_is_no_part_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="the part"):
        training.check(value)


def test_no_array_of_a_state_is_pickled() -> None:
    with pytest.raises(ValueError, match=r"pickle|magic"):
        np.load(io.BytesIO(training.dump(begun().state)), allow_pickle=False)
