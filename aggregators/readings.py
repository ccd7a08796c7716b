"""Pages that were read: the record of one, its check, and the joining of parts that map item names to records.

A part of the job ``ocr`` maps each item to its ``Reading``. A part of ``absent`` maps items that failed to None, so
that whoever writes documents knows which pages are missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NotRequired, TypedDict

from aggregators import by_name

MOST_SIDE = 65_535
"""Pixels of a page's side, and so of every box."""
MOST_DPI = 9_600
MOST_LINES, MOST_WORDS = 20_000, 200_000
"""Of one page. A page of small print has 200 lines and 2,000 words."""
MOST_WORD_CHARS = 2_000
MOST_TEXT_CHARS = 2**24
MOST_SLOPE = 100.0
MOST_NODE_CHARS = 255
DIGEST = re.compile(r"[0-9a-f]{16}")
NO_TEXT = re.compile("[\0-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff]")
"""Signs that stand in no text: XML cannot carry them, and terminals obey some."""
NO_WORD = re.compile("[\0-\x1f\x7f\ufffe\uffff]")
TURNS = (90, 180, 270)
SOURCES = ("pdf",)

Word = list[Any]
"""``[text, x0, y0, x1, y1, confidence]``; the box in whole pixels from the top left of ``Reading.page``, x1 and y1
behind its last pixel; the confidence 0 to 100."""
Line = list[Any]
"""``[block, paragraph, slope, offset, [Word, ...]]``, one word at least. Blocks count from 1 on each page, paragraphs
from 1 in each block. The baseline is y = slope * (x - the line's least x) + the line's largest y + offset."""


class Reading(TypedDict):
    """What one page says: the record of an item."""

    text: str
    """Of an item with several pages, those of all, with form feeds between."""
    confidence: int
    """0 to 100: the mean of its words; 0 without any."""
    seconds: float
    """From the item's bytes to its text."""
    node: str
    """The name of the node that read it; "" where no cluster was asked."""
    digest: str
    """The first 16 hex digits of the SHA-256 of the item's bytes."""
    source: NotRequired[str]
    """"pdf" where the text is the page's own; else an engine read it."""
    turn: NotRequired[int]
    """Degrees clockwise, 90, 180 or 270, by which the page had to be turned to be read."""
    page: NotRequired[list[int]]
    """``[width, height, dpi]``: pixels of the page as it is seen upright, after /Rotate, EXIF and ``turn``; dpi is 0
    where nobody knows it. Here with ``lines`` where words were wanted and the item is one page."""
    lines: NotRequired[list[Line]]
    """In the order of reading."""


NEEDED: Mapping[str, type] = {"text": str, "confidence": int, "seconds": float, "node": str, "digest": str}
KNOWN = frozenset(Reading.__annotations__)


def join(parts: Iterable[Mapping[str, Reading | None]]) -> dict[str, Reading | None]:
    """One mapping with the entries of all parts, in the order they come. Holds all of them.

    The same part handed in twice changes nothing. None, which stands for an item that failed, gives way to a record:
    some pages of an item may have been read.

    Raises:
        ValueError: Two parts have other records under one name.
    """
    joined: dict[str, Reading | None] = {}
    for part in parts:
        for name, record in part.items():
            before = joined.setdefault(name, record)
            if before is None:
                joined[name] = record
            elif record is not None and record != before:
                raise ValueError(f"two parts give another record for {name!r}; to join by name each item needs its own")
    return joined


def absent(names: Collection[str]) -> dict[str, Reading | None]:
    """The part that stands for items that failed."""
    return dict.fromkeys(names)


def texts(part: Mapping[str, Reading | None], *, words: bool = False) -> dict[str, Any]:
    """The run's result: name -> text, or with ``words`` name -> record; without items that failed."""
    return {name: record if words else record["text"] for name, record in part.items() if record is not None}


def check(part: Any, names: Collection[str] | None = None) -> None:
    """See that a part maps items of these ``names`` (None: of any) to records as ``tasks.ocr`` gives them.

    Raises:
        ValueError: It does not. Parts come from other people's machines: sizes, types and boxes are checked.
    """
    by_name.check(part, names)
    for name, record in part.items():
        try:
            _check_record(record)
        except ValueError as error:
            raise ValueError(f"its record of {name!r} {error}") from None


