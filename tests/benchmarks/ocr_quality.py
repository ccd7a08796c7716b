"""Read pictures plainly and cleaned, in this process: how many true words are found, and what it costs.

Cleaning has to find three points more on receipts in at most 1.2 times the time, and must cost no point on pages.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from aggregators import readings
from splitters import Item
from tasks import ocr as job
from tests.benchmarks import Case, Options, ocr
from tests.benchmarks.goals import Goal, Row

SMALL = ("019.jpg", "041.jpg", "414.jpg", "548.jpg")
LEAST_GAIN = 0.03
LEAST_CHANGE_OF_PAGES = -0.005
MOST_TIME = 1.2


class Read(NamedTuple):
    """How well, and how long it took."""

    recall: float
    cpu_s: float


def read(folder: Path, names: Sequence[str] = (), *, clean: bool, worse: bool = False) -> Read:
    """Read the pictures whose true text is known, or ``names`` of these; as if taken badly if ``worse``."""
    truth = ocr.truth(folder)
    truth = {name: text for name, text in truth.items() if not names or name in names}
    pictures = [(folder / name).read_bytes() for name in truth]
    items = [Item(name, _worse(data) if worse else data) for name, data in zip(truth, pictures, strict=True)]
    begun = time.process_time()
    part = job.read_pages(items, clean=clean)
    return Read(ocr.recall(truth, readings.texts(part.value)), time.process_time() - begun)


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Receipts, pages, and the same pages as one photographs them: small, with uneven light, as JPEG."""
    if problem := job.why_unavailable(lang="eng"):
        yield Case(name="ocr-quality", skipped=problem)
        return
    for source, worse in (("receipts", False), ("pages", False), ("pages", True)):
        name = f"ocr-quality, {source}{', as photographed' if worse else ''}"
        if not (ocr.DATA / source).is_dir():
            yield Case(name=name, skipped=f"there is no folder {ocr.DATA / source}")
        elif source == "receipts" or not options.small:
            yield _case(name, ocr.DATA / source, SMALL if options.small else (), options.repeat, worse=worse)


def _missed(source: str, gain: float) -> str:
    """The goal that recall misses, or ""."""
    least = LEAST_GAIN if source == "receipts" else LEAST_CHANGE_OF_PAGES
    if gain < least:
        return f"cleaning changes word recall by {gain:+.3f}; it must be {least:+.3f} or more"
    return ""


def _case(name: str, source: Path, names: Sequence[str], repeat: int, *, worse: bool) -> Case:
    read(source, names[:1] or sorted(ocr.truth(source))[-1:], clean=True)  # what is loaded once does not count
    turns = [[read(source, names, clean=clean, worse=worse) for clean in (False, True)] for _ in range(repeat)]
    (plain, _), (clean, _) = turns[0]
    ratios = sorted(turn[1].cpu_s / turn[0].cpu_s for turn in turns)
    ratio, gain = statistics.median(ratios), clean - plain
    notes: dict[str, float | str] = {
        "word recall, plain": f"{plain:.3f}",
        "word recall, cleaned": f"{clean:.3f}",
        "points": f"{100 * gain:+.1f}",
        "cleaned / plain, CPU seconds": f"{ratio:.2f} [{ratios[0]:.2f}-{ratios[-1]:.2f}]",
        "plain, CPU seconds": f"{statistics.median(turn[0].cpu_s for turn in turns):.2f}",
    }
    plain_s, cleaned_s = ([turn[at].cpu_s for turn in turns] for at in (0, 1))
    rows = [
        Row(
            work=f"{name}: word recall, cleaned",
            against="plain",
            ours=[turn[1].recall for turn in turns],
            theirs=[turn[0].recall for turn in turns],
            unit="",
            more_is_better=True,
            note=f"{100 * gain:+.1f} points",
        ),
        Row(
            work=f"{name}: CPU, cleaned",
            against="plain",
            ours=cleaned_s,
            theirs=plain_s,
            # Four pictures are too few for a ratio; what is hardly legible takes the longer the more of it is read.
            goal=None if worse or names else Goal("<=", MOST_TIME),
        ),
    ]
    return Case(name=name, notes=notes, rows=rows, problem="" if worse else _missed(source.name, gain))


def _worse(data: bytes) -> bytes:
    """At 0.4 of its size, with light that falls off to a third, as JPEG."""
    from PIL import Image, ImageChops

    with Image.open(io.BytesIO(data)) as opened:
        page = opened.convert("L")
    page = page.resize((round(page.width * 0.4), round(page.height * 0.4)), Image.Resampling.BOX)
    light = Image.linear_gradient("L").resize(page.size).point([90 + value * 165 // 255 for value in range(256)])
    ink = page.point([110 + value * 145 // 255 for value in range(256)])
    out = io.BytesIO()
    ImageChops.multiply(ink, light).save(out, "JPEG", quality=75)
    return out.getvalue()
