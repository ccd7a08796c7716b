"""A turn of the job train: what a slot does with its shard in a round."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from aggregators import codec, layer_groups, nets
from tests.kit import training
from tests.kit.training import Shard, digest

LINEAR = '[[layers]]\ntype = "linear"\nunits = "outputs"\n'
DROPPING = f'[[layers]]\ntype = "linear"\nunits = 16\n\n[[layers]]\ntype = "dropout"\n\n{LINEAR}'


def net_of(text: str = "mlp:8", features: int = 4, outputs: int = 3) -> nets.Net:
    return nets.resolve(nets.parse(text), (features,), outputs)


def decoded(value: dict[str, Any], net: nets.Net, bits: int) -> codec.Floats:
    total = np.zeros(net.size, np.float32)
    codec.decode_into(total, value["groups"], layer_groups.plan(net.parameters, bits))
    return total


def three_rounds(**options: Any) -> list[dict[str, Any]]:
    """The values of a shard in a process."""
    net = net_of(options.setdefault("net", "mlp:8"))
    shard = Shard(training.blobs(), 1, **{"steps": 6, "batch_size": 16, **options})
    return [shard.turn(net.init(number), number) for number in range(3)]


@pytest.mark.parametrize("net", ["mlp:8", DROPPING])
def test_a_turn_done_again_gives_the_same_bytes(net: str) -> None:
    values = three_rounds(net=net, inner_state="reset")
    alone = Shard(training.blobs(), 1, net=net, steps=6, batch_size=16, inner_state="reset")
    again = alone.turn(net_of(net).init(2), 2)  # by a process that did not do the rounds before
    assert again["fresh"]
    assert not values[2]["fresh"]
    assert digest([again["groups"], again["loss"]]) == digest([values[2]["groups"], values[2]["loss"]])


@pytest.mark.parametrize("change", [{"seed": 1}, {"steps": 7}, {"lr": 0.01}])
def test_another_seed_or_setting_gives_other_bytes(change: dict[str, Any]) -> None:
    assert digest([each["groups"] for each in three_rounds(**change)]) != digest(
        [each["groups"] for each in three_rounds()]
    )


def test_kept_inner_state_changes_later_rounds_only() -> None:
    kept, reset = three_rounds(inner_state="keep"), three_rounds(inner_state="reset")
    assert kept[0]["groups"] == reset[0]["groups"]
    assert kept[1]["groups"] != reset[1]["groups"]


def test_error_feedback_changes_later_rounds_only() -> None:
    fed, plain = three_rounds(error_feedback=True, bits=2), three_rounds(bits=2)
    assert fed[0]["groups"] == plain[0]["groups"]
    assert fed[1]["groups"] != plain[1]["groups"]


def test_one_step_of_sgd_is_the_gradient_by_hand() -> None:
    net, shard = net_of(LINEAR), Shard(training.blobs(), net=LINEAR, steps=1, batch_size=999, bits=32)
    shard.options |= {"optimizer": "sgd", "lr": 0.5, "momentum": 0.0, "weight_decay": 0.1}
    weights = net.init(3)
    value = shard.turn(weights)
    X, y = shard.arrays()["X"].astype(float), shard.arrays()["y"]
    W, b = (each.astype(float) for each in net.named(weights).values())
    scores = np.exp(X @ W.T + b)
    wrong = scores / scores.sum(1, keepdims=True) - np.eye(3)[y]
    gradient = np.concatenate([(wrong.T @ X / len(X)).ravel(), wrong.mean(0)]) + 0.1 * weights
    np.testing.assert_allclose(decoded(value, net, 32), -0.5 * gradient, atol=1e-6)
    assert value["loss"] == pytest.approx(-np.log(scores / scores.sum(1, keepdims=True))[np.arange(len(y)), y].mean())
    assert (value["steps"], value["samples"]) == (1, len(X))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_each_optimizer_lowers_the_loss(optimizer: str) -> None:
    shard = Shard(training.blobs(), net="mlp:8", steps=50, optimizer=optimizer, lr=0.02, bits=32)
    net = net_of()
    first = shard.turn(net.init(0))
    second = shard.turn(net.init(0) + decoded(first, net, 32), 1)
    assert second["valid"]["loss_sum"] < 0.5 * first["valid"]["loss_sum"]


def test_adam_decays_by_its_gradient_and_adamw_apart() -> None:
    values = [three_rounds(optimizer=name, weight_decay=0.5)[0]["groups"] for name in ("adam", "adamw")]
    assert values[0] != values[1]


def clock(monkeypatch: pytest.MonkeyPatch, tick_s: float) -> None:
    """Time goes on by so much whenever it is read."""
    ticks: Iterator[int] = itertools.count()
    monkeypatch.setattr("tasks.train.turns.time.monotonic", lambda: tick_s * next(ticks))


@pytest.mark.parametrize(("seconds", "most"), [(0.0, 1), (1.0, 10), (2.0, 20)])
def test_a_timed_turn_ends_after_its_seconds(seconds: float, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, shard = net_of(), Shard(training.blobs(), net="mlp:8")
    shard.turn(net.init(0))
    clock(monkeypatch, 0.1)
    value = shard.turn(net.init(0), 1, seconds=seconds)
    assert max(1, most - 3) <= value["steps"] <= most


def test_timed_turns_go_on_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    at = training.train_batches_at(taken)
    monkeypatch.setattr("tasks.train.batches.Batches.at", at)
    clock(monkeypatch, 0.1)
    net, shard = net_of(), Shard(training.blobs(), net="mlp:8", batch_size=4)
    for number in range(3):
        shard.turn(net.init(0), number, seconds=0.5)
    assert len(taken) > 3
    assert taken == list(range(taken[0], taken[0] + len(taken)))


def test_fixed_steps_take_other_batches_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr("tasks.train.batches.Batches.at", training.train_batches_at(taken))
    three_rounds(steps=2)
    assert taken == list(range(6))


def test_a_shard_of_seven_rows_trains_with_batches_of_32() -> None:
    data = training.blobs(rows=12, shards=1)
    value = Shard(data, net="mlp:8", steps=3, batch_size=32).turn(net_of().init(0))
    assert (value["steps"], value["samples"]) == (3, 3 * 7)
    assert math.isfinite(value["loss"])


def test_a_shard_without_training_rows_changes_nothing() -> None:
    data, net = training.blobs(rows=1, shards=1), net_of()
    value = Shard(data, net="mlp:8", bits=8).turn(net.init(0))
    assert (value["steps"], value["samples"]) == (0, 0)
    assert not decoded(value, net, 8).any()


@pytest.mark.parametrize("inner_state", ["keep", "reset"])
def test_a_turn_that_diverges_tells_so_and_the_next_one_works(inner_state: str) -> None:
    good = net_of().init(0)
    spoilt = good.copy()
    spoilt[0] = np.inf
    options: dict[str, Any] = {"net": "mlp:8", "steps": 6, "inner_state": inner_state, "error_feedback": True}
    shard = Shard(training.blobs(), **options)
    value = shard.turn(spoilt)
    assert math.isnan(value["loss"])
    assert value["groups"] == []
    assert value["steps"] == 1  # more would be in vain
    assert shard.turn(good, 1)["groups"] == Shard(training.blobs(), **options).turn(good, 1)["groups"]


def test_weights_that_grow_beyond_all_bounds_diverge() -> None:
    value = Shard(training.blobs(), net=LINEAR, steps=1, optimizer="sgd", lr=1e9).turn(net_of(LINEAR).init(0))
    assert math.isnan(value["loss"])
    assert value["groups"] == []


def test_the_view_is_evaluated_before_it_is_trained() -> None:
    net, shard = net_of(LINEAR), Shard(training.blobs(), 2, net=LINEAR, steps=5)
    weights = net.init(4)
    value = shard.turn(weights, base="view 7")
    X, y = shard.arrays()["valid_X"].astype(float), shard.arrays()["valid_y"]
    W, b = net.named(weights).values()
    scores = X @ W.T + b
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(y)), y]
    assert value["valid"] == {
        "rows": len(y), "correct": int((scores.argmax(1) == y).sum()),
        "loss_sum": pytest.approx(losses.sum(), rel=1e-5),
    }  # fmt: skip
    assert (value["base"], value["kind"], value["device"]) == ("view 7", "train", "cpu")


def test_the_last_round_tests_and_counts_confusion() -> None:
    net, shard = net_of(LINEAR), Shard(training.blobs(), 2, net=LINEAR, steps=5)
    weights = net.init(4)
    value = shard.turn(weights, 9, "test")
    X, y = shard.arrays()["test_X"], shard.arrays()["test_y"]
    W, b = net.named(weights).values()
    wanted = np.zeros((3, 3), int)
    np.add.at(wanted, (y, (X @ W.T + b).argmax(1)), 1)
    assert value["valid"]["confusion"] == wanted.tolist()
    assert value["valid"]["correct"] == np.trace(wanted)
    assert (value["steps"], value["samples"], value["groups"]) == (0, 0, [])


def test_numbers_are_told_by_squared_errors() -> None:
    data, net = training.numbers(), net_of("mlp:8", 3, 1)
    shard = Shard(data, net="mlp:8", steps=60, lr=0.02, bits=32)
    first = shard.turn(net.init(0))
    second = shard.turn(net.init(0) + decoded(first, net, 32), 1)
    y = shard.arrays()["valid_y"].astype(float)
    told = second["valid"]
    assert (told["sum"], told["sum2"]) == (pytest.approx(y.sum()), pytest.approx((y**2).sum()))
    assert told["squared"] < 0.3 * first["valid"]["squared"]
    assert "correct" not in told


def test_a_shard_without_validation_rows_tells_zero_rows() -> None:
    for data in (training.blobs(rows=2, shards=1), training.numbers(rows=2, shards=1)):
        shard = Shard(data, net=LINEAR)
        outputs, features = (3, 4) if b"class 0" in data.about else (1, 3)
        value = shard.turn(net_of(LINEAR, features, outputs).init(0))
        assert value["valid"]["rows"] == len(shard.arrays()["valid_y"])


def test_a_turn_that_only_evaluates_leaves_the_state_alone() -> None:
    net, shard = net_of(), Shard(training.blobs(), net="mlp:8", steps=4)
    first = shard.turn(net.init(0))
    value = shard.turn(net.init(0), 1, "valid")
    assert value["valid"] == first["valid"]
    assert (value["steps"], value["loss"], value["groups"]) == (0, 0.0, [])
    other = Shard(shard.data, net="mlp:8", steps=4)
    other.turn(net.init(0))
    assert shard.turn(net.init(1), 2)["groups"] == other.turn(net.init(1), 2)["groups"]


def sizes(value: dict[str, Any]) -> int:
    return sum(map(len, value["groups"]))


@pytest.mark.parametrize(
    ("quantize", "when", "exact"),
    [(100, "spread", []), (50, "spread", [0, 2]), (50, "first", [2, 3]), (0, "first", [0, 1, 2, 3])],
)
def test_a_share_of_the_rounds_is_quantized(quantize: float, when: str, exact: list[int]) -> None:
    net, shard = (
        net_of(),
        Shard(training.blobs(), net="mlp:8", steps=1, quantize=quantize, quantize_when=when, rounds=4),
    )
    found = [sizes(shard.turn(net.init(0), number)) for number in range(4)]
    assert [number for number in range(4) if found[number] == 4 * net.size] == exact


def test_the_plan_of_layer_groups_decides_the_bytes() -> None:
    net = net_of()
    plan = layer_groups.to_toml([layer_groups.plan(net.parameters, 4)[0]._replace(name="all", layers=("*",), bits=8)])
    value = Shard(training.blobs(), net="mlp:8", steps=1, joint=plan).turn(net.init(0))
    assert [len(data) for data in value["groups"]] == [net.size + 4]


def test_shards_that_go_on_apart_have_all_their_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def rate_at(schedule: str, rate: float, round_: int, rounds: int) -> float:
        asked.append((round_, rounds))
        return rate

    monkeypatch.setattr("tasks.train.optimizers.rate_at", rate_at)
    Shard(training.blobs(), net="mlp:8", steps=1, rounds=5, mode="async").turn(net_of().init(0), 7)
    Shard(training.blobs(), net="mlp:8", rounds=5, mode="sync").turn(net_of().init(0), 3)
    assert asked == [(7, 15), (3, 5)]


def test_a_round_of_mode_sync_is_one_step() -> None:
    value = Shard(training.blobs(), net="mlp:8", mode="sync", batch_size=8).turn(net_of().init(0))
    assert (value["steps"], value["samples"]) == (1, 8)


def test_a_shard_is_read_once_in_a_process() -> None:
    net, shard = net_of(), Shard(training.blobs(), net="mlp:8", steps=1)
    for number in range(3):
        shard.turn(net.init(0), number)
    assert shard.reads == 1


def test_times_leave_out_what_reading_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    net, shard = net_of(), Shard(training.blobs(), net="mlp:8", steps=1)
    now = [0.0]
    monkeypatch.setattr("tasks.train.turns.time.monotonic", lambda: now[0])

    def slowly() -> Any:
        now[0] += 100.0
        return shard.data.shards[0]

    encode = codec.encode

    def encode_slowly(*arguments: Any) -> list[bytes]:
        now[0] += 7.0
        return encode(*arguments)

    monkeypatch.setattr(shard, "read", slowly)
    monkeypatch.setattr(codec, "encode", encode_slowly)
    shard.turn(net.init(0))
    assert shard.times == {"compute": 0.0, "encode": 7.0}


def test_shards_of_a_process_do_not_disturb_each_other() -> None:
    net, data = net_of(), training.blobs()
    options: dict[str, Any] = {"net": "mlp:8", "steps": 6, "batch_size": 16}
    shards = [Shard(data, number, **options) for number in range(2)]
    together = [[shard.turn(net.init(number), number)["groups"] for shard in shards] for number in range(3)]
    alone = Shard(data, 1, **options)
    assert [alone.turn(net.init(number), number)["groups"] for number in range(3)] == [row[1] for row in together]


def test_class_weights_make_a_rare_class_count_as_much() -> None:
    data = training.blobs(rows=400, shards=1, classes=2, features=2, spread=3.0)
    items = training.arrays_of(data.shards[0])
    rare = np.concatenate([np.flatnonzero(items["y"] == 0), np.flatnonzero(items["y"] == 1)[:8]])
    random = np.random.default_rng(0)
    uneven = training.cut(items["X"][rare], items["y"][rare], 1, 2, random)
    net, found = nets.resolve(nets.parse(LINEAR), (2,), 2), {}
    for weights in ("none", "balanced"):
        shard = Shard(uneven, net=LINEAR, steps=300, lr=0.02, bits=32, class_weights=weights)
        view = net.init(0)
        view = view + decoded(shard.turn(view), net, 32)
        confusion = np.array(shard.turn(view, 1, "test")["valid"]["confusion"])
        found[weights] = confusion[:, 1].sum()  # how many are taken for the rare class
    assert found["none"] < found["balanced"]


def test_augmenting_rows_that_are_no_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="--augment is for pictures; a row of this input has 4 numbers"):
        Shard(training.blobs(), net="mlp:8", augment="flip").turn(net_of().init(0))
