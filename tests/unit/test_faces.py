"""Finding faces on any picture, and what becomes of bad ones."""

from __future__ import annotations

import io
import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aggregators import people, recogniser
from splitters import Item
from tasks import faces, faces_train
from tasks.faces import engine
from tests.kit import onnx_models
from tests.kit.programs import DATA, ROOT

Image = pytest.importorskip("PIL.Image")
np = pytest.importorskip("numpy")

if faces.why_unavailable():
    pytest.skip(faces.why_unavailable(), allow_module_level=True)

YUNET = DATA / "models" / "face_detection_yunet.onnx"


@pytest.fixture(scope="module")
def portraits() -> list[Any]:
    """Twelve grey pictures of a face each."""
    files = sorted(DATA.glob("faces/*/1.pgm")) or sorted(ROOT.glob("deploy/examples/people/*/*.jpg"))
    if len(files) < 12:
        pytest.skip(f"no faces in {DATA} or deploy/examples/people")
    return [Image.open(file).convert("L") for file in files[:12]]


@pytest.fixture(params=["haar", "yunet"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """A bundle with this detector; None for the one that needs none."""
    if request.param == "haar":
        return None
    if not YUNET.is_file():
        pytest.skip(f"there is no {YUNET}")
    (tmp_path / "yunet.onnx").write_bytes(YUNET.read_bytes())
    return str(tmp_path)


def encoded(picture: Any, kind: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=kind, **how)
    return out.getvalue()


def look(data: bytes, **options: Any) -> list[faces.Face]:
    part = faces.recognise([Item("it", data)], **options)
    assert not part.failures
    return part.value["it"]


def party(portraits: Sequence[Any], size: tuple[int, int], width: int, kind: str = "L") -> tuple[Any, list[Any]]:
    """A picture with the portraits in rows, each ``width`` pixels wide, and where the middles of them are."""
    picture, middles = Image.new(kind, size, "grey"), []
    columns = size[0] // (2 * width)
    for at, portrait in enumerate(portraits):
        small = portrait.resize((width, width * portrait.height // portrait.width), Image.Resampling.LANCZOS)
        left, top = (2 * (at % columns) * width + width // 2, 2 * (at // columns) * width + width // 2)
        picture.paste(small, (left, top))
        middles.append((left + width / 2, top + small.height / 2))
    return picture, middles


def assert_found(found: Sequence[faces.Face], middles: Sequence[Any], width: float) -> None:
    boxes = [face["box"] for face in found]
    assert len(boxes) == len(middles)
    for x, y in middles:
        near = [
            box
            for box in boxes
            if abs(box[0] + box[2] / 2 - x) < width / 4 and abs(box[1] + box[3] / 2 - y) < width / 3
        ]
        assert len(near) == 1, (x, y)


def test_a_portrait_has_one_face_and_nobody_is_known(portraits: list[Any], model: str | None) -> None:
    for portrait in portraits:
        [face] = look(encoded(portrait), model=model)
        x, y, width, height = face["box"]
        assert x >= 0
        assert y >= 0
        assert x + width <= portrait.width
        assert y + height <= portrait.height
        assert width > portrait.width * 0.4
        assert (face["label"], face["confidence"]) == ("unknown", 0)
        assert 0.5 <= face["score"] <= 1


@pytest.mark.parametrize(("size", "width"), [((300, 400), 46), ((1280, 960), 120), ((4000, 3000), 150)])
def test_all_faces_of_a_crowd_are_found(
    portraits: list[Any], model: str | None, size: tuple[int, int], width: int
) -> None:
    picture, middles = party(portraits, size, width)
    assert_found(look(encoded(picture, "JPEG", quality=92), model=model), middles, width)


@pytest.mark.parametrize("pixels", [40, 92, 500, 3000])
def test_a_face_that_fills_the_picture_is_found_at_any_size(
    portraits: list[Any], model: str | None, pixels: int
) -> None:
    portrait = portraits[0].resize((pixels, pixels * portraits[0].height // portraits[0].width))
    [face] = look(encoded(portrait), model=model)
    assert face["box"][2] > pixels * 0.4


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "I;16"), ("JPEG", "RGB"), ("JPEG", "CMYK"),
     ("TIFF", "RGB"), ("BMP", "RGB"), ("WEBP", "RGB"), ("PPM", "L")],
)  # fmt: skip
def test_the_kind_of_picture_makes_no_difference(portraits: list[Any], model: str | None, kind: str, mode: str) -> None:
    picture, middles = party(portraits[:2], (400, 200), 92)
    if mode == "I;16":
        picture = picture.point(lambda value: value * 256, "I").convert("I;16")
    assert_found(look(encoded(picture.convert(mode), kind), model=model), middles, 92)


def test_boxes_are_told_in_pixels_of_the_upright_whole_picture(portraits: list[Any], model: str | None) -> None:
    picture, middles = party(portraits[:2], (4200, 2000), 700)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    data = encoded(picture.rotate(90, expand=True), "JPEG", exif=exif)
    assert_found(look(data, model=model), middles, 700)


def test_faces_that_lean_are_found(portraits: list[Any], model: str | None) -> None:
    found = 0
    for portrait in portraits:
        edge = int(np.asarray(portrait)[0].mean())
        found += len(look(encoded(portrait.rotate(15, fillcolor=edge)), model=model)) == 1
    assert found >= len(portraits) - 1


def no_faces() -> dict[str, Any]:
    chance = np.random.default_rng(1)
    return {
        "white": Image.new("L", (640, 480), "white"),
        "noise": Image.fromarray(chance.integers(0, 256, (480, 640, 3), np.uint8)),
        "slope": Image.linear_gradient("L").resize((1500, 1000)),
        "bars": Image.fromarray(np.tile(np.repeat(np.uint8([0, 255]), 20), (400, 15))),
        "one pixel": Image.new("RGB", (1, 1)),
        "a line": Image.new("L", (3000, 1)),
        "a column": Image.new("L", (2, 5000)),
    }


@pytest.mark.parametrize("name", no_faces())
def test_a_picture_without_a_face_gives_none(name: str, model: str | None) -> None:
    assert look(encoded(no_faces()[name]), model=model) == []


def test_print_is_not_taken_for_faces() -> None:
    pictures = sorted(DATA.glob("receipts/*.jpg"))[::4]
    if not pictures:
        pytest.skip(f"no receipts in {DATA}")
    assert {path.name: look(path.read_bytes()) for path in pictures} == {path.name: [] for path in pictures}


def test_a_bad_picture_is_reported_and_its_neighbours_are_done(portraits: list[Any]) -> None:
    good = encoded(portraits[0], "JPEG")
    huge = encoded(Image.new("L", (12_000, 12_000)), "PNG")
    begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    part = faces.recognise(
        [Item("cut", good[: len(good) // 2]), Item("empty", b""), Item("huge", huge), Item("good", good)]
    )
    assert list(part.value) == ["good"]
    assert len(part.value["good"]) == 1
    assert "damaged" in part.failures["cut"]
    assert part.failures["empty"] == "the file is empty"
    assert part.failures["huge"] == "12000 x 12000 pixels is over the limit of 64 megapixels"
    assert time.process_time() - begun < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_huge_jpeg_is_looked_at_in_little_memory_where_it_is_allowed(portraits: list[Any]) -> None:
    picture, middles = party(portraits[:2], (12_000, 12_000), 2000)
    data = encoded(picture, "JPEG")
    del picture
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_found(look(data, max_megapixels=178), middles, 2000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


def test_the_same_picture_gives_the_same_answer(portraits: list[Any], model: str | None) -> None:
    data = encoded(party(portraits, (1280, 960), 120)[0])
    assert look(data, model=model) == look(data, model=model)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ('{"parameters": {"detector": "../yunet.onnx"}}', "must be the name of a file of the bundle"),
        ('{"parameters": {"embedder": 3}}', "must be the name of a file of the bundle"),
        ('{"parameters": []}', "must be a mapping"),
        ("[1", "bundle.json"),
    ],
)
def test_a_bundle_with_wrong_parameters_is_refused(parameters: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text(parameters)
    with pytest.raises(faces.BadModel, match=reason):
        faces.recognise([], model=str(tmp_path))


def test_a_network_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"no network")
    (tmp_path / "bundle.json").write_text(json.dumps({"parameters": {"detector": "other.onnx"}}))
    with pytest.raises(faces.BadModel, match=r"other\.onnx: OpenCV cannot use it"):
        faces.recognise([], model=str(tmp_path))


@pytest.mark.parametrize("named", ["yunet.onnx", "sface.onnx"])
def test_a_bundle_that_cannot_be_used_is_known_before_the_first_picture(named: str, tmp_path: Path) -> None:
    (tmp_path / "kim.jpg").write_bytes(b"a picture")
    assert "nothing that this job uses" in faces.why_unavailable(model=str(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    model = onnx_models.write(other)
    (other / "colours.onnx").rename(other / named)
    assert "not the kind it is named after" in faces.why_unavailable(model=model)
    assert faces_train.why_unavailable(model=model) == faces.why_unavailable(model=model)
    junk = tmp_path / "junk"
    junk.mkdir()
    (junk / named).write_bytes(b"no network")
    assert f"{named}: OpenCV cannot use it" in faces.why_unavailable(model=str(junk))
    (other / named).unlink()
    (other / "recogniser.npz").write_bytes(b"no recogniser")
    engine.load.cache_clear()
    assert "damaged" in faces.why_unavailable(model=str(other))
    assert not faces_train.why_unavailable(model=str(other))  # which makes another one


def test_a_recogniser_of_other_features_is_known_before_the_first_face(tmp_path: Path) -> None:
    def portrait(label: str) -> people.Portrait:
        return {
            "label": label, "sha256": label.encode() * 32, "engine": engine.load(None).id, "compare": "discriminant",
            "type": "|u1", "features": bytes(range(50)), "mirrored": bytes(range(50)),
        }  # fmt: skip

    made = people.fit({f"{label}/1": portrait(label) for label in "ab"})
    (tmp_path / recogniser.FILE).write_bytes(made.files[recogniser.FILE])
    assert "recogniser.npz does not work: ValueError" in faces.why_unavailable(model=str(tmp_path))


def test_a_bundle_that_can_be_used_is_available(model: str | None) -> None:
    assert not faces.why_unavailable(model=model)


@pytest.mark.parametrize("size", [(1280, 1), (1280, 18), (7, 320)])
def test_nothing_is_found_in_memory_that_was_never_written(size: tuple[int, int], model: str | None) -> None:
    for brightness in range(0, 256, 50):
        chance = np.random.default_rng(brightness)
        list(map(chance.standard_normal, [400_000] * 3))  # so that it holds something
        assert look(encoded(Image.new("L", size, brightness)), model=model) == []


def test_a_bundle_that_is_dropped_is_not_taken_for_one_without_people(tmp_path: Path) -> None:
    dropped = str(tmp_path / "dropped")
    for read in (engine.load, faces._recogniser):
        with pytest.raises(engine.BadModel, match="is gone"):
            read(dropped)
