"""How fast the page takes files, and what it holds meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.page import ground
from tests.page import sending as browser

FILES, FILE_BYTES, BUNDLE = 10_000, 100_000, 80
"""As the page's own script sends them: 8 MB at a time, one after another."""
RATE, RSS = Goal(">=", 500, "itself"), Goal("<=", 150, "itself")


def sent(options: Options, folder: Path) -> Iterator[Case]:
    """So many files of 100 KB into one upload."""
    files = 400 if options.small else FILES
    with ground.prepared(folder / "sent") as page, page.asker() as asker:
        data = [os.urandom(FILE_BYTES) for _ in range(BUNDLE)]
        upload = _ask(asker, "/api/uploads", json={"files": files}).json()["upload"]
        rss_mb, began = page.rss_mb, time.monotonic()
        for at in range(0, files, BUNDLE):
            bundle = browser.bundle((f"{at + n:05}.bin", _unlike(one, at)) for n, one in enumerate(data))
            _ask(asker, f"/api/uploads/{upload}/bundle", content=bundle, headers=browser.BYTES)
            rss_mb = max(rss_mb, page.rss_mb)
        passed_s = time.monotonic() - began
        found = asker.get(f"/uploads/{upload}.json").json()["files"]
    if found != files:
        yield Case(name="page, an upload", problem=f"{found} files have arrived of {files}")
        return
    work = f"an upload of {files} files of 100 kB"
    yield Case(
        name="page, an upload",
        rows=[
            Row(work=work, against="", ours=[files / passed_s], unit="/s", more_is_better=True, goal=RATE,
                note=f"{files * FILE_BYTES / passed_s / ground.MB:.0f} MB/s"),
            Row(work=f"{work}: memory of the page's process", against="", ours=[rss_mb], unit="MB", goal=RSS),
        ],
    )  # fmt: skip


def _unlike(data: bytes, number: int) -> bytes:
    """The same bytes but for the first ones: what is alike is kept once."""
    return number.to_bytes(8, "big") + data[8:]


def _ask(asker: httpx.Client, path: str, **more: Any) -> httpx.Response:
    answer = asker.post(path, **more)
    if answer.status_code != 200:
        raise Failed(f"{path}: {answer.status_code} {answer.text}")
    return answer
