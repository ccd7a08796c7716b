"""Options of the job ocr: which go together, and how much memory a page takes with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splitters import pages

WEIGHTS = "ppocr"
"""The bundle with PP-OCR's weights that a run gets if it names none."""
PPOCR_BYTES = 800 * 2**20
"""Memory that is planned for a process that reads with PP-OCR: measured are 530 MiB on receipts, 600 on A4 pages."""


def prepare(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run for those that were given.

    Raises:
        ValueError: They do not go together, or ``splitters.pages.prepare`` raises it.
        OSError: The file with passwords cannot be read.
    """
    given = pages.prepare(given)
    if given.get("engine", "tesseract") != "tesseract":
        return {"model": WEIGHTS, **given}
    if given.get("model") is not None:
        raise ValueError("--model names the weights of ppocr, of which tesseract makes no use: add --engine ppocr")
    return dict(given)


def memory_bytes(*, engine: str | None = None) -> int | None:
    """The memory that reading with an engine takes; None for that of any slot."""
    return PPOCR_BYTES if engine in ("ppocr", "auto") else None
