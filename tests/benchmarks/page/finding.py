"""How soon the texts of a large run can be read and searched on the page."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.page import ground
from tests.benchmarks.page.ground import Ground
from tests.kit import browser
from tests.kit.browser import Tab
from tests.kit.page_runs import PageRun
from tests.kit.records import record
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TEXTS, WORDS_EACH, VOCABULARY = 10_000, 300, 20_000
GOES = 5
INDEX, SHOWN, JUMP, SEARCH = (Goal("<=", limit, "itself") for limit in (8, 100, 50, 300))
"""In s; in ms."""
JUMPED = """async () => {
  const list = document.querySelector('[data-list]'), began = performance.now()
  list.scrollTop = list.scrollHeight / 2
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
  return performance.now() - began
}"""
BACK = """async () => {
  document.querySelector('[data-list]').scrollTop = 0
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
}"""
DRAWN = """() => {
  const { responseEnd } = performance.getEntriesByType('navigation')[0]
  return performance.getEntriesByName('first-contentful-paint')[0].startTime - responseEnd
}"""


def found(options: Options, folder: Path) -> Iterator[Case]:
    """Indexed, listed, searched."""
    texts = 200 if options.small else TEXTS
    drawn = random.Random(options.seed)
    values = {
        f"{number // 100:03}/{number:05}.png": record(" ".join(_word(drawn) for _ in range(WORDS_EACH)))
        for number in range(texts)
    }
    values["999/the one.png"] = record("Dear Uncle Henry, thank you for the telescope")
    with ExitStack() as stack:
        page = stack.enter_context(ground.prepared(folder / "found"))
        run = PageRun(page.stores, "ocr", values).end().id
        work = f"{texts} texts of {WORDS_EACH} words"
        rows = [Row(work=f"{work}: indexed", against="", ours=[_indexed_s(page, run)], unit="s", goal=INDEX)]
        chromium = stack.enter_context(browser.opened())
        rows += _seen(chromium, page, run, work)
    yield Case(name="page, texts", rows=rows)


def _word(drawn: random.Random) -> str:
    return f"w{int(drawn.paretovariate(0.7)) % VOCABULARY}"


def _indexed_s(page: Ground, run: str) -> float:
    """From the first look at the results until all are there."""
    began = time.monotonic()
    with page.asker() as asker:
        wait_until("it is read", lambda: asker.get(f"/runs/{run}/results.json").json()["is_whole"], timeout_s=300)
    return time.monotonic() - began


def _seen(chromium: Browser, page: Ground, run: str, work: str) -> Iterator[Row]:
    shown_ms = [_shown_ms(chromium, page, run) for _ in range(GOES)]
    yield Row(work=f"{work}: listed", against="", ours=shown_ms, unit="ms", goal=SHOWN, note="once it has come")
    with Tab(chromium, page.url, session=page.session) as tab:
        _open(tab, run)
        jumps_ms = []
        for _ in range(GOES):
            jumps_ms.append(float(tab.page.evaluate(JUMPED)))
            tab.page.evaluate(BACK)
        yield Row(work=f"{work}: a jump in the list", against="", ours=jumps_ms, unit="ms", goal=JUMP)
        began = time.monotonic()
        tab.page.locator("[type=search]").fill("telescope")
        tab.page.locator("[data-text] mark").get_by_text("telescope").wait_for()
        search_ms = 1000 * (time.monotonic() - began)
        yield Row(
            work=f"{work}: a search, from the last key to the marked text", against="", ours=[search_ms], unit="ms",
            goal=SEARCH, note="120 ms of them wait for the next key",
        )  # fmt: skip


def _open(tab: Tab, run: str) -> None:
    tab.open(f"/runs/{run}/results")
    tab.page.locator("[data-list] a").first.wait_for()


def _shown_ms(chromium: Browser, page: Ground, run: str) -> float:
    """As for somebody who comes from another page of ours, so that the browser has a process for it."""
    with Tab(chromium, page.url, session=page.session) as tab:
        tab.open("/nodes")
        _open(tab, run)
        return float(tab.page.evaluate(DRAWN))
