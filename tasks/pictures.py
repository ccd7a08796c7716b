"""Decode pictures from anywhere: hostile, damaged, of any kind; for all jobs that look at pictures."""

from __future__ import annotations

import functools
import io
import math
import re
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from splitters import Item
from tasks import _picture_files, _wide
from tasks._picture_files import Page

if TYPE_CHECKING:
    from PIL import Image

PLAIN_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")
HEIF, AVIF = "HEIF", "AVIF"
FORMATS = (*PLAIN_FORMATS, HEIF, AVIF)
"""As Pillow names them: PPM is PBM, PGM and PNM as well, which scanners and collections of faces come in; HEIF is what
phones write as HEIC. That needs pi-heif."""
BRANDS = re.compile(rb".{4}ftyp(?=(?:.{4}){0,15}(?:hei[cxms]|hev[cxms]|mif1|msf1|avi[fs]))", re.DOTALL)
"""How files of the latter two begin."""
AVIF_BRANDS = (b"avif", b"avis")
MOST_BRAND_BYTES = 76

ORIENTATION = 0x0112
TURNED = range(5, 9)
"""The values of this EXIF tag that stand for a quarter turn."""

PAGE = "cluster page"
"""The key in ``Image.info`` for what ``opened`` knows of the picture."""

LOW_BYTES = "cluster low bytes"
"""Likewise, for a function that gives the picture with the low bytes of its colours, if those have 16 bits."""

GREY_WITH_ALPHA = "LA;16B"
_NATIVE, _OTHER = ("L", "B") if sys.byteorder == "little" else ("B", "L")
LOW_FORMS: Mapping[str, str] = {
    **{f"{bands};16{order}": f"{bands};16{other}" for bands in ("RGB", "RGBX", "RGBA")
       for order, other in (("N", _OTHER), (_NATIVE, _OTHER), (_OTHER, _NATIVE))},
    GREY_WITH_ALPHA: "RGBA",
}  # fmt: skip
"""The form of colours of 16 bits in a file -> the one by which Pillow takes the low bytes for the high ones."""

DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
    NotImplementedError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
"""Errors that Pillow's decoders and pi-heif's raise on damaged files."""

WAYS_OUT: Mapping[str, str] = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}
"""Mode -> the only one that Pillow converts it to."""

SQUARE = 1.25
"""Pixels are taken for square if their longer side is less than 1.25 times the shorter one."""
MOST_OBLONG = 4.0
"""A file that claims more than this is wrong. A fax has 204 x 98 dots per inch or 204 x 391."""
MOST_SIDE = 32_767
"""No side becomes longer, in pixels, when pixels are made square."""
LIGHT, VISIBLE = 200, 128
"""Colours from the former on (0 to 255) cannot be told from white paper; what is less opaque than the latter is not
seen."""


class UnreadablePicture(ValueError):
    """Why one picture could not be read."""


class Decoded(NamedTuple):
    """A picture as a detector wants it."""

    picture: Image.Image
    """Upright, opaque, mode L or RGB; smaller than the file says where it was decoded at a reduced scale."""

    width: int
    """Width of the whole upright picture in pixels; boxes are in these pixels."""

    height: int


@contextmanager
def opened(data: bytes, page: Page | None = None) -> Iterator[Image.Image]:
    """The picture with its header read and its pixels not yet; for work in the body of ``with``.

    Args:
        data: A file of one of ``FORMATS``.
        page: One of ``pages(data)``, of which the first is opened where none is given.

    Raises:
        UnreadablePicture: Whatever is wrong with it, also where that shows only in the body, while
            its pixels are decoded: the decoder's own errors are translated.
    """
    import warnings

    from PIL import Image, UnidentifiedImageError

    try:
        page = page or pages(data)[0]
        # Pillow warns about damaged metadata and large pictures; both are handled here.
        with warnings.catch_warnings(action="ignore"), _open(data, page) as picture:
            picture.info[PAGE] = page
            if (form := _form(picture)) in LOW_FORMS:
                picture.info[LOW_BYTES] = functools.partial(_low_bytes, data, page, form)
            yield picture
    except UnidentifiedImageError:
        if data.startswith(_picture_files.TIFF):
            raise UnreadablePicture("damaged, or of a kind of TIFF that cannot be read") from None
        known = ", ".join((*PLAIN_FORMATS, "HEIC", AVIF))
        raise UnreadablePicture(f"not a picture of a known kind ({known})") from None
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(str(error)) from None
    except DECODER_ERRORS as error:
        if isinstance(error, UnreadablePicture):
            raise
        raise UnreadablePicture(f"damaged: {' '.join(str(error).split())}") from None


