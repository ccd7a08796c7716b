"""A PDF of a thousand pages on four nodes whose engine waits instead of reading: what both ends of it cost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pypdfium2

from tests.benchmarks import MB, Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.ocr import DATA
from tests.benchmarks.scans import drawn
from tests.kit.programs import JOBS, RedisServer, Worker, environment

PAGES, SMALL = 1000, 30
PAGE_S = 0.4
NODES = 4
MOST_BYTES = 250 * 2**20
MOST_CPU_S = 5.0
MOST_TAIL = 1.2
LOOK_S = 0.05


class Ended(NamedTuple):
    """The submitter, by the system's count."""

    seconds: float
    cpu_s: float
    peak_bytes: int


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """One run; rows for what it cost."""
    if not (DATA / "pages").is_dir():
        yield Case(name="scans-thousand", skipped=f"there is no folder {DATA / 'pages'}")
        return
    pages = SMALL if options.small else PAGES
    scan = drawn.scan(folder / "long.pdf", pages, "g4")
    ends, bare, tails = [], [], []
    for go in range(options.repeat):
        place = folder / f"{go}"
        place.mkdir()
        ends.append(_run(scan.path, place, PAGE_S))
        tails.append(tail(place / "trace", pages))
        at_once = folder / f"{go}-at-once"
        at_once.mkdir()
        bare.append(_run(scan.path, at_once, 0.0))
        with pypdfium2.PdfDocument(place / "out" / scan.path.name) as found:
            said = [page.get_textpage().get_text_bounded().split() for page in found]
        if [len(words) for words in said] != [500] * pages:
            raise Failed("pages lack words")
    work = f"{pages:,} pages of G4, an engine that waits {PAGE_S:g} s a page, {NODES} nodes"
    rows = [
        Row(work=f"{work}: memory of the submitter", against="limit", ours=[end.peak_bytes / MB for end in ends],
            unit="MB", goal=Goal("<=", MOST_BYTES / MB, "itself")),
        Row(work="an engine that does not wait: processor seconds of both ends, with their start", against="limit",
            ours=[end.cpu_s for end in bare], goal=Goal("<=", MOST_CPU_S, "itself")),
        Row(work="one that waits: the same, with watching the run", against="", ours=[end.cpu_s for end in ends]),
        Row(work="the same: from the first idle slot to the end, in pages", against="limit", ours=tails, unit="pages",
            goal=Goal("<=", MOST_TAIL, "itself")),
        Row(work="the same: seconds", against="the ideal", ours=[end.seconds for end in ends],
            theirs=[pages * PAGE_S / NODES] * len(ends)),
    ]  # fmt: skip
    yield Case(name="scans-thousand", rows=rows)


def _run(source: Path, folder: Path, page_s: float) -> Ended:
    trace = folder / "trace"
    trace.mkdir()
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder / "redis"))
        for node in range(NODES):
            stack.enter_context(Worker(f"node{node}", redis.url, folder / f"node{node}", "-c", "1", "-Q", "scan-wait"))
        began = time.monotonic()
        program = subprocess.Popen(  # as users start it, so that its memory is its own
            [sys.executable, "-m", "cluster", "submit", "--job", "scan-wait", "--seconds", str(page_s), "--trace",
             str(trace), str(source), "--format", "pdf", "-o", f"{folder / 'out'}/", "--broker", redis.url],
            env=environment(), stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        peak = 0
        while True:
            peak = max(peak, peak_bytes(program.pid))
            ended, code, used = os.wait4(program.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(LOOK_S)
        program.returncode = os.waitstatus_to_exitcode(code)
        if program.returncode:
            raise Failed(f"it ended with code {program.returncode}: {program.communicate()[1]}")
        return Ended(time.monotonic() - began, used.ru_utime + used.ru_stime, peak)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has held so far; what ``wait4`` tells counts its parent's at the fork, too."""
    try:
        told = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", told)
    return int(found[1]) * 1024 if found else 0


def tail(trace: Path, pages: int) -> float:
    """How many page times went by from when the first slot had no more to do until the last one ended.

    Raises:
        Failed: A page was done twice, or never.
    """
    lines = {file.name: [line.split() for line in file.read_text().splitlines()] for file in trace.iterdir()}
    items = [line[2] for slot in lines.values() for line in slot]
    if len(items) != pages or len(set(items)) != pages:
        raise Failed(f"{len(items)} pages were done, {len(set(items))} different ones, of {pages}")
    ends = [max(float(line[1]) for line in slot) for slot in lines.values()]
    return (max(ends) - min(ends)) / PAGE_S


# The catalog is read once in a process: the test jobs must be on the path before.
sys.path.insert(0, str(JOBS))
