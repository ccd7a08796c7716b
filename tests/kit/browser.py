"""Somebody in front of the page: headless Chromium, driven by Playwright, and what axe-core finds wrong with a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import pytest

from tests.kit.programs import ROOT, find_program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Locator, Page, Response

    from tests.kit import pages

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
AXE = ROOT / "tests" / "page" / "node_modules" / "axe-core" / "axe.min.js"
AXE_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast", "link-in-text-block")
"""The rules that hold of some colours and not of others."""
ALL_RULES = {"runOnly": {"type": "tag", "values": AXE_TAGS}}
OF_COLOURS = {"runOnly": {"type": "rule", "values": COLOURS}}
BUT_COLOURS = {**ALL_RULES, "rules": {rule: {"enabled": False} for rule in COLOURS}}
RUN_AXE = """async rules => {
  const found = await axe.run(document, { ...rules, resultTypes: ['violations'] })
  const told = (rule, node) => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary.replaceAll('\\n', ' ')}`
  return found.violations.flatMap(rule => rule.nodes.map(node => told(rule, node)))
}"""
PICTURES = ROOT / "build" / "page"
TIMEOUT_MS = 15_000
Theme = Literal["light", "dark"]


class Look(NamedTuple):
    """The size of a window and its colours."""

    width_px: int
    theme: Theme

    @property
    def name(self) -> str:
        return f"{self.width_px}-{self.theme}"

    @property
    def height_px(self) -> int:
        return 844 if self.width_px < 700 else 900


DESK = Look(1240, "light")
PHONE = Look(390, "light")
LOOKS = (DESK, DESK._replace(theme="dark"), PHONE, PHONE._replace(theme="dark"))
EXAMINED = LOOKS[:3]
"""Each rule is tried wherever it could tell something else: no width changes a colour, as test_static_files.py sees."""


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser; without one, or without Playwright, the test is skipped on a laptop and fails on CI."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None) or find_program(PROGRAMS[0], "chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A tab of a user. It notes what must never happen, whatever the test: ``problems``.

    These are dialogs that nobody announced (``accepting``), errors on the console, which reports of the content
    security policy are, too, errors that no script caught, and answers of 500 and above. A picture that cannot be
    shown is told to the browser by its status, and so on the console: that is none.
    """

    def __init__(
        self, browser: Browser, url: str, look: Look = DESK, session: str = "", *, scripts: bool = True
    ) -> None:
        self.url = url
        self.problems: list[str] = []
        self.asked: list[str] = []
        """The texts of dialogs that were announced."""
        self._look = look
        self._accepts: bool | None = None
        self._allowed: list[str] = []
        self.context = browser.new_context(
            base_url=url, viewport={"width": look.width_px, "height": look.height_px}, color_scheme=look.theme,
            reduced_motion="reduce", java_script_enabled=scripts, accept_downloads=True,
        )  # fmt: skip
        self.context.set_default_timeout(TIMEOUT_MS)
        if session:
            self.context.add_cookies([{"name": "cluster", "value": session, "url": url, "httpOnly": True}])
        self.page = self.context.new_page()
        self._watch(self.page)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        from playwright.sync_api import Error

        with suppress(Error):  # Chromium never answers if it is to close a tab that has just begun to load a page
            self.page.goto("about:blank")
        self.context.close()

    def open(self, path: str) -> Response:
        """Go to a page of ours."""
        answer = self.page.goto(path, wait_until="load")
        assert answer is not None, path
        return answer

    def wait_for(self, text: str) -> Locator:
        """Wait until somebody could read this text on the page."""
        found = self.page.get_by_text(text).locator("visible=true").first
        found.wait_for()
        return found

    def look(self, look: Look) -> None:
        """Give the window another size, and other colours."""
        if look.width_px != self._look.width_px:
            self.page.set_viewport_size({"width": look.width_px, "height": look.height_px})
        if look.theme != self._look.theme:
            self.page.emulate_media(color_scheme=look.theme, reduced_motion="reduce")
        self._look = look

    def drop(self, selector: str, *paths: Path) -> None:
        """Drop files and folders of this machine on an element, as from a file manager."""
        box = self.page.locator(selector).bounding_box()
        assert box is not None, selector
        debugger = self.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "data": data}
        for kind in ("dragEnter", "dragOver", "drop"):
            debugger.send("Input.dispatchDragEvent", {"type": kind, **at})

    @contextmanager
    def accepting(self, *, yes: bool = True) -> Iterator[list[str]]:
        """Meanwhile dialogs are answered; gives their texts."""
        self._accepts, before = yes, len(self.asked)
        texts: list[str] = []
        try:
            yield texts
        finally:
            texts += self.asked[before:]
            self._accepts = None

    @contextmanager
    def allowing(self, *words: str) -> Iterator[None]:
        """Meanwhile a problem whose text has one of these words is none, as ``404`` of a page that is gone."""
        self._allowed += words
        try:
            yield
        finally:
            self._allowed = self._allowed[: -len(words)]

    def picture(self, name: str, folder: Path = PICTURES) -> Path:
        """A picture of the whole page, however long."""
        file = folder / f"{name}.png"
        self.page.screenshot(path=file, full_page=True)
        return file

    @property
    def too_wide_px(self) -> int:
        """By how much the page can be scrolled sideways."""
        return max(0, int(self.page.locator(":root").evaluate("root => root.scrollWidth - root.clientWidth")))

    def axe(self, rules: Mapping[str, object] = ALL_RULES) -> list[str]:
        """What axe-core finds wrong with the page as it is now, one line each."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(f"() => {{ {axe_source()} }}")
        return list(self.page.evaluate(RUN_AXE, rules))

    def axe_in(self, looks: Sequence[Look] = EXAMINED) -> list[str]:
        """The same, for each of these looks; also where a page is too wide.

        All rules in the first one, those of colours in other colours, and all but those in other widths.
        """
        found, first = [], looks[0]
        for look in looks:
            self.look(look)
            rules = ALL_RULES if look == first else BUT_COLOURS if look.theme == first.theme else OF_COLOURS
            found += [f"{look.name}: {problem}" for problem in self.axe(rules)]
            if wide := self.too_wide_px:
                found.append(f"{look.name}: the page is {wide} px too wide")
        return found

    def _watch(self, page: Page) -> None:
        page.on("dialog", self._dialog)
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("response", self._answer)

    def _note(self, problem: str) -> None:
        if not any(word in problem for word in self._allowed):
            self.problems.append(problem)

    def _dialog(self, dialog: Dialog) -> None:
        if self._accepts is None:
            self._note(f"a dialog that nobody announced: {dialog.message}")
        else:
            self.asked.append(dialog.message)
        if self._accepts:
            dialog.accept()
        else:
            dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        is_missing_picture = "Failed to load resource" in message.text and "/picture/" in message.location["url"]
        if message.type in ("error", "warning") and not is_missing_picture:
            self._note(f"{message.type} on the console of {self.page.url}: {message.text} ({message.location['url']})")

    def _error(self, error: Error) -> None:
        self._note(f"an error that no script of {self.page.url} caught: {error}")

    def _answer(self, answer: Response) -> None:
        if answer.status >= 500:
            self._note(f"{answer.status} for {answer.request.method} {answer.url}")


def axe_source() -> str:
    """The text of axe-core; where npm has not installed it, the test is skipped on a laptop and fails on CI."""
    if AXE.exists():
        return AXE.read_text()
    problem = "axe-core is not installed: `make test-page` installs it where there is npm (apt install npm)"
    if os.environ.get("CI"):
        pytest.fail(problem)
    pytest.skip(problem)


def tab(browser: Browser, visitor: pages.Visitor, look: Look = DESK, *, scripts: bool = True) -> Tab:
    """A tab of somebody who has entered."""
    session = visitor.asker.cookies["cluster"]
    return Tab(browser, str(visitor.asker.base_url).rstrip("/"), look, session, scripts=scripts)
