"""Look at the pages of a PDF by PDFium: the text that is on them, and how they look. For the decoder's child alone.

PDFium parses the files of strangers in C++, and is used by one thread at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_double, c_int
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.pictures import MOST_SIDE, UnreadablePicture

if TYPE_CHECKING:
    from PIL import Image

HEAD = b"%PDF-"
HEAD_WITHIN = 1024
"""Bytes at the beginning of a file among which its mark may stand, as PDFium and other readers have it."""
MOST_PAGES = 20_000
POINTS = 72
"""A PDF's units in an inch."""
LEAST_DPI = 100
"""A page that is too large at this is refused; at --dpi it is drawn smaller."""
OWN_DPI = (150, 400)
"""A page that is one picture is drawn at the resolution of that, if it lies between these."""
COVERS = 0.8
"""Share of the page that its picture covers then, at least."""
MOST_OFF = 1.0
"""Pixels by which the edges of a picture may miss those of its page."""
ROUNDING = 1e-5
USUAL_DPI = (300, 200, 150, LEAST_DPI)
MOST_SIZES = 100
"""Pages that are looked at for their sizes."""
MOST_OBJECTS = 64
"""A page with more objects is no scan."""
MOST_CHARS = 500_000
WHITE = 255
MARGIN = 1
"""Pixels around a word that are painted white with it."""
INVISIBLE = 3
"""The render mode of text that is not drawn, as earlier OCR lays it over a page."""


class Char(NamedTuple):
    """A character of a page."""

    text: str
    box: tuple[float, float, float, float] | None
    """Left, top, right, bottom in pixels; None of one that PDFium made up between words and lines."""
    is_visible: bool


class Size(NamedTuple):
    """How a page is drawn."""

    width: int
    height: int
    dpi: float


class Scan(NamedTuple):
    """The picture that is all that is seen of a page."""

    thing: Any
    """As pypdfium2 has it."""
    size: Size
    """Its own, upright."""
    turn: int
    """Degrees clockwise by which the page shows it turned."""


class Look(NamedTuple):
    """What is known of a page."""

    size: Size
    text: str
    """Its own, of the kind that was asked for."""
    words: list[list[list[Any]]]
    """Lines of words ``[text, x0, y0, x1, y1]``."""
    picture: Image.Image | None
    """None where there is nothing to be read."""


@contextmanager
def document(data: bytes | Path) -> Iterator[Any]:
    """The document, or that in a file, as pypdfium2 has it.

    Raises:
        UnreadablePicture: It is damaged, encrypted, or pretends to have too many pages.
    """
    import pypdfium2

    try:
        found = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        is_locked = getattr(error, "err_code", None) == pypdfium2.raw.FPDF_ERR_PASSWORD
        why = "needs its password" if is_locked else "is damaged: no pages can be found in it"
        raise UnreadablePicture(why) from None
    try:
        if not 0 < len(found) <= MOST_PAGES:
            raise UnreadablePicture(f"has {len(found)} pages; 1 to {MOST_PAGES} are read")
        yield found
    finally:
        found.close()


def look(found: Any, number: int, *, text: str, dpi: int, max_megapixels: int) -> Look:
    """Look at page ``number``, counted from 1, of a document.

    Args:
        found: Of ``document``.
        number: Which page.
        text: "skip": a page with text is not drawn; "redo": what is visible of it is painted white, and the rest is
            ignored; "force": the page as it looks.
        dpi: Dots per inch to draw it at, unless it is one picture.
        max_megapixels: It is drawn at less, down to ``LEAST_DPI``, where it has more pixels than this, in millions.

    Raises:
        UnreadablePicture: It is too large, or cannot be opened.
    """
    import pypdfium2

    try:
        page = found[number - 1]
    except pypdfium2.PdfiumError:
        raise UnreadablePicture("is damaged: this page cannot be opened") from None
    try:
        scan = own_picture(page, max_megapixels)
        try:
            size = scan.size if scan else drawn_size(page, own_resolution(page) or dpi, max_megapixels)
            too_large = None
        except UnreadablePicture as error:  # whose text can be taken
            size, too_large = _small(page), error
        chars = list(characters(page, size)) if text != "force" and size.dpi else []
        if text == "redo":
            chars = [char for char in chars if char.is_visible]
        has_text = any(char.box and not char.text.isspace() for char in chars)
        if too_large and not (has_text and text == "skip"):
            raise too_large
        if not has_text:
            return Look(size, "", [], drawn(page, size, scan))
        words = lines(chars, size)
        if text == "skip" or not has_pictures(page):
            return Look(size, plain(chars), words, None)
        picture = drawn(page, size, scan)
        paint_white(picture, words)
        return Look(size, plain(chars), words, picture)
    finally:
        page.close()


