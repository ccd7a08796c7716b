"""Draw pictures of people who do not exist: ``make examples``, or ``python deploy/examples/draw_faces.py FOLDER``.

Needs Pillow and NumPy. Who somebody is follows from one seed, how a picture of them came out from another; the
same seeds give the same pixels. Face detectors find them all (tests/unit/test_draw_faces.py holds it).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import portrait
from PIL import Image

PEOPLE = ("ada", "gus", "kim", "rosa")
PICTURES_EACH = 5
PICTURE_SIZE = (160, 200)
PARTIES: Mapping[str, tuple[str, ...]] = {"garden.jpg": ("kim", "ada", "tom"), "kitchen.jpg": ("rosa", "yuki", "gus")}
"""Who is on each, from left to right; those not among ``PEOPLE`` are strangers."""
PARTY_SIZE = (720, 400)
QUALITY = 85

# Lengths are in the units of `portrait`.
HEIGHT_UNITS = 4.2
"""How many units high a picture of one person is."""
CENTRE_UNITS = 0.25
"""The middle of that picture, below the eyes."""
BOX = (-1.1, -0.9, 1.1, 1.3)
"""What the box of OpenCV's cascades holds, from forehead to chin: left, top, right, bottom."""

Array = np.ndarray[Any, np.dtype[np.float32]]
Colour = Sequence[float]
Range = tuple[float, float]

WHO: Mapping[str, Range] = {
    "width": (0.86, 1.08),
    "chin": (1.2, 1.48),
    "jaw": (2.0, 3.0),  # an oval face, a square one
    "eye_apart": (0.37, 0.47),
    "eye_width": (0.17, 0.23),
    "eye_open": (0.075, 0.115),
    "eye_tilt": (-0.12, 0.16),
    "brow_height": (0.22, 0.35),
    "brow_thick": (0.03, 0.085),
    "brow_arch": (0.0, 0.11),
    "brow_tilt": (-0.07, 0.07),
    "nose_length": (0.46, 0.66),
    "nose_width": (0.13, 0.23),
    "lip_gap": (0.25, 0.38),  # from the nose to the mouth
    "mouth_width": (0.27, 0.43),
    "lips": (0.04, 0.1),
    "cheeks": (0.0, 0.16),
    "hairline": (-0.95, -0.6),
    "parting": (-0.35, 0.35),
    "hair_high": (0.08, 0.34),
}
HOW: Mapping[str, Range] = {
    "light": (-0.5, 0.5),  # radians to the side
    "light_high": (0.15, 0.5),
    "brightness": (0.85, 1.1),
    "roll": (-0.08, 0.08),  # radians
    "yaw": (-0.07, 0.07),
    "size": (0.94, 1.06),
    "right": (-0.12, 0.12),
    "down": (-0.12, 0.12),
    "smile": (0.0, 0.1),
    "open": (-0.04, 0.05),
    "gaze": (-0.03, 0.03),
    "noise": (3.0, 10.0),
    "wall": (90, 215),
}
SKINS: Sequence[Colour] = ((244, 211, 190), (232, 190, 160), (214, 165, 130), (188, 134, 100), (158, 108, 80))
HAIRS: Sequence[Colour] = ((28, 24, 24), (62, 42, 30), (104, 70, 42), (152, 78, 40), (196, 158, 96), (168, 166, 164))
IRISES: Sequence[Colour] = ((62, 40, 26), (92, 62, 34), (70, 96, 120), (72, 98, 66))


class Face(NamedTuple):
    """Who is where on a group picture."""

    name: str
    box: tuple[int, int, int, int]
    """Left, top, width, height, in pixels."""


def draw_face(person: int | str, picture: int, size: tuple[int, int] = PICTURE_SIZE) -> Image.Image:
    """One picture of somebody, of ``size`` (width, height); another one for each number ``picture``."""
    how = _drawn_by_lot(f"{person} {picture}", HOW)
    scale = size[1] / HEIGHT_UNITS
    wall = _wall(size, how.wall, Random(f"wall {person} {picture}"))
    _add(wall, person, how, (size[0] / 2, size[1] / 2 - CENTRE_UNITS * scale), scale)
    return _developed(wall, how.noise, f"{person} {picture}")


