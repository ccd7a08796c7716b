"""Decoding one picture for those who look at faces or things; tests/unit/test_ocr.py has more of the damaged ones."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest

from tasks import pictures

Image = pytest.importorskip("PIL.Image")


def encoded(picture: Any, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=kind, **how)
    return out.getvalue()


def slope(width: int = 200, height: int = 100) -> Any:
    """Black on the left, white on the right."""
    return Image.linear_gradient("L").rotate(90).resize((width, height)).convert("RGB")


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "1"), ("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "I;16"),
        ("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("TIFF", "F"), ("PPM", "L"), ("PPM", "RGB"), ("WEBP", "RGBA"),
    ],
)  # fmt: skip
def test_every_kind_becomes_grey_or_rgb(kind: str, mode: str, grey: bool) -> None:
    if mode in ("I;16", "F"):
        picture = slope().convert("L").point(lambda value: value * 256, "I").convert(mode)
    else:
        picture = slope().convert(mode)
    decoded = pictures.decode(encoded(picture, kind), max_megapixels=1, grey=grey)
    assert decoded.picture.mode in (("L",) if grey else ("L", "RGB"))
    assert decoded.picture.size == (decoded.width, decoded.height) == (200, 100)
    row = decoded.picture.convert("L").crop((0, 50, 200, 51)).tobytes()
    assert row[5] < 40
    assert row[194] > 215


def test_a_large_jpeg_is_decoded_at_a_reduced_scale_and_its_true_size_is_told() -> None:
    decoded = pictures.decode(encoded(slope(4001, 3001), "JPEG"), max_megapixels=64, enough_pixels=1500)
    assert (decoded.width, decoded.height) == (4001, 3001)
    assert decoded.picture.size == (2001, 1501)


@pytest.mark.parametrize(("width", "height"), [(1001, 1002), (9000, 1), (1, 9000)])
def test_a_turned_picture_tells_its_upright_size_at_any_scale(width: int, height: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    data = encoded(slope(width, height), "JPEG", exif=exif)
    decoded = pictures.decode(data, max_megapixels=64, enough_pixels=125)
    assert (decoded.width, decoded.height) == (height, width)
    assert max(decoded.picture.size) >= 125


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    data = encoded(Image.new("L", (12_000, 12_000)), "PNG")
    begun = time.process_time()
    with pytest.raises(pictures.UnreadablePicture, match="12000 x 12000 pixels is over the limit of 64 megapixels"):
        pictures.decode(data, max_megapixels=64)
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PPM"])
def test_a_truncated_picture_is_damaged(kind: str) -> None:
    data = encoded(slope(), kind)
    with pytest.raises(pictures.UnreadablePicture, match="damaged"):
        pictures.decode(data[: len(data) // 2], max_megapixels=64, grey=True, enough_pixels=20)


def test_only_the_first_frame_counts() -> None:
    data = encoded(slope(), "TIFF", save_all=True, append_images=[slope(50, 50)])
    assert pictures.decode(data, max_megapixels=64).picture.size == (200, 100)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("way", range(2, 9))
def test_a_picture_is_seen_as_it_was_held(kind: str, way: int) -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = way
    picture = slope(40, 20)
    picture.paste("white", (0, 0, 8, 4))  # so that no two ways are alike
    decoded = pictures.decode(encoded(picture, kind, exif=exif, lossless=True), max_megapixels=1)
    seen = picture.transpose(pictures._turns()[way])
    assert decoded.picture.size == (decoded.width, decoded.height) == seen.size
    pairs = zip(decoded.picture.convert("L").tobytes(), seen.convert("L").tobytes(), strict=True)
    assert max(abs(one - other) for one, other in pairs) < 60


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("told", [b"Exif\0\0II*\0", b"Exif\0\0MM", b"junkjunk"])
def test_what_a_camera_told_may_be_damaged(kind: str, told: bytes) -> None:
    decoded = pictures.decode(encoded(slope(), kind, exif=told), max_megapixels=1)
    assert decoded.picture.size == (200, 100)


def test_what_else_a_camera_told_is_not_looked_at_to_turn_a_picture() -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    exif[0x0128] = "inch"  # ResolutionUnit is a number
    decoded = pictures.decode(encoded(slope(), "JPEG", exif=exif), max_megapixels=1)
    assert decoded.picture.size == (100, 200)


@pytest.mark.parametrize(("mode", "most"), [("F", 1.0), ("F", 255.0), ("I", 255), ("I", 65280), ("F", 1e6)])
def test_numbers_of_any_range_become_grey(mode: str, most: float) -> None:
    wide = slope().convert("L").convert("F").point(lambda value: value * (most / 255)).convert(mode)
    row = pictures.decode(encoded(wide, "TIFF"), max_megapixels=1).picture.crop((0, 50, 200, 51)).tobytes()
    assert row[5] < 40
    assert row[194] > 215


def test_the_size_of_each_page_is_known_from_headers() -> None:
    pages = [Image.new("1", (2000, 1000)), Image.new("1", (3000, 2000))]
    stream = io.BytesIO()
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:], compression="group4")
    assert pictures.megapixels(stream.getvalue()) == [2.0, 6.0]
    assert pictures.megapixels(stream.getvalue()[:40]) == []
    assert pictures.megapixels(b"no picture") == []
    assert pictures.megapixels(b"") == []
