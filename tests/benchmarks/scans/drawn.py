"""PDFs as office scanners make them: pages of drawn text, a little crooked, as JPEG or G4, without any text layer."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Literal, NamedTuple

import img2pdf
import matplotlib
import pikepdf
from PIL import Image, ImageDraw, ImageFont

from tests.benchmarks.ocr import DATA

FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSerif.ttf")
DPI, SIZE = 300, (2480, 3508)
PAPER, INK, BLACK = 250, 20, 140
FONT_PX, LINE_PX, MARGIN_PX, FOOT_PX = 42, 66, 200, 3250
MOST_TURN = 0.4
"""Degrees."""
DIFFERENT = 20
"""A long PDF repeats so many pages, with pictures of their own."""


class Scan(NamedTuple):
    """A PDF, and what stands on its pages."""

    path: Path
    texts: list[str]


def scan(path: Path, pages: int, kind: Literal["jpeg", "g4"], seed: int = 7) -> Scan:
    """Draw a PDF of so many pages; the same one for the same seed."""
    chance, words, font = random.Random(seed), _words(), ImageFont.truetype(FONT, FONT_PX)
    drawn = [_page(number, words, font, chance) for number in range(1, min(pages, DIFFERENT) + 1)]
    data = img2pdf.convert([_encoded(picture, kind) for picture, _ in drawn])
    path.write_bytes(data if pages <= DIFFERENT else _repeated(data, pages))
    return Scan(path, [drawn[number % len(drawn)][1] for number in range(pages)])


def _page(
    number: int, words: list[str], font: ImageFont.FreeTypeFont, chance: random.Random
) -> tuple[Image.Image, str]:
    picture = Image.new("L", SIZE, PAPER)
    draw = ImageDraw.Draw(picture)
    lines, y = [f"Page {number} of this book"], MARGIN_PX
    while y + (len(lines) - 1) * LINE_PX < FOOT_PX:
        line = chance.choice(words)
        while draw.textlength(longer := f"{line} {chance.choice(words)}", font) <= SIZE[0] - 2 * MARGIN_PX - 30:
            line = longer
        lines.append(line)
    for at, line in enumerate(lines):
        draw.text((MARGIN_PX, y + at * LINE_PX), line, INK, font)
    turned = picture.rotate(chance.uniform(-MOST_TURN, MOST_TURN), Image.Resampling.BICUBIC, fillcolor=PAPER)
    return turned, "\n".join(lines)


def _words() -> list[str]:
    """English words of real pages, letters of ASCII alone."""
    texts = (path.read_text(errors="replace") for path in sorted((DATA / "pages").glob("*.txt")))
    return [word for text in texts for word in text.split() if word.isascii() and word.isalpha()]


def _encoded(picture: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "jpeg":
        picture.save(out, "JPEG", quality=75, dpi=(DPI, DPI))
    else:
        black = picture.point(lambda value: 255 * (value > BLACK)).convert("1")
        black.save(out, "TIFF", compression="group4", dpi=(DPI, DPI))
    return out.getvalue()


def _repeated(data: bytes, pages: int) -> bytes:
    """A PDF of so many pages of this one, each with a picture of its own."""
    out = io.BytesIO()
    with pikepdf.new() as whole:
        while len(whole.pages) < pages:
            with pikepdf.open(io.BytesIO(data)) as one:
                for page in one.pages[: pages - len(whole.pages)]:
                    for picture in page.images.values():
                        picture.Copy = len(whole.pages)
                whole.pages.extend(one.pages[: pages - len(whole.pages)])
        whole.save(out, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    return out.getvalue()
