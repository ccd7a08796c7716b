"""Pictures of numbers that are not 8 bits, as cameras, scanners and microscopes give them, brought to 8 bits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

RANGES = (1.0, *(2.0**bits - 1 for bits in range(8, 15)), 65535.0)
"""Highest value of each range that pixels may use: shares of 1, or words of 8 to 14 or 16 bits. A picture with fewer
than 15 used bits comes from a camera or a microscope; one with more is taken for one that uses all 16."""
NARROW = 2
"""Numbers that keep within less than such a part of their range are drawn out to all of it. Of three faces on a
picture that uses a quarter of 16 bits, one was found without this."""
ODD_SHARE, ODD_AT_LEAST, LEAST_PIXELS = 50_000, 3, 5_000
"""One pixel in 50,000, and 3 more, at either end are ignored when black and white are chosen: they may be defects. A
picture of fewer than 5,000 pixels ignores none."""
FLOAT_TOLERANCE = 1 / 16
"""Shares of a range by which numbers that were reckoned with may lie outside."""
FAR = 1e30
"""Numbers from here on, and those that are none, say nothing."""
BINS = 256
ENOUGH_BINS = 64
"""Of all, if the usual numbers fill these, are near enough to the smallest and the largest one."""


class Scale(NamedTuple):
    """How numbers become grey: (number - black) * factor."""

    black: float
    factor: float


def eight_bits(picture: Image.Image, *, is_negative: bool = False, is_unsigned: bool = False) -> Image.Image:
    """A picture of mode I;16, I or F in mode L.

    Args:
        picture: Of any numbers. NaN and infinity become white.
        is_negative: The highest number is black.
        is_unsigned: What is below 0 in mode I is more than 31 bits hold.

    Black and white are the ends of the first of ``RANGES`` that holds the numbers, else 0 and the largest one.
    Numbers that keep within a narrow band, or reach below 0, are drawn out from the smallest to the largest one.
    """
    from PIL import Image, ImageChops, ImageMath

    numbers = picture if picture.mode in ("I", "F") else picture.convert("I")
    if is_unsigned and numbers.mode == "I" and _extrema(numbers)[0] < 0:
        numbers = ImageMath.lambda_eval(lambda args: args["float"](args["it"]) + (args["it"] < 0) * 2.0**32, it=numbers)
    nothing, unused = _nothing(numbers)
    if unused == numbers.width * numbers.height:
        return Image.new("L", picture.size, 255)
    if nothing:
        numbers = numbers.copy()
        numbers.paste(FAR, mask=nothing)
    black, factor = _scale(*_usual(numbers, unused), is_float=picture.mode == "F")
    grey = numbers.point(lambda value: value * factor - black * factor).convert("L")
    if is_negative:
        grey = ImageChops.invert(grey)
    if nothing:
        grey.paste(255, mask=nothing)
    return grey


def is_partly_used(high: Image.Image) -> bool:
    """Whether colours of 16 bits use 14 or fewer; ``high`` holds their high bytes, in mode RGB or RGBA."""
    return max(_used(high)[:3]) <= 6


def eight_bits_of_colours(high: Image.Image, low: Image.Image) -> Image.Image:
    """The colours of 16 bits whose high and low bytes these pictures hold, in the same mode, by the bits they use.

    All colours are told by as many bits; an alpha band by those that it uses itself.
    """
    from PIL import ImageChops

    used = _used(high)
    used[:3] = [max(used[:3])] * 3
    low = low.point([value >> bits for bits in used for value in range(BINS)])
    return ImageChops.add(high.point([min(255, value << 8 - bits) for bits in used for value in range(BINS)]), low)


def _used(high: Image.Image) -> list[int]:
    """How many bits of these bytes each band uses, but for a few odd pixels."""
    odd = _odd(high)
    counts = high.histogram()
    bands = (counts[at : at + BINS] for at in range(0, len(counts), BINS))
    return [(BINS - 1 - _after(band[::-1], odd)[0]).bit_length() if sum(band) > odd else 0 for band in bands]


def _nothing(numbers: Image.Image) -> tuple[Image.Image | None, int]:
    """Where numbers say nothing, if they do so anywhere, and how many."""
    from PIL import Image, ImageMath

    if numbers.mode != "F":
        return None, 0
    # One number that is none makes the mean none.
    told = (*_extrema(numbers), numbers.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)))
    if all(abs(number) < FAR for number in told):  # type: ignore[arg-type]
        return None, 0
    valid = ImageMath.lambda_eval(lambda args: abs(args["it"]) < FAR, it=numbers)
    nothing = valid.point(lambda value: 255 - value * 255).convert("L")
    return nothing, nothing.histogram()[255]


def _scale(low: float, high: float, *, is_float: bool) -> Scale:
    tolerance = FLOAT_TOLERANCE if is_float else 0.0
    whole = next((most for most in RANGES if high <= most * (1 + tolerance)), max(high, 1.0))
    if low < -whole * tolerance or 0 < high - low < whole / NARROW:
        return Scale(low, 255 / (high - low) if high > low else 0.0)
    is_word = whole in RANGES and whole > 1  # of which the high 8 bits are kept
    return Scale(0.0, 256.0 / (whole + 1) if is_word else 255.0 / whole)


def _usual(numbers: Image.Image, unused: int) -> tuple[float, float]:
    """The smallest and the largest number, but for a few odd ones and the ``unused`` highest.

    Looks at the numbers once, and once more for each 2 digits by which odd ones are larger than the others.
    """
    low, high = _extrema(numbers)
    odd = _odd(numbers)
    odd_low, odd_high = odd, odd + unused
    while low < high:
        counts = numbers.histogram(extrema=(low, high))  # what lies outside counts nowhere
        first, odd_low = _after(counts, odd_low)
        behind, odd_high = _after(counts[::-1], odd_high)
        last = BINS - 1 - behind
        if last < first:
            break
        step = (high - low) / (BINS - 1)
        closer = low + first * step, min(high, low + (last + 1) * step)
        if isinstance(low, int):
            closer = math.floor(closer[0]), math.ceil(closer[1])
        if last - first >= ENOUGH_BINS or closer == (low, high):
            return low + first * step, low + last * step
        low, high = closer
    return low, high


def _odd(picture: Image.Image) -> int:
    pixels = picture.width * picture.height
    return pixels // ODD_SHARE + ODD_AT_LEAST if pixels >= LEAST_PIXELS else 0


def _after(counts: list[int], odd: int) -> tuple[int, int]:
    """How many counts come before one that is more than odd pixels, and how many of these are left then."""
    for at, count in enumerate(counts):
        if count > odd:
            return at, odd
        odd -= count
    return len(counts), odd


def _extrema(numbers: Image.Image) -> tuple[float, float]:
    return numbers.getextrema()  # type: ignore[return-value]
