"""Labelled pictures: the same picture with boxes and names, whatever kind of picture it is."""

from __future__ import annotations

import io
from typing import Any

import pytest

from splitters import Item
from tasks import ocr, pictures
from tasks.faces import draw, lettering

Image = pytest.importorskip("PIL.Image")
ImageChops = pytest.importorskip("PIL.ImageChops")
ImageCms = pytest.importorskip("PIL.ImageCms")
ImageOps = pytest.importorskip("PIL.ImageOps")
ImageColor = pytest.importorskip("PIL.ImageColor")

WALL = (120, 130, 140)
KNOWN, STRANGER = (ImageColor.getrgb(draw.COLOURS[known]) for known in (True, False))


def face(*box: float, label: str = "rosa", confidence: float = 0.93) -> dict[str, Any]:
    return {"box": list(box), "score": 1.0, "label": label, "confidence": confidence}


def encoded(picture: Any, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=kind, **how)
    return out.getvalue()


def drawn(data: bytes, *faces: dict[str, Any]) -> Any:
    picture = Image.open(io.BytesIO(draw.draw(data, faces)))
    picture.load()
    return picture


def plain(mode: str = "RGB", size: tuple[int, int] = (300, 240)) -> Any:
    if mode in ("I;16", "F"):
        grey = Image.new("F", size, 130.0 * 256)
        return grey if mode == "F" else grey.convert("I").convert("I;16")
    if mode in ("LA", "RGBA"):
        return Image.new("RGBA", size, (*WALL, 200)).convert(mode)
    return Image.new("RGB", size, WALL).convert(mode)


@pytest.mark.parametrize(
    ("kind", "mode", "becomes"),
    [
        ("PNG", "1", "RGB"), ("PNG", "L", "RGB"), ("PNG", "LA", "RGBA"), ("PNG", "P", "RGB"), ("PNG", "RGB", "RGB"),
        ("PNG", "RGBA", "RGBA"), ("PNG", "I;16", "RGB"), ("JPEG", "L", "RGB"), ("JPEG", "RGB", "RGB"),
        ("JPEG", "CMYK", "CMYK"), ("TIFF", "1", "RGB"), ("TIFF", "RGB", "RGB"), ("TIFF", "F", "RGB"),
        ("TIFF", "CMYK", "CMYK"),
        ("BMP", "RGB", "RGB"), ("BMP", "L", "RGB"), ("WEBP", "RGB", "RGB"), ("WEBP", "RGBA", "RGBA"),
        ("PPM", "RGB", "RGB"), ("PPM", "L", "L"), ("PPM", "1", "1"),
    ],
)  # fmt: skip
def test_every_kind_of_picture_keeps_its_kind_and_size(kind: str, mode: str, becomes: str) -> None:
    before = encoded(plain(mode), kind)
    after = drawn(before, face(80, 70, 100, 100))
    assert (after.format, after.mode, after.size) == (kind, becomes, (300, 240))
    old = Image.open(io.BytesIO(before))
    if old.mode in ("I;16", "F"):
        old = plain("L").point(lambda _: 130)
    apart = ImageChops.difference(after.convert("L"), old.convert("L")).point(lambda value: 255 * (value > 12))
    left, top, right, bottom = apart.getbbox()
    # Only the frame is touched, and the name above it.
    assert (left, bottom, right) == (80, 170, pytest.approx(180, abs=1))
    assert top < 70
    assert not apart.crop((90, 80, 170, 160)).getbbox()


def test_a_stranger_has_another_colour() -> None:
    data = encoded(plain(), "PNG")
    picture = drawn(data, face(20, 60, 80, 80), face(180, 60, 80, 80, label="unknown"))
    assert picture.getpixel((60, 139)) == KNOWN
    assert picture.getpixel((220, 139)) == STRANGER
    assert KNOWN != STRANGER


def test_without_a_face_the_file_is_the_same() -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    data = encoded(plain(), "JPEG", exif=exif)
    assert draw.draw(data, []) == data


