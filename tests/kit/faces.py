"""People who do not exist: inputs for the jobs about faces, and what must be found in them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.kit.programs import ROOT

FOLDER = ROOT / "deploy" / "examples"

PEOPLE = ("ada", "gus", "kim")
PICTURES_EACH = 2
ON_SMALL_PICTURES = {"ada.jpg": ("ada",), "b/gus and kim.png": ("gus", "kim"), "b/nobody.png": ()}
LONG_GROUPS, LONG_PORTRAITS_EACH = 48, 24
DRAWN = 4
"""Drawing takes longer than finding: a long input is made of so many drawings, each cut a little otherwise."""


def script() -> ModuleType:
    """`deploy/examples/draw_faces.py`, imported; without its libraries the test is skipped."""
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    pytest.importorskip("numpy", reason="NumPy is not installed")
    sys.path.insert(0, str(FOLDER))  # it imports the module beside it, as scripts do
    try:
        return importlib.import_module("draw_faces")
    finally:
        sys.path.remove(str(FOLDER))


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Of two boxes (left, top, width, height): what they share, as a share of what they cover."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, wide) * max(0.0, high)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def small(folder: Path) -> None:
    """A picture of one, of two and of nobody."""
    for name, people in ON_SMALL_PICTURES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        _small_picture(people)[0].save(folder / name)


def check_small(result: dict[str, list[dict[str, Any]]]) -> None:
    """On the pictures of ``small`` every face must be found where it is, and be nobody's, as there is no model.

    Raises:
        AssertionError: The result is another one.
    """
    assert result.keys() == ON_SMALL_PICTURES.keys()
    for name, people in ON_SMALL_PICTURES.items():
        found, known = result[name], _small_picture(people)[1]
        assert len(found) == len(known), name
        for face in known:
            assert max(overlap(face.box, other["box"]) for other in found) > 0.4, (name, face, found)
        for face in found:
            assert face.keys() == {"box", "score", "label", "confidence"}
            assert face["label"] == "unknown"
            assert face["score"] >= 0
            assert 0 <= face["confidence"] <= 1


def small_people(folder: Path) -> None:
    """A folder with a few pictures for each of ``PEOPLE``."""
    portraits(folder, PEOPLE, PICTURES_EACH)


def portraits(folder: Path, people: Sequence[str], each: int, size: tuple[int, int] = (160, 200)) -> None:
    """A folder with so many pictures for each of ``people``."""
    for person in people:
        (folder / person).mkdir(parents=True)
        for number in range(1, each + 1):
            script().draw_face(person, number).resize(size).save(folder / person / f"{number}.jpg")


def check_small_people(model: Any) -> None:
    """From the folders of ``small_people`` everybody must be learned, by every picture.

    Raises:
        AssertionError: The model is another one.
    """
    assert model.report["people"] == dict.fromkeys(PEOPLE, PICTURES_EACH)


def long(folder: Path) -> None:
    """Group pictures; each takes some 0.1 s."""
    for number in range(DRAWN):
        people = [f"guest {seat} of {number}" for seat in range(3)]
        cut(script().draw_party(people, (369, 209))[0], folder, f"{number}-", LONG_GROUPS // DRAWN)


def long_people(folder: Path) -> None:
    """Portraits in a folder for each of ``PEOPLE``; each takes some 0.07 s."""
    for person in PEOPLE:
        (folder / person).mkdir()
        for number in range(DRAWN):
            cut(
                script().draw_face(person, number, (206, 256)),
                folder / person,
                f"{number}-",
                LONG_PORTRAITS_EACH // DRAWN,
            )


def _small_picture(people: Sequence[str]) -> tuple[Any, list[Any]]:
    from PIL import Image

    if not people:
        return Image.linear_gradient("L"), []
    picture, known = script().draw_party(people, (200 * len(people), 240))
    return picture, known


def cut(picture: Any, folder: Path, prefix: str, count: int) -> None:
    """Save the picture ``count`` times, each time without another one of its columns or rows at the edges."""
    width, height = picture.size
    for number in range(count):
        left, top = number % 6, number // 6
        picture.crop((left, top, width - 6 + left, height - 6 + top)).save(folder / f"{prefix}{number}.jpg", quality=90)