def draw_party(people: Sequence[int | str], size: tuple[int, int] = PARTY_SIZE) -> tuple[Image.Image, list[Face]]:
    """A picture with ``people`` side by side, and where each face is."""
    seed = " ".join(map(str, people))
    chance = Random(f"party {seed}")
    wall = _wall(size, chance.uniform(*HOW["wall"]), chance)
    scale = min(size[1] / HEIGHT_UNITS, size[0] / len(people) / 2.7)
    faces = []
    for number, who in enumerate(people):
        how = _drawn_by_lot(f"{who} {seed}", HOW)
        at = (size[0] * (number + 0.5) / len(people), size[1] / 2 + chance.uniform(-0.2, 0.2) * scale)
        faces.append(Face(str(who), _add(wall, who, how, at, scale)))
    return _developed(wall, HOW["noise"][0], seed), faces


def draw_all(folder: Path) -> None:
    """Draw the people to learn into ``folder/people`` and the group pictures into ``folder/party``."""
    for who in PEOPLE:
        (folder / "people" / who).mkdir(parents=True, exist_ok=True)
        for picture in range(1, PICTURES_EACH + 1):
            draw_face(who, picture).save(folder / "people" / who / f"{picture}.jpg", quality=QUALITY)
    (folder / "party").mkdir(exist_ok=True)
    for name, people in PARTIES.items():
        draw_party(people)[0].save(folder / "party" / name, quality=QUALITY)


def _drawn_by_lot(seed: str, table: Mapping[str, Range]) -> SimpleNamespace:
    # Python's own generator promises the same numbers in every version; NumPy's does not.
    chance = Random(seed)
    return SimpleNamespace(**{name: chance.uniform(*ends) for name, ends in table.items()})


def _somebody(seed: int | str) -> SimpleNamespace:
    who = _drawn_by_lot(f"person {seed}", WHO)
    chance = Random(f"more of person {seed}")
    who.skin, who.hair, who.iris = chance.choice(SKINS), chance.choice(HAIRS), chance.choice(IRISES)
    long = chance.random() < 0.5
    who.hair_down = chance.uniform(0.6, 2.2) if long else chance.uniform(-0.3, 0.1)  # below the eyes, at the sides
    who.beard = 0.0 if long else chance.choice((0.0, 0.0, 0.35, 0.8))
    who.moustache = 0.0 if long else chance.choice((0.0, 0.0, 0.0, 0.85))
    who.glasses = chance.random() < 0.2
    return who


def _wall(size: tuple[int, int], brightness: float, chance: Random) -> Array:
    """What is behind the people: a plain wall with a slope of light."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    tint = np.float32([brightness + chance.uniform(-25, 25) for _ in range(3)])
    slope = chance.uniform(-0.2, 0.2) * x / size[0] + chance.uniform(-0.2, 0.2) * y / size[1]
    return tint * (1 + slope[..., None])


def _developed(picture: Array, noise: float, seed: str) -> Image.Image:
    raw = Random(f"noise {seed}").randbytes(picture.size)
    grain = np.frombuffer(raw, np.uint8).reshape(picture.shape).astype(np.float32) / 255 - 0.5
    return Image.fromarray(np.clip(picture + 2 * noise * grain, 0, 255).round().astype(np.uint8))


def _add(wall: Array, person: int | str, how: SimpleNamespace, at: tuple[float, float], scale: float) -> Any:
    """Put somebody in front of the wall, the point between the eyes ``at`` (x, y) in pixels; gives the face's box."""
    who = _somebody(person)
    scale *= how.size
    at_x, at_y = at[0] + how.right * scale, at[1] + how.down * scale
    left, right = max(0, int(at_x - 2.6 * scale)), min(wall.shape[1], int(at_x + 2.6 * scale))
    top = max(0, int(at_y - 2.2 * scale))
    view = wall[top:, left:right]
    y, x = np.mgrid[top : wall.shape[0], left:right].astype(np.float32)
    x, y = (x + 0.5 - at_x) / scale, (y + 0.5 - at_y) / scale
    chance = Random(f"shirt {how.light}")
    shirt = [chance.uniform(30, 220) for _ in range(3)]
    turned = np.cos(how.roll) * x + np.sin(how.roll) * y, np.cos(how.roll) * y - np.sin(how.roll) * x
    portrait.Portrait(view, *turned, scale, how.brightness).add(who, how, shirt)
    middle = (BOX[1] + BOX[3]) / 2  # the box turns around the eyes with the face
    box_x, box_y = at_x - np.sin(how.roll) * middle * scale, at_y + np.cos(how.roll) * middle * scale
    width, height = (BOX[2] - BOX[0]) * scale, (BOX[3] - BOX[1]) * scale
    return tuple(round(float(v)) for v in (box_x - width / 2, box_y - height / 2, width, height))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw pictures of people who do not exist.")
    parser.add_argument("folder", type=Path, help="where to; made if it is not there")
    draw_all(parser.parse_args().folder)
