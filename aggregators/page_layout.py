"""How a document that was read is laid out: pages of blocks of paragraphs of lines of words, each with its box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from aggregators.documents import Document
from aggregators.readings import Reading


class Box(NamedTuple):
    """A rectangle in pixels from the top left of the page; right and bottom lie behind its last pixel."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


class Word(NamedTuple):
    """A word; its box and confidence, 0 to 100, are None where only the page's text is known."""

    text: str
    box: Box | None
    confidence: int | None


class Line(NamedTuple):
    """A line. Its baseline is y = slope * (x - box.left) + box.bottom + offset."""

    box: Box | None
    slope: float
    offset: float
    words: Sequence[Word]


class Paragraph(NamedTuple):
    """A paragraph, in the order of reading."""

    box: Box | None
    lines: Sequence[Line]


class Block(NamedTuple):
    """A block of a page, as a column or a headline."""

    box: Box | None
    paragraphs: Sequence[Paragraph]


def pages(document: Document) -> Iterator[tuple[int, Reading]]:
    """The number and record of each page that was read, in their order, one unpacked at a time; a picture is page 1."""
    for number, record in document.pages.items():
        if record is not None:
            yield 1 if number is None else number, record


def blocks(record: Reading) -> list[Block]:
    """The blocks of a page, in the order in which each begins; without boxes where its words' places were not kept."""
    if "lines" not in record:
        return _of_text(record["text"])
    found: dict[int, dict[int, list[Line]]] = {}
    for block, paragraph, slope, offset, words in record["lines"]:
        found.setdefault(block, {}).setdefault(paragraph, []).append(_line(slope, offset, words))
    return [_block([Paragraph(_around(lines), lines) for lines in each.values()]) for each in found.values()]


def _line(slope: float, offset: float, words: Iterable[Sequence[Any]]) -> Line:
    made = [Word(text, Box(x0, y0, x1, y1), confidence) for text, x0, y0, x1, y1, confidence in words]
    return Line(_around(made), slope, offset, made)


def _block(paragraphs: Sequence[Paragraph]) -> Block:
    return Block(_around(paragraphs), paragraphs)


def _of_text(text: str) -> list[Block]:
    lines = [
        Line(None, 0.0, 0.0, [Word(word, None, None) for word in line.split()])
        for line in text.splitlines()
        if line.split()
    ]
    return [Block(None, [Paragraph(None, lines)])] if lines else []


def _around(inner: Iterable[Word | Line | Paragraph]) -> Box | None:
    boxes = [each.box for each in inner if each.box is not None]
    if not boxes:
        return None
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return Box(min(lefts), min(tops), max(rights), max(bottoms))