def drawn_size(page: Any, dpi: float, max_megapixels: int) -> Size:
    """How large a page is drawn at ``dpi``, or at less where that is too much.

    Raises:
        UnreadablePicture: It is too large at ``LEAST_DPI``, too.
    """
    width, height = page.get_size()
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise UnreadablePicture(f"the page is {width:g} x {height:g} points large")
    square = width * height / POINTS**2
    most = min(math.sqrt(max_megapixels * 1_000_000 / square), MOST_SIDE * POINTS / max(width, height))
    if most < LEAST_DPI:
        metres = 0.0254 / POINTS
        raise UnreadablePicture(
            f"the page is {width * metres:.1f} x {height * metres:.1f} m; at {LEAST_DPI} dpi that is"
            f" {square * LEAST_DPI**2 / 1_000_000:.0f} megapixels, over the limit of {max_megapixels}"
        )
    taken = min(dpi, most * 0.999)  # sides are rounded up
    return Size(math.ceil(width * taken / POINTS), math.ceil(height * taken / POINTS), taken)


def megapixels(found: Any) -> list[float]:
    """Sizes that pages of a document may be drawn with, in million pixels: with 300 dots per inch and with less."""
    sizes = [found.get_page_size(number) for number in range(min(len(found), MOST_SIZES))]
    return [width * height * (dpi / POINTS) ** 2 / 1_000_000 for width, height in sizes for dpi in USUAL_DPI]


def _small(page: Any) -> Size:
    """A size for the places of words on a page that is not drawn; without dots per inch where it has none."""
    width, height = page.get_size()
    if not (0 < width < math.inf and 0 < height < math.inf):
        return Size(0, 0, 0)
    dpi = min(LEAST_DPI, MOST_SIDE * POINTS / max(width, height) * 0.999)
    return Size(math.ceil(width * dpi / POINTS), math.ceil(height * dpi / POINTS), dpi)


def own_picture(page: Any, max_megapixels: int) -> Scan | None:
    """The picture that a page is: it fills the page, in the direction of the page, and nothing else is seen.

    Its pixels are read as they are; drawn, each becomes a mixture of two, as a page's size is no whole number of them.
    """
    import pypdfium2.raw as raw

    seen = []
    for count, thing in enumerate(page.get_objects(max_depth=1)):
        if count >= MOST_OBJECTS:
            return None
        if thing.type != raw.FPDF_PAGEOBJ_TEXT or raw.FPDFTextObj_GetTextRenderMode(thing) != INVISIBLE:
            seen.append(thing)
    if len(seen) != 1 or seen[0].type != raw.FPDF_PAGEOBJ_IMAGE:
        return None
    [thing] = seen
    across, down = thing.get_px_size()
    a, b, c, d, e, f = thing.get_matrix().get()
    left, bottom, right, top = page.get_cropbox()
    if not (0 < across * down <= max_megapixels * 1_000_000 and max(across, down) <= MOST_SIDE and a > 0 < d):
        return None
    off = [(e - left) / a * across, (e + a - right) / a * across, (f - bottom) / d * down, (f + d - top) / d * down]
    dpi = across * POINTS / a
    if max(map(abs, off)) > MOST_OFF or b or c or not OWN_DPI[0] <= round(dpi) <= OWN_DPI[1] or _is_changed(thing):
        return None
    turn = page.get_rotation()
    return Scan(thing, Size(*((down, across) if turn in (90, 270) else (across, down)), dpi), turn)


