"""The program that makes our own WebP of what strangers send: ``python -m cluster.web.picture_program``.

It answers requests as ``tasks._child`` has them: ``{"path", "entry", "page", "side", "turn", "box", "limits"}`` with
the bytes of a WebP and the size of the whole picture, or with ``{"problem": WHY}``. See ``cluster.web.pictures``.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitters import MAX_ITEM_BYTES, archives
from tasks import _child, _pdf_pages, pictures
from tasks._child import Answer
from tasks.pictures import UnreadablePicture

if TYPE_CHECKING:
    from PIL import Image

MAX_MEGAPIXELS = 178
"""As many as the option ``max_megapixels`` may allow a run; what takes too much memory is refused besides."""
QUALITY = 80
METHOD = 2
"""Of WebP: 4, the default, takes twice the time for 5 % fewer bytes."""
MOST_FILES = 64
CROP_MARGIN = 0.15
"""Share of a box's longer side that is shown around it."""


def show(
    path: Path, page: int, side: int, turn: int, box: Sequence[int] | None, entry: str = ""
) -> tuple[Image.Image, tuple[int, int]]:  # fmt: skip
    """A page of a file, its longer side at most ``side`` pixels, and the size of all of it, upright and turned.

    Args:
        path: A PDF, or a picture of any of ``pictures.FORMATS``; or an archive that holds one.
        page: Counted from 1.
        side: It is never enlarged.
        turn: Degrees clockwise, a multiple of 90, after what the file itself says.
        box: ``[x, y, width, height]`` of a part of it, in pixels of the whole; shown with a margin.
        entry: The name of the file in the archive; "" for no archive.

    Raises:
        UnreadablePicture: It cannot be shown.
    """
    given = _unpacked(path, entry) if entry else path
    seen, whole = _of_pdf(given, page, side) if _is_pdf(given) else _of_picture(given, page, side, box)
    if turn:
        seen = seen.rotate(-turn, expand=True)
        whole = whole if turn == 180 else (whole[1], whole[0])
    if box:
        seen = seen.crop(_around(box, seen.size, whole))
    seen.thumbnail((side, side), reducing_gap=2.0)
    return seen, whole


def _unpacked(path: Path, name: str) -> bytes:
    try:
        with archives.Archive(path) as archive:
            for entry in archive.entries():
                if entry.name != name:
                    continue
                if entry.problem or entry.info.file_size > MAX_ITEM_BYTES:
                    raise UnreadablePicture(entry.problem or _too_large(entry.info.file_size))
                with archive.opened(entry) as stream:
                    return stream.read()
    except archives.Damaged as error:
        raise UnreadablePicture(str(error)) from None
    raise UnreadablePicture(f"is not in its archive by the name {name!r}")


def _too_large(size: int) -> str:
    return f"has {size:,} bytes; {MAX_ITEM_BYTES:,} are shown"


def _is_pdf(given: Path | bytes) -> bool:
    if isinstance(given, bytes):
        return _pdf_pages.HEAD in given[: _pdf_pages.HEAD_WITHIN]
    with given.open("rb") as stream:
        return _pdf_pages.HEAD in stream.read(_pdf_pages.HEAD_WITHIN)


def _of_pdf(given: Path | bytes, page: int, side: int) -> tuple[Image.Image, tuple[int, int]]:
    with _pdf_pages.document(given) as document:
        if not 1 <= page <= len(document):
            raise UnreadablePicture(f"has no page {page}")
        found = document[page - 1]
        size = _pdf_pages.drawn_size(found, _pdf_pages.LEAST_DPI, MAX_MEGAPIXELS)
        scale = side / max(size.width, size.height) * size.dpi / _pdf_pages.POINTS
        picture: Image.Image = found.render(scale=scale).to_pil().convert("RGB")
        return picture, picture.size


def _of_picture(
    given: Path | bytes, page: int, side: int, box: Sequence[int] | None
) -> tuple[Image.Image, tuple[int, int]]:  # fmt: skip
    if isinstance(given, Path) and (size := given.stat().st_size) > MAX_ITEM_BYTES:
        raise UnreadablePicture(_too_large(size))
    data = given.read_bytes() if isinstance(given, Path) else given
    found = pictures.pages(data)
    if not 1 <= page <= len(found):
        raise UnreadablePicture(f"has no page {page}")
    if page == 1:
        decoded = pictures.decode(data, max_megapixels=MAX_MEGAPIXELS, enough_pixels=_enough(data, side, box))
        return decoded.picture, (decoded.width, decoded.height)
    with pictures.opened(data, found[page - 1]) as picture:
        pictures.check_size(picture, MAX_MEGAPIXELS)
        seen = pictures.plain(picture, max_megapixels=MAX_MEGAPIXELS)
    return seen, seen.size


def _enough(data: bytes, side: int, box: Sequence[int] | None) -> int:
    """The longer side that is enough of a JPEG: a box has ``side`` pixels then, too."""
    if not box:
        return side
    with pictures.opened(data) as picture:
        return int(side * max(picture.size) / max(1, box[2], box[3]))


def _around(box: Sequence[int], seen: tuple[int, int], whole: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box of the whole in what was decoded, as a square with a margin, as far as the picture goes.

    Raises:
        UnreadablePicture: It lies outside of the picture.
    """
    x, y, width, height = box
    scale = seen[0] / whole[0], seen[1] / whole[1]
    half = max(width, height) * (0.5 + CROP_MARGIN)
    middle = x + width / 2, y + height / 2
    left, right = (max(0, min(whole[0], middle[0] + way * half)) * scale[0] for way in (-1, 1))
    top, bottom = (max(0, min(whole[1], middle[1] + way * half)) * scale[1] for way in (-1, 1))
    found = int(left), int(top), max(int(right), int(left) + 1), max(int(bottom), int(top) + 1)
    if width < 1 or height < 1 or found[0] >= seen[0] or found[1] >= seen[1]:
        raise UnreadablePicture(f"has no part {list(box)}")
    return found


def answer(head: Mapping[str, Any], body: bytes) -> Answer:
    """Do what a request says."""
    limits = head["limits"]
    try:
        _child.limit(limits["cpu_s"], AS=limits["memory_bytes"], FSIZE=0, NOFILE=MOST_FILES)
        seen, whole = show(Path(head["path"]), head["page"], head["side"], head["turn"], head["box"], head["entry"])
        out = io.BytesIO()
        seen.save(out, "WEBP", quality=QUALITY, method=METHOD)
    except UnreadablePicture as error:
        return {"problem": str(error)}, b""
    except MemoryError:
        return {"problem": f"takes more than {limits['memory_bytes'] >> 20} MiB of memory to show"}, b""
    except Exception as error:  # noqa: BLE001 - libraries raise all sorts on what is damaged
        return {"problem": f"damaged: {type(error).__name__}: {error}"}, b""
    return {"whole": list(whole)}, out.getvalue()


def _get_ready() -> None:
    from PIL import Image

    Image.preinit()


if __name__ == "__main__":
    _child.serve(answer, _get_ready)