def _open(data: bytes, page: Page) -> Image.Image:
    from PIL import Image

    formats = (_in_boxes(data),) if BRANDS.match(data) else PLAIN_FORMATS
    try:
        return Image.open(_picture_files.file_of(data, page), formats=formats)
    except DECODER_ERRORS:
        if not data.startswith(_picture_files.JPEG):
            raise
    return Image.open(io.BytesIO(_picture_files.bare_jpeg(data)), formats=formats)


def _in_boxes(data: bytes) -> str:
    """The format of a file of one of ``BRANDS``, whose reader is loaded by this.

    Raises:
        UnreadablePicture: It is not installed here.
    """
    brands = data[8 : min(int.from_bytes(data[:4]), MOST_BRAND_BYTES)]
    if any(brand in brands for brand in AVIF_BRANDS):
        from PIL import features

        if not features.check("avif"):
            raise UnreadablePicture("an AVIF picture, which the Pillow of this machine cannot read")
        return AVIF
    try:
        import pi_heif
    except ImportError:
        raise UnreadablePicture("a HEIC picture, and pi-heif is not installed on this machine") from None
    pi_heif.register_heif_opener(thumbnails=False)
    return HEIF


def pages(data: bytes) -> list[Page]:
    """The pictures of a file that are pages, for ``opened``: all of a TIFF or PNM file, the first of the others.

    Raises:
        UnreadablePicture: It is empty, or pretends to have pages without end.
    """
    if not data:
        raise UnreadablePicture("the file is empty")
    found = _picture_files.pages(data)
    if len(found) > _picture_files.MOST_PAGES:
        raise UnreadablePicture(f"damaged: more than {_picture_files.MOST_PAGES} pages")
    return found


def check_size(picture: Image.Image, max_megapixels: int) -> None:
    """Look at the header's size, before anything is decoded.

    Raises:
        UnreadablePicture: It has more than ``max_megapixels`` million pixels.
    """
    if picture.width * picture.height > max_megapixels * 1_000_000:
        raise UnreadablePicture(
            f"{picture.width} x {picture.height} pixels is over the limit of {max_megapixels} megapixels"
        )


def megapixels(data: bytes) -> list[float]:
    """The size of a picture in million pixels, or of each of its pages; by its headers, nothing is decoded.

    What cannot be read has none: the task says what is wrong with it.
    """
    found: list[float] = []
    with suppress(UnreadablePicture):
        for page in pages(data):
            with suppress(UnreadablePicture), opened(data, page) as picture:
                found.append(picture.width * picture.height / 1_000_000)
    return found


def decode(data: bytes, *, max_megapixels: int, grey: bool = False, enough_pixels: int = 0) -> Decoded:
    """The first page, upright, opaque, with square pixels, in mode L or RGB.

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
        whole = picture.size
        is_turned = _orientation(picture) in TURNED
        if picture.format == "JPEG":
            times = max(whole) / max(1, enough_pixels) if enough_pixels else 1.0
            wanted = (max(1, int(whole[0] / times)), max(1, int(whole[1] / times))) if times >= 2 else whole
            picture.draft("L" if grey else None, wanted)
        decoded = plain(picture, max_megapixels=max_megapixels, grey=grey)
        if picture.format == "TIFF":  # has been turned itself
            whole = picture.size
        elif is_turned:
            whole = whole[1], whole[0]
        return Decoded(decoded, *whole)


def plain(picture: Image.Image, *, max_megapixels: int, grey: bool = False) -> Image.Image:
    """The picture upright, opaque, with square pixels, in 8-bit grey or RGB, or always grey.

    A copy in any case; of most pictures the only one that is held beside them. Transparent parts become white, or
    black if all that is seen is so light that it would not be seen on white, as light letters are.
    Pixels are made square by more of them where that leaves ``max_megapixels`` or fewer, else by less of them.
    """
    oblong = _oblong(picture)
    if _orientation(picture) in TURNED:
        oblong = 1 / oblong
    seen = sound(picture)
    if seen.mode == "RGBA":
        seen = _opaque(seen)
    seen = seen.convert("L" if grey or seen.mode in ("1", "L") else "RGB")
    return seen if oblong == 1 else _square(seen, oblong, max_megapixels)


def sound(picture: Image.Image) -> Image.Image:
    """The picture turned as it says it is to be seen, in a mode of 8 bits that Pillow converts to others.

    The very same one where it is so already; RGBA where parts are transparent. An alpha band that is 0 everywhere
    says nothing, and is left out.
    What else a camera told, which may be damaged in any way, is not looked at.
    """
    seen = _loaded(picture)  # Pillow turns TIFF by itself when it decodes it, and then says so
    seen = seen.transpose(_turns()[way]) if (way := _orientation(picture)) > 1 else seen
    if seen.mode.startswith("I;16") or seen.mode in ("I", "F"):
        page = picture.info.get(PAGE, Page())
        grey = _wide.eight_bits(seen, is_negative=page.is_negative, is_unsigned=page.is_unsigned)
        grey.info.pop("transparency", None)
        return grey
    if seen.mode in WAYS_OUT:
        seen = seen.convert(WAYS_OUT[seen.mode])
    if not seen.has_transparency_data:
        return seen
    full = seen if seen.mode == "RGBA" else seen.convert("RGBA")
    return full.convert("RGB") if _says_nothing(full) else full


def _loaded(picture: Image.Image) -> Image.Image:
    """The picture with its pixels; of colours of 16 bits Pillow keeps the high byte, even if that is hardly used."""
    picture.load()
    low_bytes = picture.info.get(LOW_BYTES)
    return _wide.eight_bits_of_colours(picture, low_bytes()) if low_bytes and _wide.is_partly_used(picture) else picture


def _low_bytes(data: bytes, page: Page, form: str) -> Image.Image:
    """The picture once more, with the low bytes of its colours."""
    from PIL import Image

    with _open(data, page) as picture:
        tiles: list[Any] = getattr(picture, "tile")  # noqa: B009 - only pictures of files have it
        tiles[:] = [_with_form(tile, LOW_FORMS[form]) for tile in tiles]
        picture.load()
        if form != GREY_WITH_ALPHA:
            return picture
        _, grey, _, alpha = picture.split()  # read as if its bytes were bands
        return Image.merge("RGBA", (grey, grey, grey, alpha))


def _form(picture: Image.Image) -> str:
    """Return Pillow's name of the form that the pixels have in the file, or ""; known until they are decoded."""
    tiles = getattr(picture, "tile", ())
    told = tiles[0][-1] if tiles else ""
    form = told[0] if isinstance(told, tuple) else told
    return form if isinstance(form, str) else ""