def _check_record(record: Any) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"is a {type(record).__name__}")
    if strange := record.keys() - KNOWN:
        raise ValueError(f"has {sorted(map(str, strange))[0]!r}, which no record has")
    for key, kind in NEEDED.items():
        value = record.get(key)
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            raise ValueError(f"has {_short(value)} as its {key}")
    if len(record["text"]) > MOST_TEXT_CHARS or NO_TEXT.search(record["text"]):
        raise ValueError(f"has a text with control characters, or of more than {MOST_TEXT_CHARS} characters")
    if not 0 <= record["confidence"] <= 100:
        raise ValueError(f"has {_short(record['confidence'])} as its confidence, which is 0 to 100")
    if not 0 <= record["seconds"] < math.inf:  # false of NaN, too
        raise ValueError(f"has {_short(record['seconds'])} as its seconds")
    if len(record["node"]) > MOST_NODE_CHARS or NO_WORD.search(record["node"]):
        raise ValueError(f"has {_short(record['node'])} as its node")
    if not DIGEST.fullmatch(record["digest"]):
        raise ValueError(f"has {_short(record['digest'])} as its digest, which is 16 hex digits")
    for key, known in (("source", SOURCES), ("turn", TURNS)):
        if key in record and (isinstance(record[key], float | bool) or record[key] not in known):
            raise ValueError(f"has {_short(record[key])} as its {key}")
    if ("page" in record) != ("lines" in record):
        raise ValueError("has one of page and lines, which belong together")
    if "page" in record:
        _check_words(record["page"], record["lines"])


def _check_words(page: Any, lines: Any) -> None:
    if not (
        isinstance(page, list) and len(page) == 3 and all(type(number) is int for number in page)
        and 0 < page[0] <= MOST_SIDE and 0 < page[1] <= MOST_SIDE and 0 <= page[2] <= MOST_DPI
    ):  # fmt: skip
        raise ValueError(f"has {_short(page)} as its page, which is [width, height, dpi]")
    if not isinstance(lines, list) or len(lines) > MOST_LINES:
        raise ValueError(f"has {_short(lines)} as its lines, at most {MOST_LINES}")
    left = MOST_WORDS
    for line in lines:
        if not _is_line(line):
            raise ValueError(f"has {_short(line)} as a line, which is [block, paragraph, slope, offset, words]")
        left -= len(line[4])
        if left < 0:
            raise ValueError(f"has more than {MOST_WORDS} words")
        for word in line[4]:
            if not _is_word(word, page[0], page[1]):
                raise ValueError(f"has {_short(word)} as a word, which is [text, x0, y0, x1, y1, confidence]")


def _is_line(line: Any) -> bool:
    if not isinstance(line, list) or len(line) != 5:
        return False
    block, paragraph, slope, offset, words = line
    return (
        type(block) is int and 0 <= block <= MOST_LINES
        and type(paragraph) is int and 0 <= paragraph <= MOST_LINES
        and type(slope) in (int, float) and -MOST_SLOPE <= slope <= MOST_SLOPE
        and type(offset) in (int, float) and -MOST_SIDE <= offset <= MOST_SIDE
        and isinstance(words, list) and bool(words)
    )  # fmt: skip


def _is_word(word: Any, width: int, height: int) -> bool:
    if not isinstance(word, list) or len(word) != 6:
        return False
    text, x0, y0, x1, y1, confidence = word
    return (
        type(text) is str and 0 < len(text) <= MOST_WORD_CHARS and not NO_WORD.search(text)
        and type(x0) is int and type(x1) is int and 0 <= x0 <= x1 <= width
        and type(y0) is int and type(y1) is int and 0 <= y0 <= y1 <= height
        and type(confidence) is int and 0 <= confidence <= 100
    )  # fmt: skip


def _short(value: Any) -> str:
    """A value for a message, cut off: it may be as large as a part."""
    if isinstance(value, list | dict) and len(value) > 6:
        return f"a {type(value).__name__} of {len(value)}"
    shown = repr(value if not isinstance(value, str) else value[:60])
    return shown if len(shown) <= 80 else f"{shown[:79]}…"
