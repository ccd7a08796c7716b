"""A page that is one picture: its pixels are read as they are."""

from __future__ import annotations

import io

import img2pdf
import numpy as np
import pikepdf
import pytest
from PIL import Image

from tasks import _pdf_pages

SIZE = (827, 1170)
"""At 100 x 100 mm no whole number of points."""
DPI = 200


def page(kind: str = "JPEG", **entries: object) -> tuple[Image.Image, bytes]:
    """A picture of noise, and a PDF whose page it is, with these entries of the page."""
    noise = np.random.default_rng(0).integers(0, 256, SIZE[::-1], dtype=np.uint8)
    picture, out = Image.fromarray(noise), io.BytesIO()
    picture = picture.point(lambda value: 255 * (value > 99)).convert("1") if kind == "TIFF" else picture
    picture.save(out, kind, dpi=(DPI, DPI), **({"compression": "group4"} if kind == "TIFF" else {}))
    written = io.BytesIO()
    with pikepdf.open(io.BytesIO(img2pdf.convert(out.getvalue()))) as pdf:
        for name, value in entries.items():
            pdf.pages[0][f"/{name}"] = value
        pdf.save(written)
    return Image.open(io.BytesIO(out.getvalue())).convert("L"), written.getvalue()


def look(data: bytes) -> _pdf_pages.Look:
    with _pdf_pages.document(data) as found:
        return _pdf_pages.look(found, 1, text="skip", dpi=300, max_megapixels=64)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_pixels_of_a_scan_are_those_of_its_file(kind: str) -> None:
    picture, data = page(kind)
    found = look(data)
    assert found.picture is not None
    assert (found.size.width, found.size.height, round(found.size.dpi)) == (*SIZE, DPI)
    assert np.array_equal(np.asarray(found.picture), np.asarray(picture))


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_scan_is_turned_as_its_page_says(turn: int) -> None:
    picture, data = page(Rotate=turn)
    found = look(data)
    assert found.picture is not None
    assert np.array_equal(np.asarray(found.picture), np.asarray(picture.rotate(-turn, expand=True)))


def test_a_page_that_shows_a_part_of_a_scan_is_drawn() -> None:
    _, data = page(CropBox=pikepdf.Array([0, 0, 100, 100]))
    found = look(data)
    assert found.picture is not None
    assert abs(found.picture.width - 100 / 72 * DPI) < 2
