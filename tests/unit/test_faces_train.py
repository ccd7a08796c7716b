"""From people's pictures to a bundle that names them, without a cluster."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from aggregators import Model, people
from splitters import Item
from tasks import faces, faces_train
from tasks.faces import align, engine
from tests.benchmarks import faces as protocol
from tests.kit.programs import DATA

Image = pytest.importorskip("PIL.Image")
np = pytest.importorskip("numpy")

if faces.why_unavailable():
    pytest.skip(faces.why_unavailable(), allow_module_level=True)

FACES = DATA / "faces"
YUNET = DATA / "models" / "face_detection_yunet.onnx"


@pytest.fixture
def items() -> dict[str, list[Item]]:
    """Person -> ten pictures."""
    if not FACES.is_dir():
        pytest.skip(f"there is no folder {FACES}")
    return {
        folder.name: [Item(f"{folder.name}/{file.name}", file.read_bytes()) for file in sorted(folder.glob("*.pgm"))]
        for folder in sorted(FACES.iterdir())
    }


def embed(chunk: Iterable[Item], model: str | None = None) -> people.Portraits:
    part = faces_train.embed_people(list(chunk), model=model)
    assert not part.failures
    return part.value


def bundle(model: Model, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in model.files.items():
        (folder / name).write_bytes(data)
    (folder / "bundle.json").write_text(json.dumps({"job": "faces", "parameters": model.parameters}))
    return str(folder)


def labels(chunk: list[Item], model: str) -> list[list[str]]:
    found = faces.recognise(chunk, model=model).value
    return [[face["label"] for face in found[item.name]] for item in chunk]


@pytest.mark.slow  # describing 200 pictures takes 14 s
def test_people_are_recognised_as_well_as_ever(items: dict[str, list[Item]]) -> None:
    described = embed(item for chunk in items.values() for item in chunk)
    splits = protocol.splits(protocol.album_of(FACES), 3)
    found = protocol.mean_rates(splits, [protocol.ours(described, split) for split in splits])
    assert found["rank-1"] >= 0.97
    assert found["named rightly, 5 % of strangers named"] >= 0.92
    assert found["named rightly at its own threshold"] >= 0.90
    assert found["strangers named at its own threshold"] <= 0.06


def test_a_party_is_named_by_what_was_learnt_from_portraits(items: dict[str, list[Item]], tmp_path: Path) -> None:
    known, strangers = sorted(items)[:8], sorted(items)[8:10]
    learnt = [item for who in known for item in items[who][:7]]
    model = bundle(people.fit(embed(learnt)), tmp_path)
    assert not faces.why_unavailable(model=model)
    picture = Image.new("RGB", (2400, 700), "grey")
    for at, who in enumerate([*known[:3], *strangers]):
        face = Image.open(io.BytesIO(items[who][8].data)).resize((276, 336))
        picture.paste(face, (100 + 450 * at, 150))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    [found] = labels([Item("party.jpg", out.getvalue())], model)
    assert len(found) == 5
    assert sum(a == b for a, b in zip(found, [*known[:3], "unknown", "unknown"], strict=True)) >= 4


def test_pictures_that_were_learnt_before_are_not_described_again(
    items: dict[str, list[Item]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [item for who in ("s1", "s2", "s3") for item in items[who][:4]]
    first = people.fit(embed(old))
    base = bundle(first, tmp_path / "1")
    described: list[bytes] = []
    really = faces_train._describe

    def describe(data: bytes, *rest: Any) -> Any:
        described.append(data)
        return really(data, *rest)

    monkeypatch.setattr(faces_train, "_describe", describe)
    new = items["s4"][:4]
    again = embed([*old, *new], model=base)
    assert described == [item.data for item in new]
    assert again == embed([*old, *new])
    assert people.fit(again, model=base).files == people.fit(embed(new, model=base), model=base, add=True).files


def test_with_another_detector_all_are_described_again(items: dict[str, list[Item]], tmp_path: Path) -> None:
    if not YUNET.is_file():
        pytest.skip(f"there is no {YUNET}")
    old = [item for who in ("s1", "s2") for item in items[who][:2]]
    base = bundle(people.fit(embed(old)), tmp_path)
    (tmp_path / "yunet.onnx").write_bytes(YUNET.read_bytes())
    engine.load.cache_clear()
    again = embed(old, model=base)
    assert {portrait["engine"].split("-")[0] for portrait in again.values()} == {"yunet"}
    assert again != embed(old)
    with pytest.raises(faces.BadModel, match="train again"):
        faces.recognise([], model=base)
    assert "yunet.onnx" in people.fit(again, model=base).files


def test_a_picture_that_cannot_be_used_says_why(items: dict[str, list[Item]]) -> None:
    good = items["s1"][0]
    out = io.BytesIO()
    Image.new("L", (200, 200), "white").save(out, "PNG")
    bad = [
        Item("anna/white.png", out.getvalue()),
        Item("anna/cut.pgm", good.data[:2000]),
        Item("lonely.pgm", good.data),
        Item("unknown/1.pgm", good.data),
    ]
    part = faces_train.embed_people([*bad, good])
    assert list(part.value) == [good.name]
    assert {name: why.split(":")[0].split(";")[0] for name, why in part.failures.items()} == {
        "anna/white.png": "no face found",
        "anna/cut.pgm": "damaged",
        "lonely.pgm": "lies in nobody's folder",
        "unknown/1.pgm": "'unknown' is what strangers are called",
    }


def test_of_several_faces_the_largest_is_learnt(items: dict[str, list[Item]]) -> None:
    small, large = (Image.open(io.BytesIO(items[who][0].data)) for who in ("s1", "s2"))
    picture = Image.new("L", (600, 400), "grey")
    picture.paste(small, (50, 100))
    picture.paste(large.resize((276, 336)), (250, 30))
    out = io.BytesIO()
    picture.save(out, "PNG")
    tools = engine.load(None)
    seen = engine.see(engine.decode(out.getvalue(), tools, 64), tools)
    assert len(seen) == 2
    biggest = max(seen, key=lambda one: one.box.width)
    assert biggest.box.x > 200
    [portrait] = embed([Item("s2/1.png", out.getvalue())]).values()
    pixels = np.asarray(picture)
    assert portrait["features"] == tools.describe(tools.straighten(pixels, biggest)).tobytes()


def test_a_part_is_as_large_as_its_docstring_says(items: dict[str, list[Item]]) -> None:
    msgpack = pytest.importorskip("msgpack")
    part = embed(items["s1"][:2])
    assert 40_000 < len(msgpack.packb(part)) / 2 < 41_000


@pytest.mark.parametrize("turn", [0, 25, -40])
def test_a_face_comes_straight_whatever_its_pose_and_size(turn: float) -> None:
    import cv2

    usual = np.array(align.PLACES) * (align.WIDTH, align.HEIGHT)
    for size in (0.4, 1.0, 7.0):
        spin = cv2.getRotationMatrix2D((48, 56), turn, size)
        spin[:, 2] += 500
        pixels = np.zeros((1500, 1500), np.uint8)
        points = usual @ spin[:, :2].T + spin[:, 2]
        for x, y in points[:2]:
            cv2.circle(pixels, (round(x), round(y)), max(1, round(4 * size)), 255, -1)
        for given in (points[:2], points):
            straight = align.straighten(pixels, given)
            assert straight.shape == (align.HEIGHT, align.WIDTH)
            for x, y in usual[:2]:
                assert straight[round(y), round(x)] > 120
        assert np.allclose(align.all_points(points[:2]), points)


def stand_in_for_sface() -> bytes:
    """A network with SFace's input and output that averages 8 x 16 fields of the face's green."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("AveragePool", ["data"], ["fields"], kernel_shape=[14, 7], strides=[14, 7]),
        helper.make_node("Conv", ["fields", "green"], ["one"], kernel_shape=[1, 1]),
        helper.make_node("Reshape", ["one", "flat"], ["fc1"]),
    ]
    weights = [
        helper.make_tensor("green", TensorProto.FLOAT, [1, 3, 1, 1], [0, 1, 0]),
        helper.make_tensor("flat", TensorProto.INT64, [2], [1, 128]),
    ]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [1, 128])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    made.ir_version = 8
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_a_bundle_with_sface_uses_it(detector: str, items: dict[str, list[Item]], tmp_path: Path) -> None:
    (tmp_path / "face_recognition_sface.onnx").write_bytes(stand_in_for_sface())
    if detector == "yunet":
        if not YUNET.is_file():
            pytest.skip(f"there is no {YUNET}")
        (tmp_path / "yunet.onnx").write_bytes(YUNET.read_bytes())
    learnt = [item for who in sorted(items)[:4] for item in items[who][:5]]
    described = embed(learnt, model=str(tmp_path))
    first: Any = next(iter(described.values()))
    assert first["engine"].startswith(detector)
    assert "sface-" in first["engine"]
    assert (first["compare"], first["type"], len(first["features"])) == ("cosine", "<f2", 256)
    assert first["features"] != first["mirrored"]
    model = bundle(people.fit(described, model=str(tmp_path)), tmp_path / "2")
    assert (Path(model) / "face_recognition_sface.onnx").is_file()
    found = labels(learnt, model)
    assert all(len(names) == 1 for names in found)


@pytest.mark.slow
def test_fitting_many_people_takes_seconds() -> None:
    chance = np.random.default_rng(1)
    given: people.Portraits = {}
    for who in range(100):
        centre = chance.normal(60, 15, 20_208)
        for number in range(8):
            rows = np.clip(centre + chance.normal(0, 20, (2, 20_208)), 0, 255).astype(np.uint8)
            given[f"{who}/{number}"] = people.Portrait(
                label=str(who), sha256=chance.bytes(32), engine="e", compare="discriminant", type="|u1",
                features=bytes(rows[0]), mirrored=bytes(rows[1]),
            )  # fmt: skip
    begun = time.process_time()
    model = people.fit(given)
    assert time.process_time() - begun < 60
    assert model.report["self_check"]["right"] == 1