def test_a_turned_photo_is_upright_and_says_no_more_that_it_is_turned() -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6  # the camera was held upright
    exif[0x010F] = "Maker"
    data = encoded(plain(size=(400, 200)), "JPEG", exif=exif)
    picture = drawn(data, face(50, 250, 100, 100))
    assert picture.size == (200, 400)
    assert pictures.ORIENTATION not in picture.getexif()
    assert picture.getexif()[0x010F] == "Maker"
    assert max(abs(a - b) for a, b in zip(picture.getpixel((100, 349)), KNOWN, strict=True)) < 30


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_resolution_and_profile_are_kept(kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(plain(), kind, dpi=(300, 300), icc_profile=profile)
    picture = drawn(data, face(80, 70, 100, 100))
    assert picture.info["icc_profile"] == profile
    assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    grey = drawn(encoded(plain("L"), kind, icc_profile=profile[:16] + b"GRAY" + profile[20:]), face(80, 70, 100, 100))
    assert "icc_profile" not in grey.info  # it is a grey picture no more


@pytest.mark.parametrize(
    "box", [(-50, -50, 100, 100), (250, 200, 200, 200), (-9, -9, 500, 500), (400, 400, 50, 50), (-1e12, 0, 2e12, 1e300)]
)
def test_a_box_that_sticks_out_is_drawn_as_far_as_it_is_inside(box: tuple[float, ...]) -> None:
    data = encoded(plain(), "PNG")
    picture = drawn(data, face(*box))
    assert picture.size == (300, 240)
    colours = {colour for _, colour in picture.getcolors(2**20)}
    assert {KNOWN, (255, 255, 255)} <= colours  # its name stands in the picture in any case


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (16, 16), (20, 25), (92, 112)])
def test_no_picture_is_too_small(size: tuple[int, int]) -> None:
    data = encoded(plain(size=size), "PNG")
    picture = drawn(data, face(0, 0, *size, label="a rather long name of somebody"), face(0, 0, 0, 0), face(2, 2, 3, 3))
    assert picture.size == size


@pytest.mark.parametrize("size", [(92, 112), (300, 240), (2000, 1500)])
def test_names_can_be_read_at_any_size(size: tuple[int, int]) -> None:
    if problem := ocr.why_unavailable(lang="eng"):
        pytest.skip(problem)
    box = (size[0] // 4, size[1] // 3, size[0] // 2, size[0] // 2)
    picture = drawn(encoded(plain(size=size), "PNG"), face(*box))
    above = picture.crop((0, 0, size[0], box[1]))
    label = above.crop(ImageChops.difference(above, Image.new("RGB", above.size, WALL)).getbbox())
    label = ImageOps.invert(label.convert("L")).resize((60 * label.width // label.height, 60), Image.Resampling.BICUBIC)
    label = ImageOps.expand(label.point(lambda value: 255 * (value > 100)), 30, "white")
    read = ocr.read_pages([Item("it", encoded(label, "PNG"))]).value["it"]["text"]
    assert "rosa 93%" in read


def bright_pixels(picture: Any) -> int:
    return sum(picture.convert("L").histogram()[180:])


def test_names_do_not_cover_each_other() -> None:
    data = encoded(plain(size=(600, 300)), "PNG")
    faces = [face(100, 100, 80, 80, label="first and long"), face(190, 100, 80, 80, label="second and long")]
    # No letter of either is lost.
    assert bright_pixels(drawn(data, *faces)) == sum(bright_pixels(drawn(data, one)) for one in faces)


def test_letters_that_no_font_has_are_written_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "SYSTEM_FONTS", ())
    lettering._lettering.cache_clear()
    assert lettering.fit(("Jörg Łukasz-Åß 93%",), 20, 1000)[0] == "Jorg Lukasz-Ass 93%"
    assert lettering.fit(("田中",), 20, 1000)[0] == "??"
    assert lettering.fit(("two\nlines\x00",), 20, 1000)[0] == "two lines"
    lettering._lettering.cache_clear()


def test_where_a_font_of_the_system_has_the_letters_they_are_drawn() -> None:
    if not any(lettering._has(name, "ö") for name in lettering.SYSTEM_FONTS):
        pytest.skip("no font of this system has the letter ö")
    assert lettering.fit(("Jörg",), 20, 1000)[0] == "Jörg"


def test_a_text_without_room_is_said_shorter_then_smaller_then_cut() -> None:
    assert lettering.fit(("rosa 93%", "rosa"), 20, 1000)[0] == "rosa 93%"
    assert lettering.fit(("rosa 93%", "rosa"), 20, 60)[0] == "rosa"
    text, font = lettering.fit(("rosa 93%", "rosa"), 20, 30)
    assert text == "rosa"
    assert font.getlength(text) <= 30
    text, font = lettering.fit(("rosa-maria 93%", "rosa-maria"), 20, 20)
    assert text.startswith("r")
    assert text.endswith(".")
    assert font.getlength(text) <= 20


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"box": [1, 2, 3], "label": "x", "confidence": 1}, {"box": [1, 2, 3, 4], "label": 5, "confidence": 1},
        {"box": [1, 2, 3, float("nan")], "label": "x", "confidence": 1}, {"box": [1, 2, 3, 4], "label": "x"},
        {"box": "1234", "label": "x", "confidence": 1},
    ],
)  # fmt: skip
def test_what_is_no_face_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a face has"):
        draw.draw(encoded(plain(), "PNG"), [wrong])


