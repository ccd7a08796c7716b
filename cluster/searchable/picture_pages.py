"""Make pages of PDF of pictures, whose bytes go in as they are where PDF knows their form."""

from __future__ import annotations

import io
import logging
import warnings
from typing import TYPE_CHECKING, NamedTuple

from aggregators.readings import Reading
from tasks import pictures
from tasks._picture_files import Page

if TYPE_CHECKING:
    import pikepdf
    from PIL import Image

logging.getLogger("img2pdf").setLevel(logging.ERROR)  # it tells of each picture what it does with it

MOST_MEGAPIXELS = 178
"""Of a picture that is decoded here, as Pillow has it."""
USUAL_DPI = 300
PLAUSIBLE_DPI = (100, 1200)
"""Of a picture that was not read. Cameras claim 72 of all they take."""
POINTS = 72
LEAST_SIDE, MOST_SIDE = 3.0, 14_400.0
"""Points that a side of a page may have."""
QUALITY = 85
"""Of the JPEG that a HEIC or AVIF picture becomes: PDF knows neither."""
PHOTOGRAPHS = ("HEIF", "AVIF")
PLAIN = ("1", "L", "P", "RGB", "CMYK", "I;16")
"""Modes that PDF knows."""
TURNS = {1: 0, 2: 0, 3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}
"""Value of the EXIF tag -> degrees clockwise by which a page is turned, after it was mirrored, to be seen upright."""
MIRRORED = (2, 4, 5, 7)


class _Sheet(NamedTuple):
    """A picture that becomes a page."""

    data: bytes
    """In a form that img2pdf takes as it is, without alpha."""
    orientation: int
    """As in EXIF, 1 to 8."""
    claimed: tuple[float, float]
    """Dots per inch, across and down."""
    size: tuple[int, int]
    """Pixels, as it is stored."""


def make(data: bytes, record: Reading | None) -> list[pikepdf.Pdf]:
    """One PDF of a page for each page of a picture's file, to be closed by the caller.

    Args:
        data: A picture of any form that ``tasks.pictures`` reads.
        record: Of the item; its page says how large the page is on paper.

    Raises:
        pictures.UnreadablePicture: It cannot be decoded, where it has to be.
    """
    found = pictures.pages(data)
    sheets = [_sheet(data, None)] if len(found) == 1 else [_sheet(data, page) for page in found]
    return [_page(sheet, record if len(sheets) == 1 else None) for sheet in sheets]


def _sheet(data: bytes, page: Page | None) -> _Sheet:
    with pictures.opened(data, page) as picture:
        claimed = pictures.resolution(picture.info)
        orientation = _orientation(picture)
        is_plain = picture.mode in PLAIN and not picture.has_transparency_data
        is_turned_by_pillow = picture.format == "TIFF" and orientation > 1
        if page is None and is_plain and not is_turned_by_pillow and picture.format not in PHOTOGRAPHS:
            return _Sheet(data, orientation, claimed, picture.size)
        return _decoded(picture, claimed)


def _decoded(picture: Image.Image, claimed: tuple[float, float]) -> _Sheet:
    """The picture upright and opaque, on white, and without loss, but for photographs."""
    from PIL import Image

    pictures.check_size(picture, MOST_MEGAPIXELS)
    is_photograph, is_bilevel = picture.format in PHOTOGRAPHS, picture.mode == "1"
    seen = pictures.plain(picture, max_megapixels=MOST_MEGAPIXELS)
    if is_bilevel and seen.size in (picture.size, picture.size[::-1]):
        seen = seen.convert("1", dither=Image.Dither.NONE)
    stream = io.BytesIO()
    if is_photograph:
        seen.save(stream, "JPEG", quality=QUALITY)
    else:
        seen.save(stream, "PNG")
    return _Sheet(stream.getvalue(), 1, claimed, seen.size)


def _page(sheet: _Sheet, record: Reading | None) -> pikepdf.Pdf:
    import pikepdf

    width, height = _points(sheet, record)

    def on_whole_page(*_: object) -> tuple[float, float, float, float]:
        return width, height, width, height

    with warnings.catch_warnings(action="ignore"):  # of Pillow, about damaged metadata
        try:
            made = _converted(sheet.data, on_whole_page)
        except Exception:  # noqa: BLE001 - img2pdf raises all sorts of what it does not take as it is
            with pictures.opened(sheet.data) as picture:
                sheet = _decoded(picture, sheet.claimed)
            width, height = _points(sheet, record)
            made = _converted(sheet.data, on_whole_page)
    pdf = pikepdf.open(io.BytesIO(made))
    _turn(pdf, sheet.orientation, width)
    return pdf


def _converted(data: bytes, layout: object) -> bytes:
    import img2pdf

    made: bytes = img2pdf.convert(data, layout_fun=layout, rotation=img2pdf.Rotation["0"], first_frame_only=True)
    return made


def _turn(pdf: pikepdf.Pdf, orientation: int, width: float) -> None:
    """Let a page be seen as EXIF says."""
    page = pdf.pages[0]
    if orientation in MIRRORED:
        page.contents_add(f"-1 0 0 1 {width:.4f} 0 cm\n".encode(), prepend=True)
    if TURNS[orientation]:
        page.obj["/Rotate"] = TURNS[orientation]


def _points(sheet: _Sheet, record: Reading | None) -> tuple[float, float]:
    """Width and height of the page before it is turned."""
    if record and "page" in record:
        pixels_across, pixels_down, dpi = record["page"]
        across = down = float(dpi or USUAL_DPI)
        size = pixels_across / across, pixels_down / down
        is_turned = (TURNS[sheet.orientation] + record.get("turn", 0)) % 180 == 90
        size = size[::-1] if is_turned else size
    else:
        least, most = PLAUSIBLE_DPI
        is_known = all(least <= dpi <= most for dpi in sheet.claimed)
        across, down = sheet.claimed if is_known else (USUAL_DPI, USUAL_DPI)
        size = sheet.size[0] / across, sheet.size[1] / down
    times = min(1.0, MOST_SIDE / POINTS / max(size))
    width, height = (max(LEAST_SIDE, side * POINTS * times) for side in size)
    return width, height


def _orientation(picture: Image.Image) -> int:
    """The EXIF tag, 1 (upright) to 8; 1 where it cannot be read."""
    try:
        told = picture.getexif().get(pictures.ORIENTATION)
    except Exception:  # noqa: BLE001 - Pillow raises all sorts where the data is damaged; the pixels are what counts
        return 1
    return told if isinstance(told, int) and told in range(1, 9) else 1
