"""Decode pictures from anywhere: hostile, damaged, of any kind; for all jobs that look at pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
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
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError) as error:
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
        width, height = picture.size
        if picture.format == "JPEG":
            times = max(picture.size) / max(1, enough_pixels) if enough_pixels else 1.0
            wanted = (max(1, int(width / times)), max(1, int(height / times))) if times >= 2 else picture.size
            picture.draft("L" if grey else None, wanted)
        if picture.getexif().get(ORIENTATION) in TURNED:
            width, height = height, width
        return Decoded(plain(picture, grey=grey), width, height)


def plain(picture: Image.Image, *, grey: bool = False) -> Image.Image:
    """The picture upright, opaque, in 8-bit grey or RGB, or always grey. Transparent parts become white.

    A copy in any case; of most pictures the only one that is held beside them.
    """
    from PIL import Image, ImageOps

    turned = picture.getexif().get(ORIENTATION, 1) != 1
    upright = ImageOps.exif_transpose(picture) if turned else picture
    if upright.mode.startswith("I;16"):
        upright = upright.convert("I")
    if upright.mode in ("I", "F"):  # 16 bits a pixel and more: keep the high ones
        return upright.point(lambda value: value / 256).convert("L")
    if upright.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in upright.info:
        opaque = upright if upright.mode == "RGBA" else upright.convert("RGBA")
        white = Image.new("RGB", opaque.size, "white")
        white.paste(opaque, mask=opaque)  # the alpha band; holds two pictures, where alpha_composite holds four
        return white.convert("L") if grey else white
    return upright.convert("L" if grey or upright.mode in ("1", "L") else "RGB")
