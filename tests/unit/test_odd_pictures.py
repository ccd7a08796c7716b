"""Sound pictures of rare kinds, and sound pixels in odd files: they are seen as their makers see them."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tasks import _picture_files, pictures

Image = pytest.importorskip("PIL.Image")
ImageDraw = pytest.importorskip("PIL.ImageDraw")

SIZE = (200, 100)
NEW_SUBFILE, OLD_SUBFILE, PHOTOMETRIC, EXTRA_SAMPLES, SAMPLE_FORMAT, ORIENTATION = 254, 255, 262, 338, 339, 274
NAN, INFINITY = float("nan"), float("inf")


def slope() -> Any:
    """Black on the left, white on the right."""
    return Image.linear_gradient("L").rotate(90).resize(SIZE)


def numbers(factor: float, offset: float, mode: str) -> Any:
    """The slope in numbers from ``offset`` to ``offset + 255 * factor``."""
    made = slope().convert("F" if mode == "F" else "I").point(lambda value: value * factor + offset)
    return made.convert(mode)


def encoded(picture: Any, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=kind, **how)
    return out.getvalue()


def decoded(data: bytes, **how: Any) -> Any:
    return pictures.decode(data, max_megapixels=1, **how).picture


def is_slope(data: bytes) -> bool:
    seen = decoded(data).convert("L")
    row = seen.crop((0, 50, *SIZE)).tobytes()[: SIZE[0]]
    return bool(seen.size == SIZE and row[5] < 40 and 110 < row[100] < 145 and row[-6] > 215)


def without_alpha(mode: str) -> Any:
    made = slope().quantize(64).convert("PA") if mode == "PA" else slope().convert(mode)
    made.putalpha(0)
    return made


@pytest.mark.parametrize(
    ("mode", "kind", "how"),
    [
        ("RGBA", "PNG", {}), ("LA", "PNG", {}), ("RGBA", "BMP", {}), ("RGBA", "TIFF", {}), ("LA", "TIFF", {}),
        ("PA", "TIFF", {}),
        ("RGBA", "TIFF", {"tiffinfo": {EXTRA_SAMPLES: 1}}), ("LA", "TIFF", {"tiffinfo": {EXTRA_SAMPLES: 1}}),
        ("RGBA", "WEBP", {"lossless": True, "exact": True}),
    ],
)  # fmt: skip
def test_an_alpha_band_of_zeros_hides_nothing(mode: str, kind: str, how: dict[str, Any]) -> None:
    assert is_slope(encoded(without_alpha(mode), kind, **how))


def test_a_palette_that_is_all_transparent_hides_nothing() -> None:
    assert is_slope(encoded(slope().quantize(64), "PNG", transparency=bytes(64)))


def test_a_picture_of_nothing_at_all_is_white() -> None:
    assert decoded(encoded(Image.new("RGBA", SIZE, (0, 0, 0, 0)), "PNG")).getextrema() == ((255, 255),) * 3


def on_nothing(ink: Any) -> Any:
    made = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    ImageDraw.Draw(made).rectangle((20, 20, 180, 50), fill=ink)
    return made


@pytest.mark.parametrize("ink", ["white", "#ffffc0", "#d8d8d8", "black", "#808080", "#c00000"])
def test_what_stands_on_nothing_can_be_seen(ink: str) -> None:
    seen = decoded(encoded(on_nothing(ink), "PNG"), grey=True)
    assert abs(seen.getpixel((100, 35)) - seen.getpixel((100, 90))) > 80


def test_a_cut_out_photograph_stands_on_white() -> None:
    photograph = on_nothing("#ffe0d0")
    ImageDraw.Draw(photograph).rectangle((20, 20, 60, 50), fill="#402010")  # hair
    assert decoded(encoded(photograph, "PNG")).getpixel((100, 90)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "kind", "how"),
    [
        ("LA", "TIFF", {"tiffinfo": {EXTRA_SAMPLES: 1}}),
        ("LAB", "TIFF", {}),
        ("YCbCr", "TIFF", {}),
        ("CMYK", "TIFF", {}),
    ],
)
@pytest.mark.parametrize("grey", [True, False])
def test_every_mode_that_a_tiff_may_have_is_seen(mode: str, kind: str, how: dict[str, Any], grey: bool) -> None:
    data = encoded(slope().convert("RGB").convert(mode), kind, **how)
    assert is_slope(data)
    assert decoded(data, grey=grey).mode == ("L" if grey else "RGB")


USED = [
    (1, 0), (2, 0), (4, 0), (16, 0), (64, 0), (257, 0), (16, 30_000), (1, 40_000), (1, 2_000),
    (40, 30_000), (64, 20_000),
]  # fmt: skip
"""Factors and offsets: words of 16 bits of which 8, 9, 10, 12, 14 and 16 are used, and narrow bands."""


@pytest.mark.parametrize(("factor", "offset"), USED)
@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I"), ("TIFF", "F"), ("PPM", "I")]
)
def test_the_bits_that_are_used_are_seen(kind: str, mode: str, factor: int, offset: int) -> None:
    assert is_slope(encoded(numbers(factor, offset, mode), kind))


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I"), ("PPM", "I"), ("TIFF", "F")]
)
@pytest.mark.parametrize("highest", [40_000, 65_535])
def test_sixteen_bits_that_are_all_used_keep_the_high_ones(kind: str, mode: str, highest: int) -> None:
    made = numbers(highest / 260, 0, "I")
    made.paste(highest, (0, 0, 5, 5))
    high = made.point(lambda value: value / 256).convert("L")
    assert decoded(encoded(made.convert(mode), kind)).tobytes() == high.tobytes()


def chunk(name: bytes, body: bytes, *, is_sound: bool = True) -> bytes:
    checksum = zlib.crc32(name + body) ^ (not is_sound)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def colours(bands: int, factor: int, order: str) -> bytes:
    """The slope in words of 16 bits, from 0 to ``255 * factor``, the same in all bands."""
    words = [value * factor for value in slope().tobytes() for _ in range(bands)]
    return struct.pack(f"{order}{len(words)}H", *words)


def wide_png(bands: int, factor: int) -> bytes:
    rows, row = colours(bands, factor, ">"), 2 * SIZE[0] * bands
    packed = zlib.compress(b"".join(b"\0" + rows[at : at + row] for at in range(0, len(rows), row)))
    header = struct.pack(">IIBBBBB", *SIZE, 16, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def wide_tiff(factor: int, order: str, *, is_packed: bool) -> bytes:
    pixels = colours(3, factor, order)
    pixels = zlib.compress(pixels) if is_packed else pixels
    entries = [
        (256, 3, 1, SIZE[0]), (257, 3, 1, SIZE[1]), (258, 3, 3, 8), (259, 3, 1, 8 if is_packed else 1), (262, 3, 1, 2),
        (273, 4, 1, 200), (277, 3, 1, 3), (278, 3, 1, SIZE[1]), (279, 4, 1, len(pixels)),
    ]  # fmt: skip
    head = struct.pack(f"{order}HI3HH", 42, 14, 16, 16, 16, len(entries))
    for tag, kind, count, value in entries:
        form = "HH2x" if kind == 3 and count == 1 else "HI"
        head += struct.pack(f"{order}HH", tag, kind) + struct.pack(f"{order}I{form[1:]}", count, value)
    return ((b"II" if order == "<" else b"MM") + head + bytes(4)).ljust(200, b"\0") + pixels


@pytest.mark.parametrize("factor", [1, 2, 4, 16, 64, 257])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_the_bits_that_colours_use_are_seen(bands: int, factor: int) -> None:
    with pictures.opened(wide_png(bands, factor)) as picture:
        seen = pictures.sound(picture)
    row = seen.crop((0, 50, SIZE[0], 51))
    for band in row.split():
        assert [band.getpixel((x, 0)) for x in (5, 100, 194)] == pytest.approx([7, 128, 248], abs=2)


@pytest.mark.parametrize("factor", [1, 16, 257])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_the_bits_that_colours_of_a_tiff_use_are_seen(factor: int, order: str, is_packed: bool) -> None:
    assert is_slope(wide_tiff(factor, order, is_packed=is_packed))


@pytest.mark.parametrize("mode", ["I", "F"])
@pytest.mark.parametrize(("factor", "offset"), [(1, -255), (1, -100), (256, -32_768), (8e6, -1e9)])
def test_numbers_below_zero_are_seen(mode: str, factor: float, offset: float) -> None:
    assert is_slope(encoded(numbers(factor, offset, mode), "TIFF"))


def test_numbers_of_thirty_two_bits_may_lack_a_sign() -> None:
    signed = numbers(1, 0, "I")
    words = struct.pack(f"<{SIZE[0] * SIZE[1]}I", *(value * 2**24 for value in slope().tobytes()))
    data = encoded(signed, "TIFF").replace(signed.tobytes(), words)
    with_sign, without = (struct.pack("<HHII", SAMPLE_FORMAT, 3, 1, kind) for kind in (2, 1))
    assert is_slope(data.replace(with_sign, without))


@pytest.mark.parametrize("odd", [NAN, INFINITY, -INFINITY, 1e9, -1e9, 1e38, 300.0])
@pytest.mark.parametrize("how_many", [1, 3])
def test_odd_numbers_do_not_blacken_the_others(odd: float, how_many: int) -> None:
    made = numbers(1 / 255, 0, "F")
    for at in range(how_many):
        made.putpixel((70 * at, at), odd)
    assert is_slope(encoded(made, "TIFF"))


def test_a_hot_pixel_does_not_blacken_a_camera_picture() -> None:
    made = numbers(16, 0, "I")
    made.putpixel((0, 0), 65_535)
    assert is_slope(encoded(made.convert("I;16"), "PNG"))


def test_numbers_that_are_none_are_white() -> None:
    made = numbers(1 / 255, 0, "F")
    made.paste(NAN, (0, 0, 40, 100))
    seen = decoded(encoded(made, "TIFF"))
    assert seen.crop((0, 0, 40, 100)).getextrema() == (255, 255)
    assert 100 < seen.getpixel((100, 50)) < 150
    assert decoded(encoded(Image.new("F", SIZE, NAN), "TIFF")).getextrema() == (255, 255)


@pytest.mark.parametrize("order", ["I;16", "I;16B"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_white_is_zero_in_sixteen_bits_as_well(order: str, compression: str) -> None:
    negative = numbers(-257, 65_535, "I").convert("I;16")
    how = {"tiffinfo": {PHOTOMETRIC: 0}, "compression": compression}
    if order == "I;16B":
        how["prefix"] = "MM"
        data = encoded(negative.convert("I"), "PPM")[-2 * SIZE[0] * SIZE[1] :]  # big-endian words
        negative = Image.frombytes("I;16B", SIZE, data)
    assert is_slope(encoded(negative, "TIFF", **how))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_white_is_zero_in_shares_of_one_as_well(compression: str) -> None:
    negative = numbers(-1 / 255, 1, "F")
    assert is_slope(encoded(negative, "TIFF", tiffinfo={PHOTOMETRIC: 0}, compression=compression))


def test_floats_that_are_a_little_over_one_are_shares() -> None:
    assert is_slope(encoded(numbers(1.08 / 255, -0.04, "F"), "TIFF"))


LARGE = zlib.compress(bytes(3 * 2**20))


@pytest.mark.parametrize(
    "spoiled",
    [
        chunk(b"tEXt", b"Comment\0hello", is_sound=False), chunk(b"iCCP", b"profile\0\0" + LARGE),
        chunk(b"zTXt", b"Comment\0\0" + LARGE), chunk(b"iTXt", b"Comment\0\1\0\0\0" + LARGE),
        chunk(b"zTXt", b"Comment\0\7xx"), chunk(b"iCCP", b"profile\0\7xx"), chunk(b"iCCP", b""),
        chunk(b"gAMA", b"\0"), chunk(b"cHRM", b"\0"), chunk(b"sRGB", b""), chunk(b"pHYs", b"\0"),
        chunk(b"acTL", b"\0"), chunk(b"fcTL", b"\0"), chunk(b"fcTL", bytes(3) + b"\1" + bytes(22)),
        chunk(b"eXIf", b"junk"), chunk(b"eXIf", b"MM", is_sound=False), chunk(b"tRNS", b"\0\1", is_sound=False),
        chunk(b"prVt", b"mine", is_sound=False),
    ],
    ids=lambda made: made[4:8].decode(),
)  # fmt: skip
@pytest.mark.parametrize("is_behind", [False, True])
def test_metadata_does_not_keep_a_png_from_being_seen(spoiled: bytes, is_behind: bool) -> None:
    data = encoded(slope(), "PNG")
    at = len(data) - 12 if is_behind else 8 + 25
    assert is_slope(data[:at] + spoiled + data[at:])


def test_metadata_without_end_takes_no_time() -> None:
    data = encoded(slope(), "PNG")
    begun = time.process_time()
    assert is_slope(data[:33] + chunk(b"iCCP", b"profile\0\0" + LARGE) * 10_000 + data[33:])
    assert time.process_time() - begun < 2


def test_a_png_keeps_the_metadata_that_is_of_use() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    data = encoded(slope().rotate(180), "PNG", dpi=(300, 300), exif=exif, icc_profile=b"a profile")
    with pictures.opened(data[:33] + chunk(b"tEXt", b"Comment\0x", is_sound=False) + data[33:]) as picture:
        assert picture.info["icc_profile"] == b"a profile"
        assert round(picture.info["dpi"][0]) == 300
        assert list(pictures.sound(picture).getdata())[5] < 40


@pytest.mark.parametrize("place", range(1, 16))
def test_metadata_does_not_keep_a_jpeg_from_being_seen(place: int) -> None:
    data = encoded(slope(), "JPEG", quality=95)
    for body in (
        b"",
        b"ICC_PROFILE\0\1",
        b"Exif\0\0MM",
        b"MPF\0junk",
        b"Photoshop 3.0\0\x38BIM",
        b"Adobe",
        b"http://ns",
    ):
        marker = struct.pack(">BBH", 0xFF, 0xE0 + place, len(body) + 2) + body
        if not (place == 14 and body == b"Adobe"):  # it tells what the colours are
            assert is_slope(data[:2] + marker + data[2:])


def tiff(*drawn: tuple[Any, dict[int, int]]) -> bytes:
    """A TIFF of these pictures with these tags."""
    from PIL import TiffImagePlugin

    out = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(out) as writer:
        for picture, tags in drawn:
            picture.save(writer, format="TIFF", tiffinfo=tags)
            writer.newFrame()
    return out.getvalue()


SMALL = (100, 50)
MASK = (Image.new("1", SIZE), {NEW_SUBFILE: 4, PHOTOMETRIC: 4})


@pytest.mark.parametrize(
    "none", [MASK, (Image.new("L", SMALL), {NEW_SUBFILE: 1}), (Image.new("L", SMALL), {OLD_SUBFILE: 2})]
)
def test_masks_and_smaller_copies_are_no_pages(none: Any) -> None:
    page = (slope(), {NEW_SUBFILE: 0})
    assert len(pictures.pages(tiff(page, none))) == 1
    assert len(pictures.pages(tiff(page, none, page, none, none))) == 2
    assert is_slope(tiff(none, page))  # not the first picture of the file, but the first page


def test_pages_that_are_only_called_copies_are_pages() -> None:
    copy = (slope(), {NEW_SUBFILE: 1})
    assert len(pictures.pages(tiff(copy, copy))) == 2
    assert len(pictures.pages(tiff((slope(), {}), copy))) == 2


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I"])
def test_every_picture_of_a_pnm_file_is_a_page(mode: str) -> None:
    each = [encoded(slope().convert(mode), "PPM"), encoded(slope().resize(SMALL).convert(mode), "PPM")]
    data = b"\n".join(each)
    sizes = []
    for page in pictures.pages(data):
        with pictures.opened(data, page) as picture:
            sizes.append(pictures.plain(picture, max_megapixels=1).size)
    assert sizes == [SIZE, SMALL]
    assert len(pictures.pages(each[0] + b"what else stands there")) == 1


def test_a_file_with_pages_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_picture_files, "MOST_PAGES", 9)
    assert len(pictures.pages(b"P4 1 1\n\0" * 9)) == 9
    with pytest.raises(pictures.UnreadablePicture, match="more than 9 pages"):
        pictures.pages(b"P4 1 1\n\0" * 1_000)


def oblong(kind: str, dpi: tuple[int, int], size: tuple[int, int], way: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = way
    return encoded(slope().resize(size), kind, dpi=dpi, exif=exif)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("dpi", "size", "square"),
    [
        ((204, 98), (200, 48), (200, 100)), ((204, 391), (100, 192), (192, 192)), ((300, 100), (90, 30), (90, 90)),
        ((204, 196), (200, 100), (200, 100)), ((300, 1), (200, 100), (200, 100)), ((96, 96), (200, 100), (200, 100)),
    ],
)  # fmt: skip
def test_pixels_become_square_where_a_file_says_they_are_not(
    kind: str, dpi: tuple[int, int], size: tuple[int, int], square: tuple[int, int]
) -> None:
    upright = pictures.decode(oblong(kind, dpi, size), max_megapixels=1)
    assert upright.picture.size == square
    assert (upright.width, upright.height) == size
    turned = pictures.decode(oblong(kind, dpi, size, way=6), max_megapixels=1)
    assert turned.picture.size == square[::-1]
    assert (turned.width, turned.height) == size[::-1]


def test_a_picture_near_the_limit_becomes_square_by_less_pixels() -> None:
    assert decoded(oblong("PNG", (300, 100), (1200, 700))).size == (400, 700)
    assert decoded(oblong("PNG", (100, 300), (1200, 700))).size == (1200, 233)


def a_few() -> dict[str, bytes]:
    """A small picture of each kind."""
    grey = slope().resize((24, 16))
    colour = Image.merge("RGBA", (grey, grey.rotate(180), grey, grey))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    wide = grey.convert("I").convert("I;16")
    return {
        "png": encoded(colour, "PNG", dpi=(300, 100), exif=exif),
        "palette": encoded(grey.quantize(8), "PNG", transparency=b"\0\1"),
        "jpeg": encoded(colour.convert("RGB"), "JPEG", exif=exif),
        "cmyk": encoded(colour.convert("CMYK"), "JPEG"),
        "tiff": tiff((grey, {}), MASK, (wide, {PHOTOMETRIC: 0}), (grey.convert("F"), {})),
        "lzw": encoded(grey, "TIFF", compression="tiff_lzw"),
        "fax": encoded(grey.convert("1"), "TIFF", compression="group4", dpi=(204, 98)),
        "large": encoded(grey, "TIFF", big_tiff=True),
        "bmp": encoded(colour, "BMP"),
        "webp": encoded(colour, "WEBP", exif=exif),
        "pgm": encoded(grey, "PPM") * 2,
        "pfm": encoded(grey.convert("F"), "PPM"),
    }  # fmt: skip


def mutated(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 8))):
        at = dice.randrange(min(len(changed), dice.choice((64, 400, 10_000))) or 1)
        ways: list[Callable[[], Any]] = [
            lambda at=at: changed.__setitem__(
                slice(at, at + 1), dice.choice((b"\0", b"\xff", b"\1", dice.randbytes(1)))
            ),  # type: ignore[misc]
            lambda at=at: changed.__delitem__(slice(at, at + dice.randrange(1, 9))),  # type: ignore[misc]
            lambda at=at: changed.__setitem__(slice(at, at), dice.randbytes(4)),  # type: ignore[misc]
            lambda at=at: changed.__delitem__(slice(at, None)),  # type: ignore[misc]
        ]
        dice.choices(ways, (12, 3, 3, 2))[0]()
    return bytes(changed)


@pytest.mark.parametrize("kind", a_few())
def test_a_changed_file_gives_a_picture_or_a_reason(kind: str) -> None:
    dice = random.Random(kind)
    sound = a_few()[kind]
    outcomes = set()
    for _ in range(100):
        data = mutated(sound, dice)
        try:
            for page in pictures.pages(data)[:4]:
                with pictures.opened(data, page) as picture:
                    pictures.check_size(picture, 1)
                    pictures.plain(picture, max_megapixels=1)
            outcomes.add("a picture")
        except pictures.UnreadablePicture:
            outcomes.add("a reason")
    assert outcomes == {"a picture", "a reason"}
