"""A small input for each built-in job, and what it must give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LONG_PAGES, LONG_FILES, LONG_LINES, LONG_CHUNKS = 80, 40, 30, 48
CHUNK_SIZE = {"ocr": 1, "wordcount": 12}

EXPECTED: dict[str, dict[str, Any]] = {
    "ocr": {"a.png": "First page\n", "b/c.png": "Second page\n", "b/d.png": "Third page\n"},
    "wordcount": {"the": 3, "quick": 2, "fox": 1, "hen": 1, "\ufffdend": 1},
}


def small(job: str, folder: Path) -> Path:
    """Write the input into ``folder``."""
    if job == "ocr":
        _draw(folder, EXPECTED["ocr"])
    else:
        (folder / "a.txt").write_bytes(b"the quick fox\nthe hen\n")
        (folder / "b").mkdir()
        (folder / "b" / "c.txt").write_bytes(b"the quick\n\xffend")
    return folder


def long(job: str, folder: Path) -> list[str]:
    """Write an input that keeps four slots busy for some five seconds; gives the options to submit it with."""
    folder.mkdir()
    if job == "ocr":
        _draw(folder, {f"{number:03}.png": f"Page {number}\n" for number in range(LONG_PAGES)})
        return ["--chunk-size", "1"]
    if job == "wordcount":
        for number in range(LONG_FILES):
            (folder / f"{number:03}.txt").write_text("".join(f"line{line} of {number}\n" for line in range(LONG_LINES)))
        return ["--chunk-size", "16"]
    for number in range(LONG_CHUNKS):
        (folder / f"{number:03}.txt").write_text(f"some words {number}")
    return ["--seconds", "0.4"]


def _draw(folder: Path, texts: Mapping[str, str]) -> None:
    from PIL import Image, ImageDraw, ImageFont

    for name, text in texts.items():
        page = Image.new("RGB", (400, 80), "white")
        ImageDraw.Draw(page).text((20, 15), text.strip(), fill="black", font=ImageFont.load_default(size=40))
        (folder / name).parent.mkdir(exist_ok=True)
        page.save(folder / name)
