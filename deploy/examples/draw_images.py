"""Draw the example pictures: ``make examples``, or ``python deploy/examples/draw_images.py FOLDER``.

Needs Pillow and nothing of the system: the font is the one inside Pillow. Drawn again by the same
Pillow, every file has the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

FONT_PX = 30
MARGIN_PX = 45
DPI = 150  # a letter of 30 px is then 14 points high, as on a printed page


class Picture(NamedTuple):
    """One file: its pages, and how it looks."""

    pages: tuple[str, ...]
    mode: str = "L"
    """Pillow's mode: ``1`` black and white as a fax, ``L`` grey, ``RGB``."""
    ink: str = "black"
    paper: str = "white"


PICTURES: Mapping[str, Picture] = {
    "invoice.png": Picture((
        """\
Hollow Oak Bicycle Works
Invoice number 2041
Date: 14 March 2025

Two brake cables at 7.50 each: 15.00
One chain, fitted: 38.00
Labour, one hour and a half: 54.00

Amount due: 107.00
Please pay within thirty days.""",
    )),
    "opening-hours.jpg": Picture((
        """\
The Paper Lantern Bookshop

Monday closed
Tuesday to Friday 10 to 18
Saturday 9 to 16
Sunday 11 to 15

The cat is friendly. Mind the step.""",
    ), "RGB", ink="navy", paper="ivory"),
    "shopping-list.bmp": Picture((
        """\
Shopping for Saturday

six eggs
brown bread
a bag of potatoes
butter, milk and yogurt
two lemons
soap for the kitchen
stamps for the letters""",
    ), "1"),
    "memo.tif": Picture((
        """\
Memo to all keepers
Page one of two

The lamp of the north tower will be
cleaned on Wednesday morning.
Until noon the south tower keeps the
light alone. Please write every passing
ship into the book, with the hour.""",
        """\
Memo to all keepers
Page two of two

Who has the key to the boat shed?
It was last seen on Sunday evening,
next to the barometer.
Bring it back and nobody will ask.""",
    ), "1"),
    "recipe.webp": Picture((
        """\
Onion soup for four

Slice six onions and cook them slowly
in butter for forty minutes.
Add a spoon of flour, then a litre of
broth and a glass of cider.
Simmer for half an hour.
Serve with toasted bread and cheese.""",
    )),
    "poem.png": Picture((
        """\
Many Hands

One lamp can warm a narrow room,
ten lamps can light a street.
What one machine would do by June
a dozen will complete.

And should one stumble in the night,
the others share its load.
The morning finds the pages read
and no one left on the road.""",
    )),
    "letters/to-the-landlord.png": Picture((
        """\
Dear Mrs Falk,

the tap in the kitchen drips again, and
since Thursday the window on the stairs
does not close. Could you send somebody
this week? We are at home every evening.

With kind regards,
Tomas and Irene""",
    )),
    "letters/thank-you.jpg": Picture((
        """\
Dear Uncle Henry,

thank you for the telescope! Last night we
found the moons of Jupiter, all four of them,
and Father forgot to go to bed.
When you visit in August we will show you.

Your niece Clara""",
    )),
}  # fmt: skip

HOW_TO_SAVE: Mapping[str, Mapping[str, Any]] = {
    ".png": {"optimize": True, "dpi": (DPI, DPI)},
    ".jpg": {"quality": 80, "dpi": (DPI, DPI)},
    ".tif": {"compression": "group4", "dpi": (DPI, DPI)},
    ".bmp": {"dpi": (DPI, DPI)},
    ".webp": {"lossless": True},
}


def draw_all(folder: Path) -> None:
    """Draw every picture of the table into ``folder``; what is there under its name is replaced."""
    font = embedded_font()
    for name, picture in PICTURES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        first, *others = (draw_page(text, picture, font) for text in picture.pages)
        pages: dict[str, Any] = {"save_all": True, "append_images": others} if others else {}
        first.save(path, **HOW_TO_SAVE[path.suffix], **pages)


def draw_page(text: str, picture: Picture, font: ImageFont.FreeTypeFont) -> Image.Image:
    """A page just large enough for its text and a margin."""
    spacing_px = FONT_PX // 2
    ruler = ImageDraw.Draw(Image.new("L", (1, 1)))
    _, _, right, bottom = ruler.multiline_textbbox((MARGIN_PX, MARGIN_PX), text, font=font, spacing=spacing_px)
    # Drawn in grey or colour even for black and white: thresholded smooth letters are the better ones.
    page = Image.new(
        "L" if picture.mode == "1" else picture.mode,
        (round(right) + MARGIN_PX, round(bottom) + MARGIN_PX),
        picture.paper,
    )
    draw = ImageDraw.Draw(page)
    draw.multiline_text((MARGIN_PX, MARGIN_PX), text, fill=picture.ink, font=font, spacing=spacing_px)
    return page.convert(picture.mode, dither=Image.Dither.NONE)


def embedded_font() -> ImageFont.FreeTypeFont:
    """Pillow's own font, laid out by Pillow itself: with libraqm, where there is one, letters lie elsewhere."""
    font = ImageFont.load_default(FONT_PX)
    if not isinstance(font, ImageFont.FreeTypeFont):
        sys.exit("draw_images: this Pillow was built without FreeType; install a wheel of it (pip install pillow)")
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the example pictures.")
    parser.add_argument("folder", type=Path, help="where to; made if it is not there")
    draw_all(parser.parse_args().folder)
