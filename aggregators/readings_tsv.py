"""Write pages that were read as the table that Tesseract writes."""

from __future__ import annotations

from collections.abc import Iterator

from aggregators import page_layout
from aggregators.documents import Document
from aggregators.page_layout import Block, Box
from aggregators.readings import Reading

COLUMNS = (
    "level", "page_num", "block_num", "par_num", "line_num", "word_num",
    "left", "top", "width", "height", "conf", "text",
)  # fmt: skip
PAGE, BLOCK, PARAGRAPH, LINE, WORD = range(1, 6)
NOT_A_WORD = -1
"""The confidence in a row that is no word's."""


def render(document: Document) -> Iterator[bytes]:
    """A document as a table: a row a page, block, paragraph, line and word; pages that are missing have none.

    Boxes are pixels of the page as it is seen upright, see ``readings.Reading.page``; zeros where they were not kept.
    """
    yield b"\t".join(name.encode() for name in COLUMNS) + b"\n"
    for number, record in page_layout.pages(document):
        yield "".join(_page(number, record)).encode()


def _page(number: int, record: Reading) -> Iterator[str]:
    width, height, _ = record.get("page", (0, 0, 0))
    yield _row(PAGE, (number, 0, 0, 0, 0), Box(0, 0, width, height))
    for position, block in enumerate(page_layout.blocks(record), 1):
        yield from _block(number, position, block)


def _block(page: int, number: int, block: Block) -> Iterator[str]:
    yield _row(BLOCK, (page, number, 0, 0, 0), block.box)
    for p, paragraph in enumerate(block.paragraphs, 1):
        yield _row(PARAGRAPH, (page, number, p, 0, 0), paragraph.box)
        for ln, line in enumerate(paragraph.lines, 1):
            yield _row(LINE, (page, number, p, ln, 0), line.box)
            for w, word in enumerate(line.words, 1):
                sure = NOT_A_WORD if word.confidence is None else word.confidence
                yield _row(WORD, (page, number, p, ln, w), word.box, sure, word.text)


def _row(
    level: int, at: tuple[int, int, int, int, int], box: Box | None, confidence: int = NOT_A_WORD, text: str = ""
) -> str:
    place = (box.left, box.top, box.width, box.height) if box else (0, 0, 0, 0)
    numbers = "\t".join(map(str, (level, *at, *place, confidence)))
    return f"{numbers}\t{' '.join(text.split())}\n"
