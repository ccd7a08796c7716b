"""The job onnx does a chunk in one go where the model takes batches, and gives a model's own tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from splitters import Item
from tasks import onnx
from tasks.onnx import parameters, tensors
from tasks.onnx.net import Net
from tests.kit import onnx_models

np = pytest.importorskip("numpy")
if problem := onnx.why_unavailable():
    pytest.skip(problem, allow_module_level=True)


def model_of_any_batch() -> Any:
    from onnx import helper

    model = onnx_models.mean_colour()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].CopyFrom(
            helper.make_tensor_value_info("x", 1, ["rows"]).type.tensor_type.shape.dim[0]
        )
    return model


def pictures(folder: Path) -> list[Item]:
    folder.mkdir()
    onnx_models.small(folder)
    return [Item(name, (folder / name).read_bytes()) for name in onnx_models.PICTURES]


def count_forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counted: list[int] = []
    forward = Net._forward

    def counting(self: Any, batch: Any, output: str, rows: int) -> Any:
        counted.append(rows)
        return forward(self, batch, output, rows)

    monkeypatch.setattr(Net, "_forward", counting)
    return counted


def test_a_chunk_is_one_forward_of_a_model_of_any_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, folder = pictures(tmp_path / "in"), onnx_models.write(tmp_path / "any", model_of_any_batch())
    alone = [onnx.classify([item], model=folder, top=4).value for item in chunk]
    counted = count_forwards(monkeypatch)
    together = onnx.classify(chunk, model=folder, top=4)
    assert counted == [len(chunk)]
    assert together.value == {name: guesses for one in alone for name, guesses in one.items()}


def test_a_model_of_one_picture_gets_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, folder = pictures(tmp_path / "in"), onnx_models.write(tmp_path / "one")
    onnx.classify([], model=folder)
    counted = count_forwards(monkeypatch)
    part = onnx.classify(chunk, model=folder, top=4)
    assert counted == [1] * len(chunk)
    assert part.value == {name: onnx_models.answer(colour) for name, colour in onnx_models.PICTURES.items()}


def test_a_model_that_mixes_the_rows_of_a_batch_gets_them_alone(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    model = model_of_any_batch()
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["mixed"], axis=0))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("mixed", TensorProto.FLOAT, ["rows", 4]))
    folder = onnx_models.write(tmp_path / "mixed", model, softmax=None)
    chunk = pictures(tmp_path / "in")
    found = onnx.classify(chunk, model=folder, top=4).value
    assert {guess["confidence"] for guesses in found.values() for guess in guesses} == {1.0}


def test_tensors_are_what_the_model_itself_gives(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((5, 3, 6, 8), np.float32)
    expected = rows.mean(axis=(2, 3)) @ np.array(onnx_models.WEIGHTS).T + np.array(onnx_models.BIAS)
    for model in (model_of_any_batch(), onnx_models.mean_colour()):
        folder = onnx_models.write(tmp_path / str(id(model)), model)
        assert tensors.about(folder).inputs == (("picture", "float32", (None, 3, 6, 8)),)
        assert tensors.about(folder).outputs == (("logits", "float32", (None, 4)),)
        found = tensors.infer({"picture": rows}, folder)
        np.testing.assert_allclose(found["logits"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({}, "takes the inputs picture, and picture is missing"),
        ({"picture": (2, 3, 6, 8), "age": (2, 1)}, "age is not one of them"),
        ({"picture": (2, 3, 6, 9)}, r"a row of picture has the shape \(3, 6, 9\); the model takes \(3, 6, 8\)"),
        ({"picture": (0, 3, 6, 8)}, r"has the shape \(0, 3, 6, 8\): it must have a row"),
        ({"picture": ()}, "must have a row"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_with_the_reason(arrays: Any, reason: str, tmp_path: Path) -> None:
    given = {name: np.zeros(shape, np.float32) for name, shape in arrays.items()}
    with pytest.raises(ValueError, match=reason):
        tensors.infer(given, onnx_models.write(tmp_path))


def test_texts_are_no_tensor(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dtype <U1: it must hold numbers"):
        tensors.infer({"picture": np.array(["a"])}, onnx_models.write(tmp_path))


def of_tensors(folder: Path, **given: Any) -> str:
    onnx_models.write(folder)
    (folder / "bundle.json").write_text(json.dumps({"job": "onnx", "parameters": {"tensors": True, **given}}))
    return str(folder)


def test_a_model_of_tensors_needs_no_labels_and_takes_no_pictures(tmp_path: Path) -> None:
    folder = of_tensors(tmp_path / "it")
    assert (onnx.why_unavailable(model=folder), onnx.unusable(folder)) == ("", "")
    assert list(tensors.infer({"picture": np.zeros((2, 3, 6, 8), np.float32)}, folder)) == ["logits"]
    with pytest.raises(parameters.ModelUnusable, match="takes tensors, not pictures"):
        onnx.classify([], model=folder)
    (tmp_path / "it" / "colours.onnx").write_bytes(b"none")
    assert "colours.onnx" in onnx.unusable(folder)


@pytest.mark.parametrize(
    ("given", "reason"), [({"size": [8, 6]}, "size .* left out"), ({"tensors": 1}, "true or false")]
)
def test_odd_parameters_of_a_model_of_tensors_are_named(given: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(parameters.ModelUnusable, match=reason):
        tensors.about(of_tensors(tmp_path, **given))