def _is_changed(thing: Any) -> bool:
    """Whether a picture may look different on its page than its pixels do: masks, clipping, inks of its own."""
    import pypdfium2.raw as raw

    about = thing.get_metadata()
    return bool(
        about.colorspace not in (raw.FPDF_COLORSPACE_DEVICEGRAY, raw.FPDF_COLORSPACE_DEVICERGB,
                                 raw.FPDF_COLORSPACE_CALGRAY, raw.FPDF_COLORSPACE_CALRGB,
                                 raw.FPDF_COLORSPACE_ICCBASED, raw.FPDF_COLORSPACE_INDEXED)
        or raw.FPDFPageObj_HasTransparency(thing)
        or raw.FPDFClipPath_CountPaths(raw.FPDFPageObj_GetClipPath(thing)) > 0
    )  # fmt: skip


def own_resolution(page: Any) -> float | None:
    """The dots per inch of the picture that a page is made of; None where it is made of other things."""
    import pypdfium2.raw as raw

    width, height = page.get_size()
    if page.get_rotation() in (90, 270):
        width, height = height, width
    best = 0.0
    for count, thing in enumerate(page.get_objects(max_depth=1)):
        if count >= MOST_OBJECTS or thing.type not in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_TEXT):
            return None
        if thing.type == raw.FPDF_PAGEOBJ_TEXT:
            if raw.FPDFTextObj_GetTextRenderMode(thing) != INVISIBLE:
                return None
            continue
        a, b, c, d, *_ = thing.get_matrix().get()
        across, down = math.hypot(a, b), math.hypot(c, d)
        if across * down >= COVERS * width * height > 0:
            best = max(best, thing.get_px_size()[0] * POINTS / across)
    # A hair less, as sides are rounded up.
    return best * (1 - ROUNDING) if OWN_DPI[0] <= round(best) <= OWN_DPI[1] else None


def has_pictures(page: Any) -> bool:
    """Whether there is something on a page beside text that may hold text: pictures, or what forms draw."""
    import pypdfium2.raw as raw

    kinds = {thing.type for thing, _ in zip(page.get_objects(max_depth=3), range(MOST_CHARS), strict=False)}
    return bool(kinds - {raw.FPDF_PAGEOBJ_TEXT, raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_FORM})


def drawn(page: Any, size: Size, scan: Scan | None = None) -> Image.Image:
    """The page in mode L; of a ``scan`` the pixels as they are.

    Raises:
        UnreadablePicture: It has a picture that cannot be decoded, and nothing else to be seen.
    """
    if scan:
        return _upright(scan)
    bitmap = page.render(scale=size.dpi / POINTS, grayscale=True)
    try:
        picture: Image.Image = bitmap.to_pil().convert("L")  # a copy
    finally:
        bitmap.close()
    if picture.getextrema() == (WHITE, WHITE):
        _see_pictures(page)
    return picture


def _upright(scan: Scan) -> Image.Image:
    import pypdfium2
    from PIL import Image

    try:
        bitmap = scan.thing.get_bitmap()
    except pypdfium2.PdfiumError:
        raise UnreadablePicture("damaged: the picture on this page cannot be decoded") from None
    picture: Image.Image = bitmap.to_pil().convert("L")  # a copy
    turns = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
    return picture.transpose(turns[scan.turn]) if scan.turn else picture


def _see_pictures(page: Any) -> None:
    """See that the pictures of a page that looks blank can be decoded: PDFium passes over those that cannot.

    Raises:
        UnreadablePicture: One cannot.
    """
    import pypdfium2

    found = page.get_objects([pypdfium2.raw.FPDF_PAGEOBJ_IMAGE], max_depth=3)
    for thing, _ in zip(found, range(MOST_OBJECTS), strict=False):
        try:
            thing.get_bitmap()
        except pypdfium2.PdfiumError:
            raise UnreadablePicture("damaged: a picture on this page cannot be decoded") from None


