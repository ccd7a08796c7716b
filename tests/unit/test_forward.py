"""What nets say with NumPy, against loops and numbers by hand; ``tests/train`` compares it with PyTorch."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregators import forward, nets
from tests.kit.some_nets import LAST, SHAPES, any_layers, resolved, samples_of

np = pytest.importorskip("numpy")


def of(declared: list[dict[str, Any]], shape: tuple[int, ...], outputs: int) -> nets.Net:
    told = {"name": "declared", "input_shape": list(shape), "outputs": outputs, "layers": declared}
    return nets.from_json(json.dumps(told))


def test_a_small_mlp_says_what_one_computes_by_hand() -> None:
    net = nets.resolve(nets.parse("mlp:2"), (2,), 2)
    weights = np.array([1, 2, -3, 4, 0.5, -1, 1, -1, 2, 3, 0, 10], np.float32)
    # hidden: relu(1*1 + 2*2 + .5) = 5.5, relu(-3*1 + 4*2 - 1) = 4; then 5.5 - 4 and 2*5.5 + 3*4 + 10
    assert forward.logits(net, weights, np.array([[1, 2]])).tolist() == [[1.5, 33]]


def test_a_convolution_is_the_sum_over_each_window() -> None:
    net = of([{"type": "conv2d", "channels": 3, "kernel": 2, "stride": 2, "padding": 1}, *LAST], (2, 5, 6), 3 * 3 * 4)
    weights = net.named(net.init(0))
    weights["3.linear.weight"][...] = np.eye(36)
    weights["3.linear.bias"][...] = 0
    picture = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
    padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)))
    wanted = [
        float((padded[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] * weights["1.conv2d.weight"][channel]).sum())
        + float(weights["1.conv2d.bias"][channel])
        for channel in range(3)
        for y in range(3)
        for x in range(4)
    ]
    assert forward.logits(net, net.flat(weights), picture[None])[0].tolist() == pytest.approx(wanted, abs=1e-5)


def test_pooling_takes_windows_and_leaves_the_rest_at_edges() -> None:
    picture = np.arange(15, dtype=np.float32).reshape(1, 1, 3, 5)
    for kind, wanted in (("maxpool", [6, 8]), ("avgpool", [3, 5])):
        net = of([{"type": kind}, *LAST], (1, 3, 5), 2)
        weights = np.array([1, 0, 0, 1, 0, 0], np.float32)
        assert forward.logits(net, weights, picture).tolist() == [wanted]


def test_many_samples_are_worked_through_in_equal_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    net, samples = resolved("cnn:4,8"), samples_of("cnn:4,8", 23)
    weights = net.init(1)
    at_once = forward.logits(net, weights, samples)
    monkeypatch.setattr(
        forward, "MOST_VALUES", 8 * 8 * 4 * 5
    )  # 5 samples a batch, 4 rows of pictures in the first convolution
    in_batches = forward.logits(net, weights, samples)
    assert np.abs(in_batches - at_once).max() < 1e-6
    assert at_once.shape == (23, 10)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_no_samples_give_no_logits_of_the_right_width(name: str) -> None:
    net = resolved(name)
    empty = np.zeros((0, *net.input_shape), np.float32)
    assert forward.logits(net, net.init(0), empty).shape == (0, net.outputs)


def test_samples_of_another_shape_are_refused_with_both_shapes() -> None:
    net = resolved("cnn:4,8")
    with pytest.raises(ValueError, match="takes samples of the shape 8 x 8, and these are 8 x 9"):
        forward.logits(net, net.init(0), np.zeros((1, 8, 9)))


@pytest.mark.parametrize("word", [-1, 50])
def test_a_word_without_a_row_is_refused_and_named(word: int) -> None:
    net = resolved("words.toml")
    with pytest.raises(ValueError, match=f"1.embedding has rows 0 to 49, and gets .*{word}"):
        forward.logits(net, net.init(0), np.array([[3] * 11 + [word]]))


def test_probabilities_add_up_to_one_for_huge_logits() -> None:
    found = forward.softmax(np.array([[1e30, 0, 0], [0, math.log(3), -np.inf]], np.float32))
    assert found.ravel().tolist() == pytest.approx([1, 0, 0, 0.25, 0.75, 0])


@given(st.lists(any_layers(), max_size=5), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 5))
def test_each_net_that_fits_gives_a_finite_row_a_sample(some: list[Any], shape: list[int], outputs: int) -> None:
    try:
        net = of([*some, *LAST], tuple(shape), outputs)
    except nets.BadNet:
        return
    samples = np.zeros((2, *shape), np.float32)  # a word that each embedding has a row for
    found = forward.logits(net, net.init(0), samples)
    assert found.shape == (2, outputs)
    assert np.isfinite(found).all()
