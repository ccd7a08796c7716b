"""Pages of a TIFF, cut out as they are packed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from splitters import pages, tiff_frames
from tasks import pictures
from tasks._picture_files import Page
from tests.kit.programs import DATA

CASES = DATA.parent / "cases"
COLOURS = [Image.effect_noise((90, 60), 50).convert("RGB"), Image.new("RGB", (33, 20), (1, 99, 200))]


def tiff(frames: list[Image.Image], **how: Any) -> bytes:
    out = io.BytesIO()
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:], **how)
    return out.getvalue()


def cut(data: bytes) -> list[bytes]:
    stream = io.BytesIO(data)
    found = tiff_frames.pages(stream)
    tiff_frames.check(stream, found)
    return [tiff_frames.cut(stream, page) for page in found]


def seen(data: bytes, page: Page | None = None) -> object:
    try:
        with pictures.opened(data, page) as picture:
            plain = pictures.plain(picture, max_megapixels=99)
            return plain.mode, plain.size, picture.info.get("dpi"), plain.tobytes()
    except pictures.UnreadablePicture as error:
        return str(error)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("packing", ["raw", "tiff_lzw", "jpeg", "packbits", "tiff_deflate", "group4"])
def test_a_page_cut_out_looks_as_it_did(packing: str, *, big: bool) -> None:
    frames = [frame.convert("1") for frame in COLOURS] if packing == "group4" else COLOURS
    data = tiff(frames, compression=packing, big_tiff=big, dpi=(300, 200))
    assert [seen(page) for page in cut(data)] == [seen(data, page) for page in pictures.pages(data)]


@pytest.mark.parametrize(
    "path", [path.relative_to(CASES) for path in sorted(CASES.rglob("*.tif"))] or [Path("no shared/cases")], ids=str
)
def test_pages_of_odd_files_look_as_they_did(path: Path) -> None:
    if not (CASES / path).is_file():
        pytest.skip(f"{CASES / path} is not there")
    data = (CASES / path).read_bytes()
    assert [seen(page) for page in cut(data)] == [seen(data, page) for page in pictures.pages(data)]


def test_a_file_of_motorola_order_is_cut_in_that_order() -> None:
    data = motorola(2, 2)
    assert [page[:4] for page in cut(data)] == [b"MM\0*"] * 2
    assert [seen(page) for page in cut(data)] == [seen(data, page) for page in pictures.pages(data)]
    assert isinstance(seen(cut(data)[1]), tuple)


def motorola(number: int, side: int, *, counts: bool = True) -> bytes:
    """Grey pictures, in the order of bytes that Pillow does not write, with the same pixels."""
    pixels = bytes(range(side * side))
    out = b"MM\0*" + (8 + len(pixels)).to_bytes(4) + pixels
    for at in range(number):
        tags = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: side}
        if counts:
            tags[279] = len(pixels)
        out += len(tags).to_bytes(2)
        for tag, value in sorted(tags.items()):
            out += tag.to_bytes(2) + (4).to_bytes(2) + (1).to_bytes(4) + value.to_bytes(4)
        out += (len(out) + 4 if at + 1 < number else 0).to_bytes(4)
    return out


def test_a_file_that_leaves_out_what_it_may_stays_whole(tmp_path: Path) -> None:
    data = motorola(2, 4, counts=False)
    (tmp_path / "a.tif").write_bytes(data)
    [[item]] = pages.split([tmp_path])
    assert (item.name, item.data) == ("a.tif", data)


def test_a_file_with_tables_of_old_jpeg_stays_whole(tmp_path: Path) -> None:
    data = motorola(2, 4).replace((277).to_bytes(2) + b"\0\4", (515).to_bytes(2) + b"\0\4")
    (tmp_path / "a.tif").write_bytes(data)
    [[item]] = pages.split([tmp_path])
    assert (item.name, item.data) == ("a.tif", data)


def test_pages_that_share_their_pixels_do_not_multiply_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_frames, "MAX_ITEM_BYTES", 0)
    data = motorola(300, 15)
    monkeypatch.setattr(tiff_frames, "MOST_TIMES", 1)
    (tmp_path / "a.tif").write_bytes(data)
    [[item]] = pages.split([tmp_path])
    assert item.name == "a.tif"


def test_a_list_of_pages_that_is_cut_off_is_named(tmp_path: Path) -> None:
    data = motorola(3, 4)
    (tmp_path / "a.tif").write_bytes(data[:-30])
    found = [item for chunk in pages.split([tmp_path]) for item in chunk]
    assert [item.name for item in found] == ["a.tif#0001", "a.tif#0002", "a.tif#0003"]
    assert [item.problem for item in found] == ["", "", "damaged: the list of pages is cut off here"]


def test_a_list_of_pages_that_ends_in_itself_ends(tmp_path: Path) -> None:
    data = bytearray(motorola(2, 4))
    data[-4:] = data[4:8]
    (tmp_path / "a.tif").write_bytes(data)
    assert pages.count([tmp_path]) == 2


def test_a_file_of_too_many_pages_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_frames, "MOST_PAGES", 4)
    (tmp_path / "a.tif").write_bytes(motorola(5, 2))
    [[item]] = pages.split([tmp_path])
    assert (item.name, item.problem) == ("a.tif", "has more than 4 pages")


def test_a_page_without_tags_of_pixels_is_no_page_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0" + bytes(20))
    [[item]] = pages.split([tmp_path])
    assert item.name == "a.tif"
