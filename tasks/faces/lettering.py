"""Short texts that can be read, whatever letters they have and however small the place is."""

from __future__ import annotations

import functools
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageFont

SMALLEST_PIXELS = 7
LONGEST = 120
"""Characters; the rest of a longer text is not drawn."""

SYSTEM_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "FreeSans.ttf", "Arial Unicode.ttf",
    "arialuni.ttf", "Arial.ttf", "arial.ttf", "segoeui.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc",
    "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc", "malgun.ttf", "meiryo.ttc",
)  # fmt: skip
"""Looked for where the font inside Pillow, which has ASCII only, lacks a letter."""

PLAIN = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"})
PLAIN |= str.maketrans({"đ": "d", "Đ": "D", "ı": "i", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th"})


def fit(texts: tuple[str, ...], pixels: int, width: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """The first of ``texts`` that fits into ``width`` pixels, or else the last one, smaller and at last cut.

    Args:
        texts: The same in ever fewer words.
        pixels: The font's size where there is room.
        width: Of the place, in pixels.
    """
    for text in texts:
        name, letters = _lettering(text[:LONGEST])
        font = _font(name, max(pixels, SMALLEST_PIXELS))
        if font.getlength(letters) <= width:
            return letters, font
    size = int(max(pixels, SMALLEST_PIXELS) * width / max(1.0, font.getlength(letters)))
    font = _font(name, max(size, SMALLEST_PIXELS))
    while len(letters) > 1 and font.getlength(letters) > width:
        letters = letters[:-2] + "."
    return letters, font


@functools.lru_cache(maxsize=256)
def _lettering(text: str) -> tuple[str, str]:
    """The font that has every letter, and the text; where none has them all, the text in plain letters."""
    shown = "".join(c if c.isprintable() else " " for c in unicodedata.normalize("NFC", text)).strip()
    for name in ("", *SYSTEM_FONTS) if shown else ("",):
        if _has(name, shown):
            return name, shown
    decomposed = unicodedata.normalize("NFKD", shown.translate(PLAIN))
    letters = (c if _has("", c) else "?" for c in decomposed if not unicodedata.combining(c))
    return "", "".join(letters)


def _has(name: str, text: str) -> bool:
    if name and not _path(name):
        return False
    return all(character == " " or _has_letter(name, character) for character in set(text))


@functools.lru_cache(maxsize=4096)
def _has_letter(name: str, character: str) -> bool:
    # A font draws the same picture for all characters that it lacks, as for a code point that is no character.
    return _drawn(name, character) != _drawn(name, "\U0010fffe")


def _drawn(name: str, character: str) -> tuple[tuple[int, int], bytes]:
    mask = _font(name, 20).getmask(character)
    return mask.size, bytes(mask)


@functools.cache
def _path(name: str) -> str:
    """Where this machine has a font, or ""."""
    from PIL import ImageFont

    try:
        return str(ImageFont.truetype(name, 20).path)
    except OSError:
        return ""


@functools.lru_cache(maxsize=64)
def _font(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    """A font that ``_path`` found, or with "" Pillow's own."""
    from PIL import ImageFont

    font = ImageFont.truetype(_path(name), pixels) if name else ImageFont.load_default(pixels)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow was built without FreeType; install a wheel of it (pip install pillow)")
    return font