def _with_form(tile: Any, form: str) -> Any:
    args = (form, *tile[-1][1:]) if isinstance(tile[-1], tuple) else form
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:-1], args)  # before Pillow 11


def resolution(info: Mapping[Any, Any]) -> tuple[float, float]:
    """The dots per inch across and down that a file claims, or only their proportion; (0, 0) without a claim."""
    for key in ("dpi", "aspect", "resolution", "jfif_density"):
        try:
            across, down = (float(value) for value in info[key])
        except (KeyError, TypeError, ValueError, ArithmeticError):
            continue
        if 0 < across < math.inf and 0 < down < math.inf:
            return across, down
    return 0.0, 0.0


def _oblong(picture: Image.Image) -> float:
    """How many times as high as wide its pixels are, as it is stored; 1 where that is near 1, or cannot be true."""
    across, down = resolution(picture.info)
    times = across / down if down else 1.0
    return times if SQUARE <= max(times, 1 / times) <= MOST_OBLONG else 1.0


def _square(picture: Image.Image, oblong: float, max_megapixels: int) -> Image.Image:
    from PIL import Image

    width, height = picture.size
    larger = (width, round(height * oblong)) if oblong > 1 else (round(width / oblong), height)
    if larger[0] * larger[1] > max_megapixels * 1_000_000 or max(larger) > MOST_SIDE:
        larger = (max(1, round(width / oblong)), height) if oblong > 1 else (width, max(1, round(height * oblong)))
    return picture.resize(larger, Image.Resampling.BICUBIC)


def _says_nothing(picture: Image.Image) -> bool:
    """Whether its alpha band is 0 everywhere, and below it is more than one colour."""
    if picture.getchannel("A").getextrema() != (0, 0):
        return False
    return any(least != most for least, most in picture.getextrema())  # type: ignore[misc]


def _opaque(picture: Image.Image) -> Image.Image:
    from PIL import Image

    ground = Image.new("RGB", picture.size, "black" if _is_light_on_nothing(picture) else "white")
    ground.paste(picture, mask=picture)  # the alpha band; holds two pictures, where alpha_composite holds four
    return ground


def _is_light_on_nothing(picture: Image.Image) -> bool:
    """Whether half of it or more is not seen, and nearly all of the rest is as light as white paper."""
    alpha = picture.getchannel("A")
    seen = sum(alpha.histogram()[VISIBLE:])
    if not 0 < seen <= picture.width * picture.height / 2:
        return False
    mask = alpha.point([255 * (value >= VISIBLE) for value in range(256)])
    return sum(picture.convert("L").histogram(mask)[:LIGHT]) <= seen / 20


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8; 1 where it cannot be read, and of what its decoder has turned."""
    if picture.format == HEIF:
        return 1
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


def made_up(model: str | None = None) -> Item:
    """Make a white picture of 64 x 48 pixels; any model that takes pictures takes it."""
    width, height = 64, 48

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\xff" * (3 * width)) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return Item("made-up.png", data)
