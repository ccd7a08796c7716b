"""The drawn people: detectors find them, and they can be told apart. Other tests rest on both."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.kit import faces
from tests.kit.programs import DATA

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
np = pytest.importorskip("numpy")
draw_faces = faces.script()
cv2.setNumThreads(1)

PEOPLE = range(10)
SIZES = ((96, 120), (120, 150), (160, 200), (240, 300), (320, 400))
PORTRAITS = list(product(PEOPLE, range(len(SIZES))))
PARTIES = [tuple(f"guest {3 * party + seat}" for seat in range(3)) for party in range(3)]


def grey(picture: Any) -> Any:
    return np.asarray(picture.convert("L"))


def cascade(name: str) -> Any:
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")


Portraits = dict[tuple[int, int], Any]


@pytest.fixture(scope="module")
def portraits() -> Portraits:
    """Five pictures of each of 10 people, each in another size."""
    return {(who, shot): grey(draw_faces.draw_face(who, shot, SIZES[shot])) for who, shot in PORTRAITS}


@pytest.fixture(scope="module")
def found(portraits: Portraits) -> dict[tuple[int, int], Any]:
    """The boxes in each."""
    detector = cascade("frontalface_alt2")
    return {key: detector.detectMultiScale(picture, 1.1, 3) for key, picture in portraits.items()}


def test_the_cascades_find_the_faces_and_their_eyes(portraits: Portraits, found: Portraits) -> None:
    assert sum(len(boxes) == 1 for boxes in found.values()) >= 0.97 * len(portraits)
    eyes = cascade("eye")
    with_both_eyes = 0
    for key, picture in portraits.items():
        for left, top, wide, high in found[key][:1]:
            upper = cv2.resize(picture[top : top + high * 6 // 10, left : left + wide], (200, 120))
            sides = {x + w / 2 < 100 for x, _, w, _ in eyes.detectMultiScale(upper, 1.1, 3)}
            with_both_eyes += len(sides) == 2
    assert with_both_eyes >= 0.95 * len(portraits)


def test_yunet_finds_the_faces(portraits: Portraits) -> None:
    model = DATA / "models" / "face_detection_yunet.onnx"
    if not model.is_file():
        pytest.skip(f"{model.name} is not here")
    detector = cv2.FaceDetectorYN.create(str(model), "", (0, 0), 0.6)
    found = 0
    for picture in portraits.values():
        detector.setInputSize(picture.shape[::-1])
        boxes = detector.detect(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))[1]
        found += boxes is not None and len(boxes) == 1
    assert found >= 0.97 * len(portraits)


def test_on_group_pictures_every_face_is_where_the_script_says() -> None:
    detector = cascade("frontalface_alt2")
    for people in PARTIES:
        picture, known = draw_faces.draw_party(people)
        boxes = detector.detectMultiScale(grey(picture), 1.1, 3)
        assert [face.name for face in known] == list(people)
        assert len(boxes) == len(people)
        assert all(max(faces.overlap(face.box, box) for box in boxes) > 0.6 for face in known), people


def test_pictures_of_one_person_are_more_alike_than_those_of_two(portraits: Portraits, found: Portraits) -> None:
    hog = cv2.HOGDescriptor((96, 96), (24, 24), (12, 12), (12, 12), 9)
    rows, owners = [], []
    for key, picture in portraits.items():
        for left, top, wide, high in found[key][:1]:
            face = cv2.resize(picture[top : top + high, left : left + wide], (96, 96), interpolation=cv2.INTER_AREA)
            rows.append(hog.compute(face).ravel())
            owners.append(key[0])
    vectors, people = np.array(rows), np.array(owners)
    alike = vectors @ vectors.T / np.outer(*2 * (np.linalg.norm(vectors, axis=1),))
    np.fill_diagonal(alike, -1)
    assert (people[alike.argmax(axis=1)] == people).mean() >= 0.9  # without alignment, and without learning


def test_the_same_seeds_give_the_same_pixels_and_others_do_not() -> None:
    draw = draw_faces.draw_face
    assert draw("ada", 1).tobytes() == draw("ada", 1).tobytes()
    assert draw("ada", 1).tobytes() != draw("ada", 2).tobytes()
    assert draw("ada", 1).tobytes() != draw("gus", 1).tobytes()


def test_the_size_is_the_one_asked_for() -> None:
    for size in ((8, 10), (20, 25), (300, 100), (100, 300)):
        assert draw_faces.draw_face("ada", 1, size).size == size
    assert draw_faces.draw_party(["ada", "gus"], (500, 300))[0].size == (500, 300)


def test_drawing_again_gives_the_files_in_the_repository(tmp_path: Path) -> None:
    from PIL import Image, ImageChops

    draw_faces.draw_all(tmp_path)
    drawn = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")}
    kept = {path.relative_to(faces.FOLDER).as_posix() for path in faces.FOLDER.glob("p*/**/*.*")}
    assert drawn == kept
    assert sum((faces.FOLDER / name).stat().st_size for name in kept) < 400_000
    for name in drawn:
        with Image.open(tmp_path / name) as ours, Image.open(faces.FOLDER / name) as theirs:
            assert ours.size == theirs.size
            apart = ImageChops.difference(ours, theirs)
            assert max(apart.tobytes()) <= 60, f"{name}: run `make examples`"