def characters(page: Any, size: Size) -> Iterator[Char]:
    """The characters of a page in the order in which PDFium reads them.

    Raises:
        UnreadablePicture: There are more than ``MOST_CHARS``.
    """
    import pypdfium2.raw as raw

    found = page.get_textpage()
    try:
        count = found.count_chars()
        if count > MOST_CHARS:
            raise UnreadablePicture(f"the page has {count} characters; {MOST_CHARS} are read")
        modes: dict[int, bool] = {}
        visible = True
        sides = [c_double() for _ in range(4)]
        for at in range(count):
            text = _letter(raw.FPDFText_GetUnicode(found, at))
            if raw.FPDFText_IsGenerated(found, at) == 1 or not text:
                if text:
                    yield Char(text, None, visible)
                continue
            thing = raw.FPDFText_GetTextObject(found, at)
            visible = _is_visible(thing, modes)
            left, right, bottom, top = sides
            if not raw.FPDFText_GetCharBox(found, at, left, right, bottom, top):
                continue
            one = _pixels(page, size, left.value, top.value)
            other = _pixels(page, size, right.value, bottom.value)
            box = (min(one[0], other[0]), min(one[1], other[1]), max(one[0], other[0]), max(one[1], other[1]))
            yield Char(text, box, visible)
    finally:
        found.close()


def _is_visible(thing: Any, modes: dict[int, bool]) -> bool:
    """Whether a text object is drawn; asked once of each."""
    import ctypes

    import pypdfium2.raw as raw

    place = ctypes.cast(thing, ctypes.c_void_p).value if thing else None
    if place is None:
        return True
    if place not in modes:
        modes[place] = raw.FPDFTextObj_GetTextRenderMode(thing) != INVISIBLE
    return modes[place]


def _pixels(page: Any, size: Size, x: float, y: float) -> tuple[int, int]:
    """A place of the page in pixels of it as it is drawn: through /Rotate and CropBox."""
    import pypdfium2.raw as raw

    across, down = c_int(), c_int()
    raw.FPDF_PageToDevice(page, 0, 0, size.width, size.height, 0, x, y, across, down)
    return across.value, down.value


def _letter(code: int) -> str:
    """A character for a text; "" of what stands in none. Hyphens at the ends of lines come as U+0002 or U+FFFE."""
    if code in (0x02, 0xFFFE):
        return "-"
    if code in (0x09, 0x0A, 0x0D):
        return chr(code)
    if code < 0x20 or code == 0x7F or 0xD800 <= code <= 0xDFFF or code == 0xFFFF or code > 0x10FFFF:
        return ""
    return chr(code)


def plain(chars: list[Char]) -> str:
    """The text that characters are, with line feeds between lines and at the end."""
    text = "".join(char.text for char in chars).replace("\r\n", "\n").replace("\r", "\n")
    kept = [line.strip() for line in text.split("\n")]
    return "\n".join(kept).strip("\n") + "\n"


def lines(chars: list[Char], size: Size) -> list[list[list[Any]]]:
    """Put characters together to words and lines: see ``Look.words``."""
    found: list[list[list[Any]]] = [[]]
    held: list[Char] = []

    def end_word() -> None:
        boxes = [char.box for char in held if char.box]
        if boxes:
            x0, y0 = min(box[0] for box in boxes), min(box[1] for box in boxes)
            x1, y1 = max(box[2] for box in boxes), max(box[3] for box in boxes)
            text = "".join(char.text for char in held)
            found[-1].append([text, *_within(x0, y0, size), *_within(x1, y1, size)])
        held.clear()

    for char in chars:
        if char.text.isspace():
            end_word()
            if char.text in "\r\n" and found[-1]:
                found.append([])
        else:
            held.append(char)
    end_word()
    return [line for line in found if line]


def _within(x: float, y: float, size: Size) -> tuple[int, int]:
    return min(max(0, round(x)), size.width), min(max(0, round(y)), size.height)


def paint_white(picture: Image.Image, words: list[list[list[Any]]]) -> None:
    """Hide words of a page, so that they are not read a second time."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    for line in words:
        for _, x0, y0, x1, y1 in line:
            draw.rectangle((x0 - MARGIN, y0 - MARGIN, x1 + MARGIN, y1 + MARGIN), fill=WHITE)
