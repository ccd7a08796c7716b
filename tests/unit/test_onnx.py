"""The job onnx: what NumPy says of the same pixels, and a reason for every parameter that cannot be right."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitters import Item
from tasks import onnx
from tasks.onnx import external, graph, parameters
from tests.kit import onnx_models

np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")
if problem := onnx.why_unavailable():
    pytest.skip(problem, allow_module_level=True)

ORANGE = (250, 140, 20)


def encoded(picture: Any, kind: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=kind, **how)
    return out.getvalue()


def plain(colour: tuple[int, ...] = ORANGE, size: tuple[int, int] = (40, 30)) -> bytes:
    return encoded(Image.new("RGB", size, colour))


def left_and_right() -> bytes:
    """Red with a blue stripe of a fifth of the width on the left and on the right."""
    picture = Image.new("RGB", (80, 30), (200, 0, 0))
    for left in (0, 64):
        picture.paste((0, 0, 200), (left, 0, left + 16, 30))
    return encoded(picture)


def classify(folder: str, data: bytes, top: int = 4, **options: Any) -> dict[str, float]:
    part = onnx.classify([Item("it", data)], model=folder, top=top, **options)
    assert not part.failures
    return {guess["label"]: guess["confidence"] for guess in part.value["it"]}


def by_numpy(colour: Any) -> dict[str, float]:
    """What the model says of a mean colour, as it was prepared."""
    logits = np.array(onnx_models.WEIGHTS)[:, : len(colour)] @ np.array(colour) + np.array(onnx_models.BIAS)
    likely = np.exp(logits) / np.exp(logits).sum()
    return dict(zip(onnx_models.LABELS, likely.tolist(), strict=True))


def same(found: dict[str, float], colour: Any) -> None:
    assert found == pytest.approx(by_numpy(colour), abs=2e-4)


def test_labels_and_confidences_are_those_of_numpy(tmp_path: Path) -> None:
    found = classify(onnx_models.write(tmp_path), plain())
    same(found, np.array(ORANGE) / 255)
    assert list(found) == sorted(found, key=lambda label: -found[label])


def test_top_gives_the_likeliest_first(tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path)
    every = list(classify(folder, plain()).items())
    assert list(classify(folder, plain(), top=1).items()) == every[:1]
    assert list(classify(folder, plain(), top=2).items()) == every[:2]
    assert list(classify(folder, plain(), top=99).items()) == every


@pytest.mark.parametrize(
    ("changes", "colour"),
    [
        ({"colours": "bgr"}, np.array(ORANGE[::-1]) / 255),
        ({"scale": 1 / 127.5, "mean": [1, 1, 1]}, np.array(ORANGE) / 127.5 - 1),
        ({"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 1]}, (np.array(ORANGE) / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 1]),
        (
            {"colours": "bgr", "mean": [0.3, 0.4, 0.5], "std": [0.5, 1, 2]},
            (np.array(ORANGE[::-1]) / 255 - [0.3, 0.4, 0.5]) / [0.5, 1, 2],
        ),
        ({"labels": list(onnx_models.LABELS), "model": "colours.onnx"}, np.array(ORANGE) / 255),
        ({"size": [16, 12]}, np.array(ORANGE) / 255),
    ],
)
def test_pictures_are_prepared_as_the_parameters_say(changes: Any, colour: Any, tmp_path: Path) -> None:
    width, height = changes.get("size", [8, 6])
    model = onnx_models.mean_colour(size=(width, height))
    same(classify(onnx_models.write(tmp_path, model, **changes), plain()), colour)


def test_grey_is_one_channel(tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path, onnx_models.mean_colour(1), colours="grey", mean=[0.5], std=[0.5])
    luma = np.array(Image.new("RGB", (1, 1), ORANGE).convert("L")).item()
    same(classify(folder, plain()), [(luma / 255 - 0.5) / 0.5])


def test_stretch_takes_the_whole_picture_and_crop_its_middle(tmp_path: Path) -> None:
    whole = classify(onnx_models.write(tmp_path / "stretch"), left_and_right())
    same(whole, np.array([120, 0, 80]) / 255)
    middle = classify(onnx_models.write(tmp_path / "crop", resize="crop"), left_and_right())
    same(middle, np.array([200, 0, 0]) / 255)


def test_a_model_that_gives_probabilities_needs_no_softmax(tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path, onnx_models.mean_colour(softmax=True), softmax=False)
    same(classify(folder, plain()), np.array(ORANGE) / 255)


def test_a_large_jpeg_gives_what_a_small_one_gives(tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path)
    large = encoded(Image.new("RGB", (2400, 1800), ORANGE), "JPEG", quality=95)
    assert classify(folder, large) == pytest.approx(classify(folder, plain()), abs=0.01)


def test_a_bad_picture_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path)
    chunk = [Item("good", plain()), Item("bad", b"none"), Item("large", plain(size=(1100, 1000))), Item("too", plain())]
    part = onnx.classify(chunk, model=folder, max_megapixels=1)
    assert list(part.value) == ["good", "too"]
    assert part.value["good"] == part.value["too"]
    assert "not a picture" in part.failures["bad"]
    assert "over the limit of 1 megapixels" in part.failures["large"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": None}, 'have no "size"'),
        ({"size": [8]}, r"size is \[8\]; it must be \[width, height\]"),
        ({"size": [8, 0]}, "size"),
        ({"size": [8, 1e9]}, "size"),
        ({"labels": None}, 'have no "labels"'),
        ({"labels": []}, "labels"),
        ({"labels": ["red", 5]}, "labels"),
        ({"labels": "names.txt"}, "labels is 'names.txt'; it is not in the model's folder"),
        ({"labels": "../../labels.txt"}, "labels .* must be a file in the model's folder"),
        ({"labels": "/etc/hostname"}, "labels .* must be a file in the model's folder"),
        ({"labels": ["red", "green"]}, "2 labels, and the model gives 4 values"),
        ({"model": "other.onnx"}, "model is 'other.onnx'; it is not in"),
        ({"model": "labels.txt"}, r"must be the name of an \.onnx file"),
        ({"mean": [1, 2]}, "mean .* 3 numbers"),
        ({"mean": 0.5}, "mean .* 3 numbers"),
        ({"std": [1, 1, 0]}, "std .* must not have a 0"),
        ({"std": [1, 1, "1"]}, "std .* 3 numbers"),
        ({"scale": 0}, "scale"),
        ({"scale": True}, "scale"),
        ({"colours": "hsv"}, "colours is 'hsv'; it must be one of rgb, bgr, grey"),
        ({"colours": ["rgb"]}, "colours"),
        ({"colours": "grey"}, r"cannot be run on a picture of 8 x 6 in grey \(size, colours\)"),
        ({"resize": "pad"}, "resize .* stretch, crop"),
        ({"softmax": "yes"}, "softmax"),
        ({"output": 7}, "output is 7; it must be the name of an output"),
        ({"softmax": False}, "softmax is false, but the model gives values from -1.01 to"),
        ({"sofmax": True}, "unknown parameter 'sofmax' .*softmax"),
    ],
)
def test_a_wrong_parameter_is_named_before_the_first_picture(changes: Any, reason: str, tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path / "model", **changes)
    (tmp_path.parent / "labels.txt").write_text("a\nb\nc\nd\n")
    with pytest.raises(parameters.ModelUnusable, match=reason):
        onnx.classify([], model=folder)
    assert onnx.why_unavailable(model=folder)


def test_two_models_in_a_folder_need_one_to_be_named(tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path)
    (tmp_path / "second.onnx").write_bytes(b"")
    with pytest.raises(parameters.ModelUnusable, match=r"must name .* \(there: colours.onnx, second.onnx\)"):
        onnx.classify([], model=folder)


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(parameters.ModelUnusable, match="--model"):
        onnx.classify([])
    with pytest.raises(parameters.ModelUnusable, match=r"bundle\.json cannot be read: No such file"):
        onnx.classify([], model=str(tmp_path / "nowhere"))
    folder = Path(onnx_models.write(tmp_path / "it"))
    for bundle, reason in (("{", "no JSON"), ("[]", "object"), ('{"job": "faces"}', "'faces', not of onnx")):
        (folder / "bundle.json").write_text(bundle)
        with pytest.raises(parameters.ModelUnusable, match=reason):
            onnx.classify([], model=str(folder))


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1])
def test_a_damaged_file_is_told(cut: int, tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path)
    whole = (tmp_path / "colours.onnx").read_bytes()
    (tmp_path / "colours.onnx").write_bytes(whole[:cut])
    with pytest.raises(parameters.ModelUnusable, match=r"colours\.onnx"):
        onnx.classify([], model=folder)
    (tmp_path / "colours.onnx").write_bytes(bytes(reversed(whole)))
    with pytest.raises(parameters.ModelUnusable, match=r"colours\.onnx"):
        onnx.classify([], model=folder)


@pytest.mark.parametrize("place", ["initializer", "constant", "branch"])
def test_weights_outside_the_file_are_refused(place: str, tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    model = onnx_models.mean_colour()
    outside = TensorProto(name="outside", data_type=TensorProto.FLOAT, dims=[1])
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../../secrets.bin")
    if place == "initializer":
        model.graph.initializer.append(outside)
    else:
        node = helper.make_node("Constant", [], ["outside"], value=outside)
        if place == "branch":
            output = helper.make_tensor_value_info("outside", TensorProto.FLOAT, [1])
            node = helper.make_node("If", ["picture"], ["z"], then_branch=helper.make_graph([node], "g", [], [output]))
        model.graph.node.append(node)
    folder = onnx_models.write(tmp_path, model)
    with pytest.raises(parameters.ModelUnusable, match=r"weights in other files \(\.\./\.\./secrets\.bin\)"):
        onnx.classify([], model=folder)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path / "model", labels="linked.txt")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    (tmp_path / "model" / "linked.txt").symlink_to(tmp_path / "labels.txt")
    with pytest.raises(parameters.ModelUnusable, match="must be a file in the model's folder"):
        onnx.classify([], model=folder)


def test_a_model_is_loaded_once_in_a_process(tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path)
    before = classify(folder, plain())
    for path in tmp_path.iterdir():
        path.unlink()
    assert classify(folder, plain()) == before


def test_a_part_is_made_of_what_messagepack_carries(tmp_path: Path) -> None:
    part = onnx.classify([Item("it", plain())], model=onnx_models.write(tmp_path), top=2)
    assert json.loads(json.dumps(part.value)) == part.value


@given(st.binary(max_size=200), st.integers(0, 10_000))
def test_looking_into_any_bytes_ends_in_a_reason(noise: bytes, at: int) -> None:
    whole = onnx_models.mean_colour().SerializeToString()
    for data in (noise, whole[: at % len(whole)] + noise + whole[at % len(whole) :]):
        try:
            assert isinstance(external.files(data), list)
            assert isinstance(graph.read(data).outputs, tuple)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - either is right


def test_the_small_input_gives_what_its_answers_say(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    onnx_models.small(tmp_path / "in")
    chunk = [Item(name, (tmp_path / "in" / name).read_bytes()) for name in onnx_models.PICTURES]
    part = onnx.classify(chunk, model=onnx_models.write(tmp_path / "model"), top=4)
    assert part.value == {name: onnx_models.answer(colour) for name, colour in onnx_models.PICTURES.items()}


def test_labels_saved_with_a_byte_order_mark_are_read_without_it(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n", encoding="utf-8-sig")
    assert parameters._labels(tmp_path, "labels.txt") == ("cat", "dog")


def two_outputs(first: str) -> Any:
    """The model of the mean colour, with one output that holds the answer and one that turns it around."""
    from onnx import TensorProto, helper

    model = onnx_models.mean_colour()
    model.graph.node.append(helper.make_node("Neg", ["logits"], ["turned"]))
    model.graph.output.append(helper.make_tensor_value_info("turned", TensorProto.FLOAT, [1, 4]))
    if first == "turned":
        model.graph.output.reverse()
    return model


@pytest.mark.parametrize(("first", "parameters"), [("logits", {}), ("turned", {"output": "logits"})])
def test_of_several_outputs_the_first_counts_or_the_named_one(first: str, parameters: Any, tmp_path: Path) -> None:
    same(classify(onnx_models.write(tmp_path, two_outputs(first), **parameters), plain()), np.array(ORANGE) / 255)


def test_an_output_that_the_model_has_not_is_refused_by_name(tmp_path: Path) -> None:
    folder = onnx_models.write(tmp_path, two_outputs("logits"), output="label")
    with pytest.raises(parameters.ModelUnusable, match=r"no output 'label' \(there are: logits, turned\)"):
        onnx.classify([], model=folder)


def channels_last(*shape: int | str) -> Any:
    from onnx import TensorProto, helper

    model = onnx_models.mean_colour()
    model.graph.node[0].input[0] = "turned"
    model.graph.node.insert(0, helper.make_node("Transpose", ["picture"], ["turned"], perm=[0, 3, 1, 2]))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape))
    return model


@pytest.mark.parametrize("shape", [(1, 6, 8, 3), ("batch", 6, 8, 3)])
def test_a_model_that_declares_channels_last_is_fed_so(shape: tuple[int | str, ...], tmp_path: Path) -> None:
    same(classify(onnx_models.write(tmp_path, channels_last(*shape)), plain()), np.array(ORANGE) / 255)


@pytest.mark.parametrize("shape", [(1, 3, 5, 8), (1, 1, 6, 8), (2, 3, 6, 8), (3, 6, 8), (1, 6, 8, 4)])
def test_a_model_that_declares_another_input_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    model = onnx_models.mean_colour()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape))
    with pytest.raises(parameters.ModelUnusable, match=rf"its input picture is declared as \[{str(shape)[1:-1]}\]"):
        onnx.classify([], model=onnx_models.write(tmp_path, model))


def test_a_model_of_two_inputs_is_refused_and_weights_are_none(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    model = onnx_models.mean_colour()
    model.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [3, 4]))
    same(classify(onnx_models.write(tmp_path / "one", model), plain()), np.array(ORANGE) / 255)
    model.graph.input.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, [1]))
    with pytest.raises(parameters.ModelUnusable, match=r"must have one input; it has 2 \(picture, age\)"):
        onnx.classify([], model=onnx_models.write(tmp_path / "two", model))
