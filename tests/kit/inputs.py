"""A small input for each built-in job, and what it must give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHUNK_SIZE = {"ocr": 1, "wordcount": 12}

EXPECTED: dict[str, dict[str, Any]] = {
    "ocr": {"a.png": "First page\n", "b/c.png": "Second page\n", "b/d.png": "Third page\n"},
    "wordcount": {"the": 3, "quick": 2, "fox": 1, "hen": 1, "\ufffdend": 1},
}


def small(job: str, folder: Path) -> Path:
    """Write the input into ``folder``."""
    if job == "ocr":
        _draw(folder)
    else:
        (folder / "a.txt").write_bytes(b"the quick fox\nthe hen\n")
        (folder / "b").mkdir()
        (folder / "b" / "c.txt").write_bytes(b"the quick\n\xffend")
    return folder


def _draw(folder: Path) -> None:
    from PIL import Image, ImageDraw, ImageFont

    for name, text in EXPECTED["ocr"].items():
        page = Image.new("RGB", (400, 80), "white")
        ImageDraw.Draw(page).text((20, 15), text.strip(), fill="black", font=ImageFont.load_default(size=40))
        (folder / name).parent.mkdir(exist_ok=True)
        page.save(folder / name)
