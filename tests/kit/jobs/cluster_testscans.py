"""The job ocr with an engine that waits instead of reading, so that one machine can stand for many."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from pathlib import Path
from typing import Any

from cluster import catalog
from cluster.option import Option
from splitters import Chunk
from tasks import Part

WORDS, WORDS_A_LINE = 500, 10
SIZE, DPI = (2480, 3508), 300


def wait(chunk: Chunk, *, seconds: float = 0.0, trace: str = "") -> Part[dict[str, Any]]:
    """Give each page 500 words once its time is over; ``trace`` is a folder that gets a line a page."""
    found = {}
    for item in chunk:
        began = time.time()
        time.sleep(seconds)
        found[item.name] = record(item.data, seconds)
        if trace:
            with Path(trace, str(os.getpid())).open("a") as stream:
                stream.write(f"{began} {time.time()} {item.name}\n")
    return Part(found)


def record(data: bytes, seconds: float) -> dict[str, Any]:
    """What a page says that nobody has read."""
    lines: list[list[Any]] = []
    for first in range(0, WORDS, WORDS_A_LINE):
        top = 200 + 6 * first
        words = [[f"word{first + at}", 200 + 200 * at, top, 380 + 200 * at, top + 40, 90] for at in range(WORDS_A_LINE)]
        lines.append([1, 1, 0.0, 0.0, words])
    text = "\n".join(" ".join(word[0] for word in line[4]) for line in lines)
    return {
        "text": text, "confidence": 90, "seconds": seconds, "node": "", "digest": hashlib.sha256(data).hexdigest()[:16],
        "page": [*SIZE, DPI], "lines": lines,
    }  # fmt: skip


SCAN_WAIT = dataclasses.replace(
    catalog.OCR, name="scan-wait", about="wait for each page", task=wait, version="", needs=(), bundles="",
    serves=False, why_unavailable=lambda: "",
    options=(*(option for option in catalog.OCR.options if option.name != "model"),
             Option("seconds", float, 0.0, "seconds a page"), Option("trace", str, "", "a folder for times")),
)  # fmt: skip
