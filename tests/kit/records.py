"""Records of pages, as the job ocr gives them."""

from __future__ import annotations

from typing import Any

from aggregators import readings
from aggregators.readings import Reading

SIZE = [1000, 1400, 300]
"""Width, height and dpi of each page."""
LETTER, WORD_HEIGHT, LINE_HEIGHT = 10, 30, 40


def record(text: str, *, words: bool = False, **more: Any) -> Reading:
    """A page with this text; with ``words`` also their places: a letter is 10 pixels wide, a block has two lines."""
    made: dict[str, Any] = {
        "text": text, "confidence": 90, "seconds": 1.5, "node": "pc1", "digest": "0123456789abcdef",
    }  # fmt: skip
    if words:
        made |= {"page": SIZE, "lines": list(filter(None, map(_line, range(30), text.splitlines())))}
    made |= more
    readings.check({"it": made})
    found: Reading = made  # type: ignore[assignment]
    return found


def _line(number: int, text: str) -> list[Any] | None:
    words: list[list[Any]] = []
    left, top = LETTER, LINE_HEIGHT * (number + 1)
    for word in text.split():
        right = left + LETTER * len(word)
        words.append([word, left, top, right, top + WORD_HEIGHT, 80 + len(words)])
        left = right + LETTER
    return [1 + number // 2, 1, 0.01, -5.0, words] if words else None
