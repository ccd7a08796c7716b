"""Nets as data: what is accepted, what is refused and with which words, and the flat vector of their weights."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregators import layers, named_nets, nets
from tests.kit.some_nets import DECLARED, LAST, SHAPES, any_layers, resolved

np = pytest.importorskip("numpy")
Made = TypeVar("Made")


def why_not(text: str, shape: tuple[int, ...] = (16,), outputs: int = 3) -> str:
    with pytest.raises(nets.BadNet) as caught:
        nets.resolve(nets.parse(text), shape, outputs)
    return str(caught.value)


def made(make: Callable[[], Made]) -> Made | None:
    """What ``make`` makes; None where it refuses to in a sentence that a person reads."""
    try:
        return make()
    except nets.BadNet as refused:
        said = str(refused)
    assert 0 < len(said) < 600
    return None


def layer(kind: str, **options: Any) -> str:
    """One layer of a model.toml."""
    told = {"type": kind, **options}
    return "[[layers]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in told.items())


END = layer("linear", units="outputs")


def test_the_mlp_has_the_weights_that_one_counts_by_hand() -> None:
    net = nets.resolve(nets.parse("mlp:128,128"), (16,), 26)
    assert net.size == 16 * 128 + 128 + 128 * 128 + 128 + 128 * 26 + 26 == 22_042
    assert [(each.name, each.shape, each.kind) for each in net.parameters] == [
        ("1.linear.weight", (128, 16), "linear"),
        ("1.linear.bias", (128,), "bias"),
        ("3.linear.weight", (128, 128), "linear"),
        ("3.linear.bias", (128,), "bias"),
        ("5.linear.weight", (26, 128), "linear"),
        ("5.linear.bias", (26,), "bias"),
    ]


def test_the_cnn_takes_pictures_with_and_without_channels() -> None:
    grey = nets.resolve(nets.parse("cnn:16,32"), (8, 8), 10)
    assert grey.parameters == tuple(
        each._replace(name=bare.name, start=bare.start)
        for each, bare in zip(
            nets.resolve(nets.parse("cnn:16,32"), (1, 8, 8), 10).parameters, grey.parameters, strict=True
        )
    )
    assert [each.gives for each in grey.layers if each.type == "maxpool"] == [(16, 4, 4), (32, 2, 2)]
    assert grey.size == (16 * 9 + 16) + (32 * 16 * 9 + 32) + (128 * 10 + 10)


def test_a_large_picture_does_not_make_the_last_layer_large() -> None:
    net = nets.resolve(nets.parse("cnn:16,32"), (3, 224, 224), 10)
    assert net.parameters[-2].shape == (10, 32 * 4 * 4)


def test_a_residual_block_has_a_shortcut_where_shapes_differ() -> None:
    net = nets.resolve(nets.parse("resnet-s"), (3, 32, 32), 10)
    shortcuts = [each.shortcut for each in net.layers if each.type == "residual"]
    assert [each and each.options["stride"] for each in shortcuts] == [None, 2, 2]
    assert [each.gives for each in net.layers if each.type == "residual"] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_parameters_lie_behind_each_other_and_fill_the_vector(name: str) -> None:
    net = resolved(name)
    starts = [each.start for each in net.parameters]
    assert starts == [0, *(each.stop for each in net.parameters)][:-1]
    assert net.parameters[-1].stop == net.size == sum(math.prod(each.shape) for each in net.parameters)
    assert len({each.name for each in net.parameters}) == len(net.parameters)
    assert {each.kind for each in net.parameters} <= {"conv", "linear", "embedding", "recurrent", "norm", "bias"}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_net_comes_back_from_its_json_as_it_was(name: str) -> None:
    net = resolved(name)
    assert nets.from_json(net.to_json()) == net


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_named_arrays_and_the_flat_vector_are_the_same_numbers(name: str) -> None:
    net = resolved(name)
    flat = np.arange(net.size, dtype=np.float32)
    named = net.named(flat)
    assert np.array_equal(net.flat(named), flat)
    assert np.array_equal(np.concatenate([part.ravel() for part in named.values()]), flat)
    first = net.parameters[0]
    named[first.name][...] = -1
    assert (flat[: first.size] == -1).all()
    assert (flat[first.size :] >= 0).all()


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_same_seed_draws_the_same_first_weights(name: str) -> None:
    net = resolved(name)
    one, same, other = net.init(3), net.init(3), net.init(4)
    assert one.dtype == np.float32
    assert one.shape == (net.size,)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_first_weights_are_spread_as_the_source_says() -> None:
    net = nets.resolve(nets.parse("mlp:256"), (100,), 5)
    weights = net.named(net.init(0))
    for name, fan_in in (("1.linear.weight", 100), ("1.linear.bias", 100), ("3.linear.weight", 256)):
        edge = 1 / math.sqrt(fan_in)
        assert 0.9 * edge < np.abs(weights[name]).max() <= edge
        assert weights[name].std() == pytest.approx(edge / math.sqrt(3), rel=0.1)
    assert abs(weights["1.linear.weight"].mean()) < 0.002
    assert not np.array_equal(weights["1.linear.bias"], weights["1.linear.weight"].ravel()[:256])


def test_norms_begin_as_ones_and_their_biases_as_zeros() -> None:
    net = nets.resolve(nets.parse("resnet-s"), (3, 8, 8), 4)
    weights = net.named(net.init(1))
    assert (weights["2.groupnorm.weight"] == 1).all()
    assert (weights["2.groupnorm.bias"] == 0).all()


def test_a_vector_of_another_length_is_refused_with_both_lengths() -> None:
    net = resolved("mlp:8")
    with pytest.raises(ValueError, match=rf"{net.size:,} weights, and the vector is 3"):
        net.named(np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda named: named.pop("1.linear.bias"), "weights 1.linear.bias are missing"),
        (lambda named: named.update({"9.x": named["1.linear.bias"]}), "weights 9.x are unknown"),
        (lambda named: named.update({"1.linear.bias": np.zeros(9, np.float32)}), "1.linear.bias are 9, .* has 8"),
    ],
)
def test_arrays_that_are_not_the_nets_own_are_named(change: Any, words: str) -> None:
    net = resolved("mlp:8")
    named = net.named(net.init(0))
    change(named)
    with pytest.raises(ValueError, match=words):
        net.flat(named)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no net ''"),
        ("transformer:8", "there is no net 'transformer:8'; there are mlp:128,128"),
        ("mlp", "write it as mlp:128,128"),
        ("mlp:", "write it as mlp:128,128"),
        ("mlp:8,", "write it as"),
        ("mlp:8;9", "write it as"),
        ("mlp:-8", "write it as"),
        ("mlp:٣", "write it as"),
        ("mlp:0", "1 to 65,536 units, and 'mlp:0' wants 0"),
        ("mlp:8,1000000000", "wants 1,000,000,000"),
        ("mlp:" + "9" * 5000, "is no net"),
        ("mlp:" + ",".join(["8"] * 1000), "1,000 layers, and 24 are allowed"),
        ("mlp:65536,65536", "4,.* weights and 100,000,000 are allowed; most are in 3.linear.weight"),
        ("x" * 70_000, "65,536 bytes of text at most, and this has 70,000"),
    ],
)
def test_a_name_that_is_no_net_is_refused(text: str, words: str) -> None:
    nets_words = why_not(text)
    assert re.search(words, nets_words), nets_words
    assert len(nets_words) < 400


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[layers]\n", "cannot be read as TOML"),
        ("a = [" + "[" * 30_000, "cannot be read as TOML: it is nested too deeply"),
        ("layers = 1" + "0" * 5000, "cannot be read as TOML"),
        ("layers = []", "the net wants layers"),
        ("layers = 7", "the net wants layers"),
        ("layers = [7]", "layer 1 wants a type"),
        ("layers = [{type = 7}]", "layer 1 wants a type"),
        ("name = 'x'\n" + END, "nothing else, and this has 'name'"),
        (layer("linear"), "layer 1.linear wants units"),
        (layer("linear", units="many"), "not 'many'"),
        (layer("linear", units=True), "not True"),
        (layer("linear", units=2.5), "not 2.5"),
        (layer("linear", units=0), 'from 1 to 65,536 or "outputs", not 0'),
        (layer("linear", units=10**9), "not 1000000000"),
        ("[[layers]]\ntype = 'linear'\nunits = 1" + "0" * 3000, "a number of 18 digits and more"),
        (layer("linear", units=3, size=4), "layer 1.linear has no option 'size'; it has units, bias"),
        (layer("relu", units=3), "layer 1.relu has no option 'units'; it has none"),
        (layer("dropout", share=1.0), "a number from 0 to 0.95, not 1.0"),
        ("[[layers]]\ntype='dropout'\nshare=nan", "not nan"),
        (layer("gru", units=3, gives="first"), 'gives must be "last" or "all", not \'first\''),
        (layer("batchnorm"), "running means .*groupnorm"),
        (layer("lambda"), "layer 1 is of the type 'lambda'; there are linear"),
        (layer("relu") * 201, "201 layers, and 200 are allowed"),
        ("layers = [{type='residual', layers=[" + "{type='relu'}," * 200 + "]}]", "201 layers"),
        ("layers = [{type='residual'}]", "layer 1.residual. wants layers"),
        ("layers = [{type='residual', layers=[{type='residual', layers=[{type='relu'}]}]}]", "'residual'; there are"),
        (layer("relu"), "the last layer gives 16 and the data needs 3; end with"),
    ],
)
def test_a_file_that_is_no_net_is_refused_with_its_place(text: str, words: str) -> None:
    found = why_not(text)
    assert re.search(words, found), found
    assert len(found) < 400


@pytest.mark.parametrize(
    ("text", "shape", "words"),
    [
        ("cnn:16", (64,), "layer 1.conv2d gets samples of the shape 64, and conv2d wants a picture"),
        ("cnn:4,4,4,4", (8, 8), "layer 13.maxpool gets samples of the shape 4 x 1 x 1, and its window of 2 is larger"),
        ("gru:4", (3, 8, 8), "layer 1.gru gets samples of the shape 3 x 8 x 8, and gru wants a sequence"),
        (layer("linear", units=4), (3, 8, 8), "layer 1.linear .* 3 x 8 x 8, .*flatten"),
        (layer("conv2d", channels=4, kernel=9, padding=0), (3, 8, 8), "layer 1.conv2d .* kernel of 9 is larger"),
        (layer("reshape", shape=[5, 5]), (16,), "layer 1.reshape .* 16 numbers cannot become 5 x 5"),
        (layer("reshape", shape=[2, 2, 2, 2]), (16,), "cannot become"),
        (layer("groupnorm", groups=3), (16,), "16 channels cannot be cut into 3 groups"),
        (layer("groupnorm"), (4, 4), "layernorm"),
        (layer("layernorm"), (3, 8, 8), "groupnorm"),
        (layer("embedding", rows=9, units=4), (4, 4), "layer 1.embedding gets samples of the shape 4 x 4"),
        (layer("relu") + layer("embedding", rows=9, units=4), (16,), "layer 2.embedding .* must be the first layer"),
        (layer("globalavgpool"), (16,), "wants a picture or a sequence"),
        (layer("residual", layers=0), (16,), "wants layers"),
        ("layers=[{type='residual', layers=[{type='linear', units=8}]}]", (16,), "16, .* make 8 .* cannot be added"),
        (layer("conv2d", channels=65536, padding=31), (1, 99, 99), "more than 16,777,216 numbers"),
        ("mlp:8", (), "1 to 3 dimensions"),
        ("mlp:8", (0,), "1 to 3 dimensions, and these are 0"),
        ("mlp:8", (1, 2, 3, 4), "1 to 3 dimensions"),
        ("mlp:8", (10**9,), "these are 1,000,000,000"),
    ],
)
def test_a_net_that_does_not_fit_names_layer_and_shape(text: str, shape: tuple[int, ...], words: str) -> None:
    found = why_not(text, shape)
    assert re.search(words, found), found


def test_data_of_no_class_or_too_many_is_refused() -> None:
    for outputs in (0, 65_537):
        assert f"the data has {outputs:,} classes" in why_not("mlp:8", (4,), outputs)


def test_an_embedding_refuses_data_whose_numbers_are_scaled() -> None:
    spec = nets.parse(layer("embedding", rows=9, units=2) + layer("globalavgpool") + END)
    words = {"input_shape": [7], "outputs": 3, "columns": [], "scaling": None}
    assert nets.for_data(spec, words) == nets.resolve(spec, (7,), 3)
    scaling = {"axis": 1, "mean": [1.0] * 7, "std": [2.0] * 7}
    for scaled in ({"scaling": scaling}, {"columns": [{"name": "a"}]}):
        with pytest.raises(nets.BadNet, match="the numbers of words, and the numbers of this data are scaled"):
            nets.for_data(spec, words | scaled)
        assert nets.for_data(nets.parse("mlp:3"), words | scaled).input_shape == (7,)


def test_the_table_names_each_layer_its_shape_and_weights() -> None:
    lines = resolved("resnet-s:8,16").table().splitlines()
    assert lines[0].split() == ["layer", "options", "gives", "weights"]
    assert any(line.startswith("6.residual.shortcut") and line.endswith("128") for line in lines)
    assert lines[-1].split() == ["all", f"{resolved('resnet-s:8,16').size:,}"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, "NaN", '{"name": "mlp"}', "1" * 5000, " " * 2**21])
def test_json_that_is_no_net_is_refused(text: str) -> None:
    with pytest.raises(nets.BadNet):
        nets.from_json(text)


def test_each_named_net_says_how_it_is_written() -> None:
    for name, one in named_nets.NAMED.items():
        assert nets.parse(one.example).name == name


# Hostile texts: whatever they hold, the answer is a net within the limits or BadNet, and soon.

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.integers(-1, 70),
    st.floats(),
    st.text(max_size=9),
    st.sampled_from([layers.OUTPUTS, "last", "all", 10**9, 0, -1]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3)
)
KINDS = st.sampled_from([*layers.OPTIONS, "batchnorm", "lambda"])
KEYS = st.sampled_from([*{key for options in layers.OPTIONS.values() for key in options}, "layers", "type", "x"])
ODD_LAYERS = st.builds(
    lambda kind, options: {"type": kind, **options}, KINDS, st.dictionaries(KEYS, VALUES, max_size=3)
)
NETS = (
    st.lists(ODD_LAYERS | any_layers() | VALUES, max_size=6)
    | st.lists(any_layers(), max_size=6).map(lambda some: [*some, *LAST])
    | VALUES
)
INPUTS = st.lists(st.integers(1, 12), min_size=1, max_size=3)


@given(NETS, INPUTS, st.integers(1, 12))
def test_any_json_is_a_net_within_limits_or_refused(declared: Any, shape: list[int], outputs: int) -> None:
    told = json.dumps({"name": "declared", "input_shape": shape, "outputs": outputs, "layers": declared})
    if net := made(lambda: nets.from_json(told)):
        assert net.size <= nets.MOST_PARAMETERS
        assert net.layers[-1].gives == (outputs,)
        assert nets.from_json(net.to_json()) == net


@given(st.text(max_size=60) | st.text("[]{}=\"'\n.,0159abelrstuy -_#", max_size=60).map("[[layers]]\n{}".format))
def test_any_text_is_a_net_or_refused_in_short(text: str) -> None:
    made(lambda: nets.parse(text))


@given(st.data())
def test_a_file_with_one_character_changed_is_a_net_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(DECLARED)))
    text = DECLARED[name]
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters(codec="utf-8")) + text[at + 1 :]
    if net := made(lambda: nets.resolve(nets.parse(changed), *SHAPES[name])):
        assert net.size <= nets.MOST_PARAMETERS


@given(st.sampled_from(sorted(SHAPES)), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_flat_and_named_are_inverse_in_any_order(name: str, seed: int, order: Any) -> None:
    net = resolved(name)
    flat = np.random.default_rng(seed).standard_normal(net.size).astype(np.float32)
    items = list(net.named(flat).items())
    order.shuffle(items)
    assert np.array_equal(net.flat({key: part.copy() for key, part in items}), flat)
