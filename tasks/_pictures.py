"""Decode pictures from anywhere: hostile, damaged, of any kind; for all jobs that look at pictures."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")
"""As Pillow names them: PPM is PBM, PGM and PNM as well, which scanners and collections of faces come in."""

ORIENTATION = 0x0112
TURNED = range(5, 9)
"""The values of this EXIF tag that stand for a quarter turn."""


class UnreadablePicture(ValueError):
    """Why one picture could not be read."""


class Decoded(NamedTuple):
    """A picture as a detector wants it."""

    picture: Image.Image
    """Upright, opaque, mode L or RGB; smaller than the file says where it was decoded at a reduced scale."""

    width: int
    """Of the whole picture, upright, in pixels: the one that boxes are told in."""

    height: int


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """The picture with its header read and its pixels not yet; for work in the body of ``with``.

    Raises:
        UnreadablePicture: Whatever is wrong with it, also where that shows only in the body, while
            its pixels are decoded: the decoder's own errors are translated.
    """
    import warnings

    from PIL import Image, UnidentifiedImageError

    if not data:
        raise UnreadablePicture("the file is empty")
    try:
        # Pillow warns about damaged metadata and large pictures; both are handled here.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            yield picture
    except UnidentifiedImageError:
        raise UnreadablePicture(f"not a picture of a known kind ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(str(error)) from None
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, struct.error) as error:
        # Pillow's decoders raise all of these on damaged files.
        if isinstance(error, UnreadablePicture):
            raise
        raise UnreadablePicture(f"damaged: {error}") from None


def check_size(picture: Image.Image, max_megapixels: int) -> None:
    """Look at the header's size, before anything is decoded.

    Raises:
        UnreadablePicture: It has more than ``max_megapixels`` million pixels.
    """
    if picture.width * picture.height > max_megapixels * 1_000_000:
        raise UnreadablePicture(
            f"{picture.width} x {picture.height} pixels is over the limit of {max_megapixels} megapixels"
        )


def decode(data: bytes, *, max_megapixels: int, grey: bool = False, enough_pixels: int = 0) -> Decoded:
    """The first frame, upright, opaque, in mode L or RGB.

    Args:
        data: A file of one of ``FORMATS``.
        max_megapixels: Larger pictures are refused before they are decoded, in millions of pixels.
        grey: Always mode L. A JPEG's colours are then not even decoded.
        enough_pixels: A JPEG whose longer side is at least twice this may be decoded at 1/2, 1/4 or 1/8 of its
            scale, which takes a fraction of time and memory; its longer side then still is this or more.
            0: never.

    Raises:
        UnreadablePicture: Too large, damaged, or no picture at all.
    """
    with opened(data) as picture:
        check_size(picture, max_megapixels)
        whole = width, height = picture.size
        if picture.format == "JPEG":
            times = max(whole) / max(1, enough_pixels) if enough_pixels else 1.0
            wanted = (max(1, int(width / times)), max(1, int(height / times))) if times >= 2 else whole
            picture.draft("L" if grey else None, wanted)
        is_reduced = picture.size != whole
        decoded = plain(picture, grey=grey)
        if not is_reduced:
            return Decoded(decoded, *decoded.size)
        return Decoded(decoded, *(reversed(whole) if _orientation(picture) in TURNED else whole))


def plain(picture: Image.Image, *, grey: bool = False) -> Image.Image:
    """The picture upright, opaque, in 8-bit grey or RGB, or always grey. Transparent parts become white.

    A copy in any case; of most pictures the only one that is held beside them.
    """
    from PIL import Image

    seen = upright(picture)
    if seen.mode.startswith("I;16") or seen.mode in ("I", "F"):
        return eight_bits(seen)
    if seen.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in seen.info:
        opaque = seen if seen.mode == "RGBA" else seen.convert("RGBA")
        white = Image.new("RGB", opaque.size, "white")
        white.paste(opaque, mask=opaque)  # the alpha band; holds two pictures, where alpha_composite holds four
        return white.convert("L") if grey else white
    return seen.convert("L" if grey or seen.mode in ("1", "L") else "RGB")


def upright(picture: Image.Image) -> Image.Image:
    """The picture turned as it says it is to be seen; the very same one where it is so already.

    What else a camera told, which may be damaged in any way, is not looked at.
    """
    picture.load()  # Pillow turns TIFF by itself when it decodes it, and then says so
    return picture.transpose(_turns()[way]) if (way := _orientation(picture)) > 1 else picture


def eight_bits(picture: Image.Image) -> Image.Image:
    """A picture of mode I;16, I or F in mode L.

    16 bits keep the high ones. Numbers without such a limit are taken for shares of 1, for 8 bits, for 16, or for
    shares of the largest one, whichever is the first that holds them all.
    """
    if picture.mode.startswith("I;16"):
        return picture.convert("I").point(lambda value: value / 256).convert("L")
    most = float(picture.getextrema()[1])  # type: ignore[arg-type]
    kinds = ((1.0, 255.0), (255.0, 1.0), (65535.0, 1 / 256), (math.inf, 255 / most if most > 0 else 1.0))
    factor = next((factor for limit, factor in kinds if most <= limit), 1.0)  # no number is less than no number
    return picture.point(lambda value: value * factor).convert("L")


def _orientation(picture: Image.Image) -> int:
    """From 1 (upright) to 8; 1 where that cannot be read."""
    try:
        told = picture.getexif().get(ORIENTATION)
    except Exception:  # noqa: BLE001 - Pillow raises all sorts where the data is damaged; the pixels are what counts
        return 1
    return told if isinstance(told, int) and told in range(1, 9) else 1


def _turns() -> Mapping[int, Image.Transpose]:
    from PIL import Image

    how = Image.Transpose
    return {
        2: how.FLIP_LEFT_RIGHT, 3: how.ROTATE_180, 4: how.FLIP_TOP_BOTTOM, 5: how.TRANSPOSE,
        6: how.ROTATE_270, 7: how.TRANSVERSE, 8: how.ROTATE_90,
    }  # fmt: skip
