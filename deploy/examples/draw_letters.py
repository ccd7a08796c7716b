"""Draw letters to learn from: ``python deploy/examples/draw_letters.py letters.npz``.

Needs Pillow and NumPy; the font is the one inside Pillow. Each picture shows one capital letter near the middle,
turned, bent, larger or smaller, lighter or darker, on paper with grain. The same seed gives the same pixels.
"""

from __future__ import annotations

import argparse
import string
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERS = string.ascii_uppercase
SIDE_PX = 16
DRAWN_PX = 64
"""Letters are drawn larger and made smaller, so that their edges are smooth at any angle."""
GRAIN = 30.0
"""Standard deviation of the paper's grain, of 255 levels of grey."""

Array = np.ndarray[Any, np.dtype[np.uint8]]


def draw(rows: int, seed: int) -> tuple[Array, np.ndarray[Any, np.dtype[np.str_]]]:
    """Draw pictures, uint8 of shape (rows, SIDE_PX, SIDE_PX), and say which letters they show, of shape (rows,).

    Each letter comes equally often, give or take one.
    """
    chance = Random(seed)
    shown = [LETTERS[number % len(LETTERS)] for number in range(rows)]
    chance.shuffle(shown)
    fonts = [_font(size_px) for size_px in range(50, 75, 4)]
    pictures = np.empty((rows, SIDE_PX, SIDE_PX), np.float32)
    for picture, letter in zip(pictures, shown, strict=True):
        picture[:] = np.asarray(_drawn(letter, chance.choice(fonts), chance), np.float32)
    grain = np.random.default_rng(seed).normal(0, GRAIN, pictures.shape)
    return np.clip(pictures + grain, 0, 255).round().astype(np.uint8), np.array(shown)


def _drawn(letter: str, font: ImageFont.FreeTypeFont, chance: Random) -> Image.Image:
    paper = chance.randint(170, 255)
    page = Image.new("L", (DRAWN_PX, DRAWN_PX), paper)
    middle = tuple(DRAWN_PX / 2 + chance.uniform(-6, 6) for _ in range(2))
    ImageDraw.Draw(page).text(middle, letter, chance.randint(0, 90), font, anchor="mm")
    slant = chance.uniform(-0.25, 0.25)
    bent = page.transform(
        page.size, Image.Transform.AFFINE, (1, slant, -slant * DRAWN_PX / 2, 0, 1, 0), Image.Resampling.BILINEAR,
        fillcolor=paper,
    )  # fmt: skip
    turned = bent.rotate(chance.uniform(-25, 25), Image.Resampling.BILINEAR, fillcolor=paper)
    return turned.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)


def _font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    if not isinstance(font, ImageFont.FreeTypeFont):
        sys.exit("draw_letters: this Pillow was built without FreeType; install a wheel of it (pip install pillow)")
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


def write(file: Path, rows: int, seed: int) -> None:
    """Write pictures and letters as ``X`` and ``y`` of an npz file, which is replaced."""
    pictures, letters = draw(rows, seed)
    np.savez_compressed(file, X=pictures, y=letters)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw letters to learn from.")
    parser.add_argument("file", type=Path, help="the npz file to write")
    parser.add_argument("--rows", type=int, default=6000, help="how many pictures (default 6000)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write(given.file, given.rows, given.seed)
