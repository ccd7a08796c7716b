"""Ten new scans among ten thousand that were read before, beside ten alone: `submit --only-new`, without a broker."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from cluster import catalog
from cluster.client import only_new
from cluster.client.memory import Stamp
from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.kit.programs import cluster

KNOWN, SMALL, NEW = 10_000, 200, 10
A_FOLDER = 100
"""Files of one folder."""
FORMAT = "text-folder"
MOST = 2.0


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """In turns; the memory of the ten thousand is made up, their files and outputs are there."""
    known = SMALL if options.small else KNOWN
    _remember(folder, known)
    alone, among = [], []
    for go in range(options.repeat):
        for number in range(NEW):
            _draw(f"Letter {go} {number}", folder / "alone" / f"{go}" / f"new-{go}-{number}.png")
        alone.append(_submit(folder, folder / "alone" / f"{go}", f"alone-{go}"))
        shutil.copytree(folder / "alone" / f"{go}", folder / "many", dirs_exist_ok=True)
        among.append(_submit(folder, folder / "many", "out"))
    work = f"--only-new, {NEW} new among {known:,}"
    yield Case(
        name="scans-only-new",
        rows=[Row(work=work, against=f"{NEW} alone", ours=among, theirs=alone, goal=Goal("<=", MOST))],
    )


def _draw(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    page = Image.new("L", (400, 60), 255)
    ImageDraw.Draw(page).text((20, 10), text, 0, ImageFont.load_default(32))
    page.save(path)


def _remember(folder: Path, number: int) -> None:
    _draw("Known", folder / "known.png")
    data, job = (folder / "known.png").read_bytes(), catalog.get("ocr")
    options = job.options_of_run({})
    many, out = folder / "many", folder / "out"
    with only_new.opened(job, job.writer(FORMAT, options), FORMAT, options, out, folder) as memory:
        for at in range(number):
            name = f"{at // A_FOLDER:03}/{at:05}.png"
            scan, text = many / name, out / f"{name}.txt"
            scan.parent.mkdir(parents=True, exist_ok=True)
            text.parent.mkdir(parents=True, exist_ok=True)
            scan.write_bytes(data)
            text.write_text("Known")
            stamp = Stamp.of(scan)
            assert stamp is not None
            memory.enter(name, scan, stamp, f"{name}.txt")


def _submit(folder: Path, source: Path, output: str) -> float:
    began = time.monotonic()
    to = ("--only-new", "--format", FORMAT, "-o", folder / output, "-q")
    here = {"CLUSTER_CACHE_DIR": str(folder / "cache")}
    done = cluster("submit", "--job", "ocr", source, *to, settings=here, timeout_s=300)
    seconds = time.monotonic() - began
    if done.returncode or f"{NEW} of {NEW} done" not in done.stderr:
        raise Failed(done.stderr)
    return seconds
