"""The places of words: kept within their page, from either engine, and of text that a PDF has."""

from __future__ import annotations

from typing import Any

import pytest

from tasks import _pdf_pages, pictures
from tasks._pdf_pages import Char, Size
from tasks.ocr import turning, words
from tasks.ocr.engines import Reading

TABLE = (
    "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n"
    "1\t1\t0\t0\t0\t0\t0\t0\t200\t100\t-1\t\n"
    "5\t1\t1\t1\t1\t1\t10\t20\t30\t12\t96.7\tThe\n"
    "5\t1\t1\t1\t1\t2\t50\t20\t170\t12\t88.1\tfox\n"
    "5\t1\t1\t2\t1\t1\t10\t60\t30\t12\t12.0\t \n"
    "5\t1\t2\t1\t1\t1\t10\t80\t30\t12\t50\ta\r\n"
)


def test_the_programs_table_gives_lines_of_words_within_the_page() -> None:
    assert words.of_table(TABLE, 200, 100) == [
        [1, 1, 0.0, 0.0, [["The", 10, 20, 40, 32, 96], ["fox", 50, 20, 200, 32, 88]]],
        [2, 1, 0.0, 0.0, [["a", 10, 80, 40, 92, 50]]],
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("a", (-5, 3, 900, 4), 120.0), ["a", 0, 3, 100, 4, 100]),
        (("a", (9, 8, 3, 2), -1.0), ["a", 3, 2, 9, 8, 0]),
        (("a\x07\nb ", (0, 0, 1, 1), 50.9), ["ab", 0, 0, 1, 1, 50]),
        ((" \x00", (0, 0, 1, 1), 50), None),
        (("x" * 5000, (0, 0, 1, 1), 50), ["x" * 2000, 0, 0, 1, 1, 50]),
    ],
)
def test_a_word_is_kept_to_what_a_record_takes(given: Any, expected: Any) -> None:
    text, box, confidence = given
    assert words.word_of(text, box, confidence, 100, 50) == expected


def test_words_of_an_enlarged_page_are_put_back_to_the_page() -> None:
    large = [[1, 1, 0.02, -4.0, [["a", 20, 40, 61, 80, 90]]]]
    assert words.scaled(large, 2.0, 100, 100) == [[1, 1, 0.02, -2.0, [["a", 10, 20, 30, 40, 90]]]]
    assert words.scaled(large, 1.0, 100, 100) is large


def chars(text: str, *, is_visible: bool = True) -> list[Char]:
    """Each character 10 pixels wide and high, each line below the one before; blanks and ends of lines have no box."""
    found, x, y = [], 0, 0
    for one in text:
        box = None if one.isspace() else (float(x), float(y), x + 10.0, y + 10.0)
        found.append(Char(one, box, is_visible))
        x, y = (0, y + 10) if one == "\n" else (x + 10, y)
    return found


def test_characters_of_a_pdf_are_put_together_to_words_and_lines() -> None:
    assert _pdf_pages.lines(chars("ab c\r\n\nd"), Size(200, 100, 72)) == [
        [["ab", 0, 0, 20, 10], ["c", 30, 0, 40, 10]],
        [["d", 0, 20, 10, 30]],
    ]
    assert _pdf_pages.plain(chars("\nab c \r\nd\n\n")) == "ab c\nd\n"


@pytest.mark.parametrize(
    ("code", "letter"), [(0x41, "A"), (2, "-"), (0xFFFE, "-"), (0, ""), (0xD801, ""), (0xFFFF, ""), (0x0A, "\n")]
)
def test_a_letter_of_a_pdf_is_one_that_a_text_takes(code: int, letter: str) -> None:
    assert _pdf_pages._letter(code) == letter


WIDE = [[1, 1, 0.0, 0.0, [["word", 0, 0, 40, 10, 95], ["a", 0, 0, 5, 10, 95]]]]
HIGH = [[1, 1, 0.0, 0.0, [["word", 0, 0, 10, 40, 95], ["more", 0, 50, 10, 90, 95], ["on", 0, 0, 9, 3, 9]]]]


@pytest.mark.parametrize(
    ("reading", "ways"),
    [
        (Reading("word a", 95, WIDE), ()),
        (Reading("word more", 95, HIGH), (90, 270)),
        (Reading("uo dn", 40, WIDE), (180, 90, 270)),
        (Reading(" \n", 0, []), ()),
    ],
)
def test_only_a_page_that_is_read_badly_or_sideways_is_turned(reading: Reading, ways: tuple[int, ...]) -> None:
    assert turning.ways_to_try(reading) == ways


@pytest.mark.parametrize(
    ("head", "is_known"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", True),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf", True),
        (b"\0\0\0\x20ftypmif1\0\0\0\0avifmif1miaf", True),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", False),
        (b"%PDF-1.7\n", False),
    ],
)
def test_pictures_in_boxes_are_known_by_their_brand(head: bytes, *, is_known: bool) -> None:
    assert bool(pictures.BRANDS.match(head)) == is_known
