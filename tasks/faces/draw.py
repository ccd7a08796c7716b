"""Draw what was found into a picture: a box around each face, and whose it is."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks import pictures
from tasks.faces import lettering

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

UNKNOWN = "unknown"
COLOURS: Mapping[bool, str] = {True: "#00702a", False: "#b04a00"}
"""Whether the face's person is known -> colour of its box, dark enough for white letters."""

JPEG_QUALITY = 92
MAX_EXIF_BYTES = 65_000
"""A little less than a JPEG can hold."""

PROFILE_OF_MODE: Mapping[str, bytes] = {"RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK"}
"""Mode of the pixels -> bytes 16 to 20 of a colour profile for them."""

SMALLEST_LETTERS = 11
"""Height of a font in pixels."""

Ink = Any
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, the last two outside."""


class Labelled(NamedTuple):
    """A face as it is drawn."""

    box: Box
    name: str
    confidence: float


class Place(NamedTuple):
    """Where a name can stand."""

    box: Box
    moved: bool
    """Whether the name was moved because it would have stuck out of the picture."""


def draw(data: bytes, faces: Sequence[Mapping[str, Any]]) -> bytes:
    """The picture with its faces boxed and named, as a file of the same kind and size in pixels.

    Args:
        data: A file of one of ``pictures.FORMATS``.
        faces: What the job ``faces`` tells of it; boxes in pixels of the upright picture. What
            sticks out of the picture is drawn as far as it lies inside.

    Returns:
        The very same bytes where there is no face. Else an upright picture, turned as its EXIF data said, which then
        says so no more. Grey becomes RGB (but not in a PGM file, which has no colours) and 16 bits a pixel become 8;
        transparency, resolution, other EXIF data, and a colour profile that still fits are kept. Of several pages or
        frames only the first, in which faces are looked for. JPEG is compressed anew, the others lose nothing, but
        for a WebP that was compressed with loss.

    Raises:
        UnreadablePicture: It cannot be decoded.
        ValueError: A face is no face.
    """
    labelled = [_checked(face) for face in faces]
    if not labelled:
        return data
    from PIL import ImageDraw

    with pictures.opened(data) as picture:
        kind = "JPEG" if picture.format == "MPO" else str(picture.format)
        seen = pictures.sound(picture)
        # A copy is no file any more, whose tags Pillow would write to the new one.
        canvas = _paintable(seen.copy() if seen is picture else seen, in_colour=kind != "PPM")
        _draw_all(ImageDraw.Draw(canvas), canvas, labelled)
        return _encoded(canvas, kind, data)


def _checked(face: Mapping[str, Any]) -> Labelled:
    # The results of a run come from other people's machines.
    box, name, confidence = face.get("box"), face.get("label"), face.get("confidence")
    numbers = [*(box if isinstance(box, list | tuple) else ()), confidence]
    if len(numbers) != 5 or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise ValueError(f"a face has box {box!r} and confidence {confidence!r}; they must be four numbers and one")
    if not isinstance(name, str):
        raise ValueError(f"a face has label {name!r}; it must be text")
    left, top, wide, high, sure = numbers
    far = 2**20  # there is no picture further out
    box = [max(-far, min(far, round(edge))) for edge in (left, top, left + wide, top + high)]
    return Labelled((box[0], box[1], box[2], box[3]), name, max(0.0, min(1.0, sure)))


def _paintable(picture: Image.Image, *, in_colour: bool) -> Image.Image:
    """The picture in a mode that can be drawn on, and written in its format."""
    if picture.mode in ("RGB", "RGBA", "CMYK"):
        return picture
    return picture.convert("RGB") if in_colour else picture


def _draw_all(pen: ImageDraw.ImageDraw, canvas: Image.Image, faces: Sequence[Labelled]) -> None:
    inks = {known: _ink(colour, canvas.mode) for known, colour in COLOURS.items()}
    white = _ink("#ffffff", canvas.mode)
    # All boxes first: no line runs through a name.
    for face in faces:
        _frame(pen, canvas.size, face.box, inks[face.name != UNKNOWN])
    taken: list[Box] = []
    for face in faces:
        ink = inks[face.name != UNKNOWN]
        taken.append(_write(pen, canvas.size, face, ink, white, taken[-100:]))


def _frame(pen: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, ink: Ink) -> None:
    left, top, right, bottom = box
    if right <= max(left, 0) or bottom <= max(top, 0) or left >= size[0] or top >= size[1]:
        return
    width = max(1, min(round(max(size) / 250), (right - left) // 8, (bottom - top) // 8))
    pen.rectangle((left, top, right - 1, bottom - 1), outline=ink, width=width)


def _write(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], face: Labelled, ink: Ink, white: Ink, taken: Sequence[Box]
) -> Box:
    """Write the name over the box, or where else there is room; gives the place."""
    left, top, right, bottom = face.box
    wanted = max(SMALLEST_LETTERS, round(max(size) / 55), round((right - left) / 8))
    pixels = min(wanted, max(1, size[1] // 6), max(SMALLEST_LETTERS, size[0] // 12))
    room = max(1, size[0] - 2 * (pixels // 4))
    text, font = lettering.fit((f"{face.name} {face.confidence:.0%}", face.name), pixels, room)
    rise, fall = font.getmetrics()
    edge = max(1, round(font.size / 5))
    wide, high = math.ceil(font.getlength(text)) + 2 * edge, rise + fall
    at_x = max(0, min(left, size[0] - wide))
    places = []
    for y in (top - high, bottom, top, bottom - high):
        inside = max(0, min(y, size[1] - high))
        places.append(Place((at_x, inside, min(at_x + wide, size[0]), inside + high), moved=inside != y))
    place = min(places, key=lambda p: (p.moved, any(_meet(p.box, other) for other in taken))).box
    pen.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), fill=ink)
    pen.text((place[0] + edge, place[1]), text, fill=white, font=font)
    return place


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ink(colour: str, mode: str) -> Ink:
    from PIL import Image

    return Image.new("RGB", (1, 1), colour).convert(mode).getpixel((0, 0))


def _encoded(canvas: Image.Image, kind: str, data: bytes) -> bytes:
    """The file; ``data`` is what it was before."""
    info, canvas.info = canvas.info, {}  # or else formats write what no longer holds
    how: dict[str, Any] = {}
    profile, dpi = info.get("icc_profile"), info.get("dpi", ())
    if isinstance(profile, bytes) and profile[16:20] == PROFILE_OF_MODE.get(canvas.mode):
        how["icc_profile"] = profile
    if len(dpi) == 2 and all(1 <= value < 2**15 for value in dpi):
        how["dpi"] = (float(dpi[0]), float(dpi[1]))
    if kind in ("JPEG", "PNG", "WEBP") and (exif := _exif(canvas, info)):
        how["exif"] = exif
    if kind == "JPEG":
        how |= {"quality": JPEG_QUALITY, "subsampling": 0}
    elif kind == "WEBP":
        how |= {"quality": JPEG_QUALITY, "lossless": b"VP8L" in data[:4096]}
    elif kind == "TIFF" and info.get("compression", "raw") != "raw":
        how["compression"] = "tiff_lzw"
    out = io.BytesIO()
    canvas.save(out, format=kind, **how)
    return out.getvalue()


def _exif(canvas: Image.Image, info: Mapping[Any, Any]) -> bytes:
    """Return the camera's EXIF data; empty where it cannot be written again."""
    try:
        canvas.info["exif"] = info.get("exif", b"")
        exif = canvas.getexif()
        exif.pop(pictures.ORIENTATION, None)
        told = exif.tobytes() if exif else b""
    except Exception:  # noqa: BLE001 - damaged in any way; the picture is what counts
        return b""
    finally:
        canvas.info = {}
    return told if len(told) < MAX_EXIF_BYTES else b""
