"""What a browser gets of each page, how soon it shows it, and what a page that is left open holds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.page import ground
from tests.benchmarks.page.ground import Ground
from tests.kit import browser, played_run
from tests.kit.browser import Tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAINT, BYTES, REQUESTS = Goal("<=", 300, "itself"), Goal("<=", 100, "itself"), Goal("<=", 6, "itself")
RUNS_GOAL, HEAP_GOAL = Goal("<=", 100, "itself"), Goal("<=", 5, "itself")
RUNS, MESSAGES = 1000, 14_400
"""An hour of four messages a second."""
BATCH = 100
FAST_S = 0.005
"""Between two looks of a page that is to tell an hour's messages in minutes."""
GOES = 5
SHOWN = """() => {
  const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  const plain = all.filter(e => e.initiatorType !== 'img')
  return { paint: performance.getEntriesByName('first-contentful-paint')[0].startTime, requests: plain.length,
           bytes: plain.reduce((sum, e) => sum + e.decodedBodySize, 0) }
}"""


def shown(options: Options, folder: Path) -> Iterator[Case]:
    """A run page and the list of a thousand runs; a run page that hears an hour's messages."""
    with ExitStack() as stack:
        chromium = stack.enter_context(browser.opened())
        page = stack.enter_context(ground.prepared(folder / "shown"))
        run = played_run.Run(page.stores, batch_chunks=4)
        for _ in range(50 if options.small else RUNS):
            played_run.Run(page.stores, batches=0)
        run.do(0)
        yield Case(name="page, runs", rows=[_runs(page)])
        yield Case(name="page, nothing", rows=[_nothing(chromium, page)])
        for path in ("/runs", f"/runs/{run.run}", "/nodes", "/submit"):
            yield Case(name=f"page, {path}", rows=_rows(chromium, page, path))
        yield Case(name="page, the next one", rows=[_next(chromium, page, f"/runs/{run.run}")])
    with ExitStack() as stack:
        chromium = stack.enter_context(browser.opened())
        page = stack.enter_context(ground.prepared(folder / "heap", tick_s=FAST_S))
        yield Case(name="page, an hour", rows=[_heap(chromium, page, 200 if options.small else MESSAGES)])


def _runs(page: Ground) -> Row:
    asker, took_ms = page.asker(), []
    for _ in range(GOES):
        began = time.perf_counter()
        asker.get("/runs").raise_for_status()
        took_ms.append(1000 * (time.perf_counter() - began))
    return Row(work=f"the list of {RUNS} runs", against="", ours=took_ms, unit="ms", goal=RUNS_GOAL)


def _nothing(chromium: Browser, page: Ground) -> Row:
    """What of a first paint is the browser's own."""
    seen = _seen(chromium, page, "/health")
    return Row(work="two letters of plain text: first paint", against="", ours=[s["paint"] for s in seen], unit="ms")


def _rows(chromium: Browser, page: Ground, path: str) -> list[Row]:
    seen = _seen(chromium, page, path)
    name = path.split("-")[0]
    return [
        Row(work=f"{name}: first paint", against="", ours=[s["paint"] for s in seen], unit="ms", goal=PAINT),
        Row(work=f"{name}: without pictures", against="", ours=[seen[0]["bytes"] / 1000], unit="kB", goal=BYTES),
        Row(work=f"{name}: requests", against="", ours=[seen[0]["requests"]], unit="", goal=REQUESTS),
    ]


def _next(chromium: Browser, page: Ground, path: str) -> Row:
    """What somebody waits for who is on another page of ours."""
    seen = _seen(chromium, page, path, before="/nodes")
    return Row(
        work="a run, from another page of ours: first paint", against="", ours=[s["paint"] for s in seen], unit="ms",
        goal=PAINT,
    )  # fmt: skip


def _seen(chromium: Browser, page: Ground, path: str, before: str = "") -> list[Mapping[str, Any]]:
    """Of a page that this browser has never seen, in a tab of its own or after the page ``before``."""
    seen: list[Mapping[str, Any]] = []
    for _ in range(GOES):
        with Tab(chromium, page.url, session=page.session) as tab:
            if before:
                tab.open(before)
            tab.open(path)
            tab.page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
            seen.append(tab.page.evaluate(SHOWN))
    return seen


def _heap(chromium: Browser, page: Ground, messages: int) -> Row:
    run = played_run.Run(page.stores, batches=messages // BATCH + 1, batch_chunks=BATCH)
    with Tab(chromium, page.url, session=page.session) as tab:
        tab.page.add_init_script(COUNT)
        tab.open(f"/runs/{run.run}")
        debugger = tab.context.new_cdp_session(tab.page)

        def heap_mb() -> float:
            debugger.send("HeapProfiler.collectGarbage")
            return float(debugger.send("Runtime.getHeapUsage")["usedSize"]) / ground.MB

        def heard() -> int:
            return int(tab.page.evaluate("() => window.heard"))

        chunks = iter(range(messages))
        for chunk in chunks:
            run.do(chunk)
            if heard() >= BATCH:
                break
        before_mb, at_first = heap_mb(), heard()
        for chunk in chunks:
            run.do(chunk)
        after_mb = heap_mb()
        return Row(
            work=f"a run page that has heard {heard() - at_first} messages: its heap grows", against="",
            ours=[max(0.0, after_mb - before_mb)], unit="MB", goal=HEAP_GOAL, note=f"{before_mb:.1f} MB at first",
        )  # fmt: skip


COUNT = """(() => {
  window.heard = 0
  const Real = window.EventSource
  window.EventSource = class extends Real {
    constructor(...all) { super(...all); this.addEventListener('message', () => { window.heard += 1 }) }
  }
})()"""
