"""The ONNX files of nets, read by the package ``onnx``: sound, and saying what NumPy says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregators import forward, layers, nets, onnx_net, onnx_wire
from splitters import tables
from tests.kit.cards import card
from tests.kit.some_nets import SHAPES, resolved, samples_of

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")


def run(written: bytes, samples: Any) -> dict[str, Any]:
    """What the file says of samples, by the definition of each operator."""
    from onnx.reference import ReferenceEvaluator

    model = onnx.load_from_string(written)
    onnx.checker.check_model(model, full_check=True)
    names = [each.name for each in model.graph.output]
    return dict(zip(names, ReferenceEvaluator(model).run(None, {"x": samples}), strict=True))


def moved(net: nets.Net) -> Any:
    """First weights, moved so that norms and biases count."""
    return net.init(0) + 0.1 * np.random.default_rng(0).standard_normal(net.size).astype(np.float32)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_file_says_what_numpy_says_of_samples(name: str) -> None:
    net, samples = resolved(name), samples_of(name, 9)
    weights = moved(net)
    classes = net.outputs if net.outputs > 1 else 0
    found = run(onnx_net.write(net, weights, card(classes)), samples.astype(np.float64))
    logits = forward.logits(net, weights, samples)
    if classes:
        assert found["labels"].tolist() == [f"c{best}" for best in logits.argmax(axis=1)]
        assert np.abs(found["probabilities"] - forward.softmax(logits)).max() < 1e-6
    else:
        assert np.abs(found["numbers"] - logits[:, 0]).max() < 1e-5


def test_the_file_scales_numbers_and_fills_in_missing_ones() -> None:
    net = nets.resolve(nets.parse("mlp:8"), (4,), 3)
    columns = [
        {"name": "age", "kind": "number", "mean": 40.0, "std": 10.0},
        {"name": "colour", "kind": "category", "values": ["red", None]},
        {"name": "at", "kind": "number", "mean": 1.7e9, "std": 0.5},
    ]
    raw = np.array([[50, 1, 0, 1.7e9 + 1], [np.nan, 0, 1, 1.7e9 - 0.25], [0, 0, 0, np.nan]])
    scaled = np.array([[1, 1, 0, 2], [0, 0, 1, -0.5], [-4, 0, 0, 0]])
    found = run(onnx_net.write(net, net.init(0), card(3, columns=columns)), raw)
    wanted = forward.softmax(forward.logits(net, net.init(0), scaled))
    assert np.abs(found["probabilities"] - wanted).max() < 1e-6
    assert wanted.std() > 0.01


def test_rows_of_a_file_are_told_as_those_of_its_shards(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    colours = ["red", "blue", ""]
    rows = [
        (
            f"{draw.normal(1.7e9, 3):.2f}",
            "" if at % 9 == 0 else f"{draw.normal(5, 2):.3f}",
            colours[at % 3],
            "ab"[at % 2],
        )
        for at in range(90)
    ]
    table = tmp_path / "table.csv"
    table.write_text("at,size,colour,kind\n" + "".join(",".join(row) + "\n" for row in rows))
    about, *shards = tables.split([table], target="kind", shards=2)
    told = json.loads(about[0].data)
    net = nets.for_data(nets.parse("mlp:8"), told)
    arrays = [tables.arrays(shard) for shard in shards]
    seen = np.concatenate([found[name] for found in arrays for name in ("X", "valid_X", "test_X")])
    wanted = forward.softmax(forward.logits(net, moved(net), seen))

    raw = []  # as the page on nets says: numbers as they are, NaN where missing, categories as 0 and 1
    for row in rows:
        named = dict(zip(["at", "size", "colour"], [text or None for text in row], strict=False))
        for column in told["columns"]:
            value = named[column["name"]]
            if column["kind"] == "number":
                raw.append(math.nan if value is None else float(value))
            else:
                raw += [float(value == each) for each in column["values"]]
    found = run(onnx_net.write(net, moved(net), told), np.array(raw).reshape(90, -1))
    assert np.abs(np.sort(found["probabilities"][:, 0]) - np.sort(wanted[:, 0])).max() < 1e-6
    assert set(found["labels"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 8, 8), 1), ((8, 8), 2), ((8, 8), 1), ((5,), 1)], ids=["picture", "columns", "rows", "row"]
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_arrays_and_pictures_are_scaled_along_their_axis(shape: tuple[int, ...], axis: int, dtype: str) -> None:
    net = nets.resolve(nets.parse("mlp:6"), shape, 4)
    places = (1, *shape)[axis]
    mean, std = np.linspace(90, 150, places), np.linspace(40, 70, places)
    raw = np.random.default_rng(0).integers(0, 256, (5, *shape))
    form = [places if each == axis else 1 for each in range(raw.ndim)]
    wanted = forward.logits(net, moved(net), (raw - mean.reshape(form)) / std.reshape(form))
    scaling = {"axis": axis, "mean": mean.tolist(), "std": std.tolist()}
    written = onnx_net.write(net, moved(net), card(4, dtype=dtype, scaling=scaling))
    found = run(written, raw.astype(np.uint8 if dtype == "uint8" else np.float64))
    assert np.abs(found["probabilities"] - forward.softmax(wanted)).max() < 1e-6
    assert np.ptp(wanted) > 0.1


def test_predicted_numbers_are_in_the_unit_of_the_target() -> None:
    net = resolved("mlp:16,8")
    samples = samples_of("mlp:16,8", 4)
    written = onnx_net.write(net, net.init(0), card(target_scale={"mean": 1e6, "std": 50.0}))
    found = run(written, samples.astype(np.float64))["numbers"]
    assert found.tolist() == pytest.approx((forward.logits(net, net.init(0), samples)[:, 0] * 50.0 + 1e6).tolist())
    assert np.ptp(found) > 1


def test_the_same_net_gives_the_same_bytes() -> None:
    net = resolved("cnn:4,8")
    assert onnx_net.write(net, net.init(0), card(10)) == onnx_net.write(net, net.init(0), card(10))
    assert onnx_net.write(net, net.init(0), card(10)) != onnx_net.write(net, net.init(1), card(10))


def test_labels_are_the_classes_whatever_they_are_called() -> None:
    net = resolved("mlp:8")
    called = ["größer", "", "a\nb"]
    found = run(onnx_net.write(net, net.init(0), card(3) | {"classes": called}), samples_of("mlp:8", 40).astype(float))
    assert set(found["labels"]) <= set(called)
    assert len(set(found["labels"])) > 1


def test_weights_in_the_file_are_those_of_the_net() -> None:
    net = resolved("mlp:8")
    model = onnx.load_from_string(onnx_net.write(net, net.init(0), card(3)))
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    for name, wanted in net.named(net.init(0)).items():
        assert np.array_equal(arrays[name].T if name.endswith("weight") else arrays[name], wanted)


def test_each_type_of_layer_is_written() -> None:
    assert set(onnx_net.ADD) == set(layers.OPTIONS)


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.floats(width=32, allow_nan=False),
    st.lists(st.text(st.characters(codec="utf-8"))),
    st.lists(st.integers(0, 5), max_size=3),
)
def test_what_is_written_is_what_the_package_reads(
    whole: int, many: list[int], number: float, texts: list[str], shape: list[int]
) -> None:
    graph = onnx_wire.Graph()
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    graph.constant(array, "array")
    graph.texts(texts)
    graph.add("Odd", "a", "", name="out", gives=1, whole=whole, many=many, number=number)
    model = onnx.load_from_string(graph.model([onnx_wire.value("in", onnx_wire.INT64, shape)], []))
    (node,) = model.graph.node
    told = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    assert told == {"whole": whole, "many": many, "number": number}
    assert (list(node.input), list(node.output), node.op_type) == (["a", ""], ["", "out"], "Odd")
    first, second = model.graph.initializer
    assert np.array_equal(onnx.numpy_helper.to_array(first), array)
    assert [each.decode() for each in second.string_data] == texts
    (given,) = model.graph.input
    assert [each.dim_value for each in given.type.tensor_type.shape.dim] == [0, *shape]
    assert given.type.tensor_type.elem_type == onnx.TensorProto.INT64