@pytest.mark.parametrize("data", [b"", b"no picture", encoded(plain(), "JPEG")[:500], encoded(plain(), "GIF")])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(pictures.UnreadablePicture):
        draw.draw(data, [face(1, 1, 5, 5)])


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_turned_tiff_says_nowhere_that_it_is_turned(compression: str) -> None:
    told = Image.Exif()
    told[700] = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    told[pictures.ORIENTATION] = 6
    data = encoded(plain(), "TIFF", exif=told, compression=compression)
    assert pictures.decode(data, max_megapixels=1).picture.size == (240, 300)
    again = pictures.decode(draw.draw(data, [face(80, 70, 100, 100)]), max_megapixels=1)
    assert (again.width, again.height) == again.picture.size == (240, 300)


def odd(kind: str) -> bytes:
    grey = Image.new("L", (300, 240), 130)
    hidden = plain()
    hidden.paste((10, 10, 10), (0, 0, 9, 9))
    hidden.putalpha(0)
    wide = grey.convert("I").point(lambda value: value * 257)
    twelve = grey.convert("I").point(lambda value: value * 16).convert("I;16")
    made = {
        "alpha of zeros": lambda: encoded(hidden, "PNG"),
        "white is zero": lambda: encoded(wide.convert("I;16"), "TIFF", tiffinfo={262: 0}),
        "twelve bits": lambda: encoded(twelve, "PNG"),
        "associated alpha": lambda: encoded(plain("LA"), "TIFF", tiffinfo={338: 1}),
        "lab": lambda: encoded(plain("LAB"), "TIFF"),
        "oblong": lambda: encoded(plain(), "PNG", dpi=(300, 100)),
    }
    return made[kind]()


@pytest.mark.parametrize(
    ("kind", "grey"),
    [
        ("alpha of zeros", 128), ("white is zero", 125), ("twelve bits", 130), ("associated alpha", 128), ("lab", 128),
        ("oblong", 128),
    ],
)  # fmt: skip
def test_an_odd_picture_is_drawn_into_as_it_is_seen(kind: str, grey: int) -> None:
    after = drawn(odd(kind), face(80, 70, 100, 100))
    assert after.size == (300, 240)
    assert "A" not in after.getbands() or after.getchannel("A").getextrema()[0] > 128
    assert after.convert("L").getpixel((250, 200)) == pytest.approx(grey, abs=3)
    assert after.convert("RGB").getpixel((80, 120)) == KNOWN
