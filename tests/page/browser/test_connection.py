"""A bad connection: what is refused for a while is asked for again, ever more seldom; what is refused for good is not.

The browser's clock is turned by hand, so that no test waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from cluster.roles import Role
from tests.kit import browser
from tests.kit.browser import Tab
from tests.kit.page_runs import PageRun
from tests.kit.pages import Page
from tests.kit.records import record
from tests.kit.stages import Stage
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

STEP_MS, TEN_MINUTES_MS = 250, 600_000
LATE = 0.6
"""Of a pause that is left where the request before it was heard of late, on a busy machine."""
PICTURE = "/runs/ocr-1/picture/a.png"
ADD = f"""place => {{
  const image = Object.assign(new Image(), {{ src: '{PICTURE}', alt: 'a' }}), box = document.createElement('figure')
  image.className = place
  box.toggleAttribute(place, true)
  box.append(image)
  document.body.append(box)
}}"""
"""A picture of that class in a box of that attribute."""


HIDE = """() => {
  Object.defineProperty(document, 'hidden', { value: true })
  document.dispatchEvent(new Event('visibilitychange'))
}"""
KEEP_WHAT_IS_TOLD = """window.Notification = class {
  static permission = 'granted'
  static requestPermission = async () => 'granted'
  constructor(title) { sessionStorage.told = title }
}"""


class Turned:
    """A tab whose clock is turned by hand, and who was asked what, when, by that clock."""

    def __init__(self, tab: Tab, path: str) -> None:
        self.tab, self.now_ms = tab, 0
        self.asked: list[int] = []
        """Milliseconds of the clock, of each request to the path."""
        self.answers: Sequence[Mapping[str, Any]] = ()
        """What these get, one after the other; the last one all that follow. An empty one: what the page says."""
        tab.page.clock.install(time=0)
        tab.page.clock.pause_at(1000)
        tab.page.route(path, self._answer)

    def turn(self, ms: int = STEP_MS) -> None:
        self.now_ms += ms
        self.tab.page.clock.fast_forward(ms)

    def turn_until_asked(self, times: int) -> None:
        def is_asked() -> bool:
            self.turn()
            return len(self.asked) >= times

        wait_until(f"{times} requests", is_asked)

    def _answer(self, route: Route) -> None:
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(self.now_ms)
        if answer:
            route.fulfill(**answer)
        else:
            route.continue_()


@pytest.fixture
def tab(chromium: Browser, nothing: Page) -> Iterator[Tab]:
    with browser.tab(chromium, nothing.visitor(Role.ADMIN)) as tab, tab.allowing("401", "404", "422", "503"):
        yield tab
        assert tab.problems == []


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "as you are no longer let in: load this page again"),
        (404, "as it was removed or is no longer shown to you"),
    ],
)
def test_what_is_refused_for_good_is_told_and_asked_for_no_more(tab: Tab, status: int, told: str) -> None:
    live = Turned(tab, "**/api/nodes/live")
    live.answers = [{"status": status, "json": {"detail": "no"}}]
    tab.open("/nodes")
    tab.wait_for(told)
    live.turn(TEN_MINUTES_MS)
    assert tab.page.evaluate("() => fetch('/health').then(answer => answer.status)") == 200
    assert len(live.asked) == 2, "once by the events, once for the reason"
    tab.page.clock.resume()  # axe waits by it
    assert tab.axe() == []


def test_what_is_refused_for_a_while_is_asked_for_more_and_more_seldom(tab: Tab) -> None:
    live = Turned(tab, "**/api/nodes/live")
    live.answers = [*[{"status": 503}] * 6, {}]
    tab.open("/nodes")
    tab.wait_for("Not connected, last heard")
    live.turn_until_asked(7)
    _, *times = live.asked
    pauses = [later - before for before, later in zip(times[::2], times[1::2], strict=True)]
    assert all(pause > LATE * at_least for pause, at_least in zip(pauses, (1000, 2000, 4000), strict=True)), pauses
    tab.page.locator("[data-connection]").wait_for(state="hidden")


def test_a_picture_that_could_not_be_made_right_now_is_loaded_again(tab: Tab) -> None:
    made = BytesIO()
    Image.new("RGB", (4, 4)).save(made, "WEBP")
    picture = Turned(tab, f"**{PICTURE}")
    busy = {"status": 503, "headers": {"Retry-After": "7"}}
    picture.answers = [busy, busy, busy, {"status": 200, "body": made.getvalue(), "content_type": "image/webp"}]
    tab.open("/nodes")
    tab.page.evaluate(ADD, "thumb")
    picture.turn_until_asked(5)
    wait_until("it is shown", lambda: tab.page.locator(".thumb").evaluate("image => image.naturalWidth") == 4)
    _, first, second, third, _ = picture.asked
    assert second - first > LATE * 7000
    assert third - second > LATE * 7000


@pytest.mark.parametrize(
    ("status", "times", "place", "told"), [(503, 5, "thumb", "cannot be shown"), (422, 2, "data-picture", "torn")]
)
def test_a_picture_that_cannot_be_shown_says_so_and_is_asked_for_no_more(
    tab: Tab, status: int, times: int, place: str, told: str
) -> None:
    picture = Turned(tab, f"**{PICTURE}")
    picture.answers = [{"status": status, "json": {"detail": "torn"}}]
    tab.open("/nodes")
    tab.page.evaluate(ADD, place)
    picture.turn_until_asked(times)
    tab.wait_for(told)
    picture.turn(TEN_MINUTES_MS)
    assert len(picture.asked) == times


def test_a_run_that_is_to_be_told_of_is_heard_by_a_hidden_page(chromium: Browser, stage: Stage) -> None:
    run = PageRun(stage.page.web.client.stores, "ocr", {"a.png": record("x")})
    with browser.tab(chromium, stage.page.visitor(Role.ADMIN)) as tab:
        tab.page.add_init_script(KEEP_WHAT_IS_TOLD)
        tab.open(f"/runs/{run.id}")
        tell = tab.page.get_by_role("button", name="Tell me when it is over")
        tell.click()
        tell.wait_for(state="hidden")
        tab.page.evaluate(HIDE)
        run.end()
        tab.page.wait_for_function("told => sessionStorage.told === told", arg=f"{run.id}: done")
