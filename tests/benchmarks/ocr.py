"""Read the text on scans; the answer must be that of the job without a broker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from cluster import catalog
from tests.benchmarks import Case, Options, measure
from tests.benchmarks.measure import ROOT, Failed

DATA = ROOT.parent / "shared" / "data"
EXAMPLES = ROOT / "deploy" / "examples" / "images"


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Receipts and pages, or the example pictures alone where a small input is asked for."""
    problem = catalog.get("ocr").why_not_here({"lang": "eng"})
    sources = [EXAMPLES] if options.small else [DATA / "receipts", DATA / "pages"]
    for source in sources:
        name = f"ocr {source.name}"
        if problem or not source.is_dir():
            yield Case(name=name, skipped=problem or f"there is no folder {source}")
        else:
            yield _case(name, source, folder / "texts.json", options.repeat)


def _case(name: str, source: Path, output: Path, repeat: int) -> Case:
    """Measure ``repeat`` times.

    Raises:
        Failed: A run failed, or gave another answer than the job without a broker.
    """
    true_answer = catalog.get("ocr").run_locally(source)
    runs = []
    for _ in range(repeat):
        runs.append(measure.submit("ocr", [source], output))
        answer = json.loads(output.read_bytes())
        if answer != true_answer:
            wrong = [item for item in answer.keys() | true_answer.keys() if answer.get(item) != true_answer.get(item)]
            raise Failed(f"the answer is wrong: {', '.join(sorted(wrong))}")
    known = truth(source)
    notes = {"word recall": recall(known, true_answer)} if known else {}
    return Case(name=name, amount=len(true_answer), unit="pictures", runs=runs, notes=notes)


def recall(truth: Mapping[str, str], found: Mapping[str, str]) -> float:
    """The share of the true words that were found, 0 to 1: each text a multiset of lower-case words."""
    hits = total = 0
    for name, text in truth.items():
        true_words = Counter(text.lower().split())
        hits += (true_words & Counter(found.get(name, "").lower().split())).total()
        total += true_words.total()
    return hits / total


def truth(source: Path) -> dict[str, str]:
    """Picture -> what people read on it; empty where nobody wrote it down."""
    lines_of = source.with_name(f"{source.name}.truth.json")
    if lines_of.is_file():
        return {name: "\n".join(lines) for name, lines in json.loads(lines_of.read_bytes()).items()}
    return {
        picture.name: picture.with_suffix(".txt").read_text(encoding="utf-8", errors="replace")
        for picture in sorted(source.iterdir())
        if picture.suffix != ".txt" and picture.with_suffix(".txt").is_file()
    }
