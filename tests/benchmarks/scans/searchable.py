"""Twenty scanned pages to a PDF that can be searched, beside OCRmyPDF, in turns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pikepdf
import pypdfium2

from cluster import catalog
from tests.benchmarks import Case, Options, contest
from tests.benchmarks.contest import Peer, Timed
from tests.benchmarks.goals import Goal
from tests.benchmarks.measure import TIMEOUT_S, Failed
from tests.benchmarks.ocr import DATA
from tests.benchmarks.scans import drawn

OTHER = "OCRmyPDF -O0 --output-type pdf -j2"
PAGES, SMALL = 20, 2
LEAST_RECALL = 0.995
MOST_MORE_BYTES = 12_000
"""A page."""
LOOK_DPI = 72


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """One race; what became of the PDF is looked at after each go."""
    problem = catalog.get("ocr").why_not_here({"lang": "eng"})
    if problem or not (DATA / "pages").is_dir():
        yield Case(name="scans", skipped=problem or f"there is no folder {DATA / 'pages'}")
        return
    scan = drawn.scan(folder / "scan.pdf", SMALL if options.small else PAGES, "jpeg")
    found: list[float] = []

    def check(output: Path) -> str:
        [file] = output.glob("*.pdf")
        found.append(recall(file, scan.texts))
        return f"word recall {found[-1]:.4f}" + differences(scan, file)

    rows = contest.race(
        f"{len(scan.texts)} pages at 300 dpi to a searchable PDF",
        lambda output: ours(scan.path, output),
        [Peer(name=OTHER, script="scans_ocrmypdf.py", arguments=[scan.path], goal=Goal("<=", 0.85))],
        check,
        folder=folder,
        options=options,
    )
    mine, theirs = found[::2], found[1::2]
    yield Case(
        name="scans",
        notes={"word recall, ours": min(mine), **({"word recall, theirs": min(theirs)} if theirs else {})},
        problem=f"word recall {min(mine):.4f} is below {LEAST_RECALL}" if min(mine) < LEAST_RECALL else "",
        rows=rows,
    )


def ours(source: Path, output: Path) -> Timed:
    """From the start of ``cluster submit``, without a broker, until the PDF is on disk."""
    contest.remove(output)
    given = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CLUSTER_BROKER_URL", "PYTHONDONTWRITEBYTECODE")
    }
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "cluster", "submit", "--job", "ocr", str(source), "--format", "pdf", "-o", f"{output}/"],
        env={**given, "CLUSTER_CONFIG": os.devnull}, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Failed(f"it ended with code {done.returncode}:\n{done.stderr}")
    return Timed(max(path.stat().st_mtime for path in output.glob("*.pdf")) - started)


def recall(file: Path, texts: list[str]) -> float:
    """The share of the words on all pages that the PDF's text has, each as often as it stands there."""
    hit = wanted = 0
    with pypdfium2.PdfDocument(file) as document:
        if len(document) != len(texts):
            raise Failed(f"{file.name} has {len(document)} pages of {len(texts)}")
        for page, text in zip(document, texts, strict=True):
            want = Counter(text.lower().split())
            hit += (want & Counter(page.get_textpage().get_text_bounded().lower().split())).total()
            wanted += want.total()
    return hit / wanted


def differences(scan: drawn.Scan, file: Path) -> str:
    """What else differs from the original than the text; "" where the goals are met.

    Raises:
        Failed: A page looks different, or the file is damaged.
    """
    with pypdfium2.PdfDocument(scan.path) as before, pypdfium2.PdfDocument(file) as after:
        for number, (one, other) in enumerate(zip(before, after, strict=True), 1):
            if _looks(one) != _looks(other):
                raise Failed(f"page {number} looks different")
    with pikepdf.open(file) as document:
        if problems := document.check_pdf_syntax():
            raise Failed("; ".join(problems))
    if qpdf := shutil.which("qpdf"):
        told = subprocess.run([qpdf, "--check", str(file)], capture_output=True, text=True, check=False)
        if told.returncode:
            raise Failed(told.stderr or told.stdout)
    more = (file.stat().st_size - scan.path.stat().st_size) / len(scan.texts)
    return f", {more:+,.0f} bytes a page" + (f" (over {MOST_MORE_BYTES:,})" if more > MOST_MORE_BYTES else "")


def _looks(page: pypdfium2.PdfPage) -> bytes:
    return bytes(page.render(scale=LOOK_DPI / 72, grayscale=True).buffer)
