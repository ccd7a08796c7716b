"""A run is shown to somebody who is no user of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.kit import stages
from tests.kit.browser import PHONE, Tab
from tests.page.browser.conftest import Enter

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_a_run_is_read_by_a_link_until_that_is_ended(
    enter: Enter, chromium: Browser, stage: stages.Stage, read_run: str
) -> None:
    tab = enter()
    tab.open(f"/runs/{read_run}/results")
    tab.page.get_by_role("link", name="Share by a link").click()
    tab.page.get_by_role("button", name="Make a link").click()
    tab.wait_for("It is not shown again")
    assert tab.page.get_by_text("No link shows this run now").count() == 0
    address = tab.page.locator("[data-made-secret]").inner_text()
    assert tab.axe_in() == []
    with Tab(chromium, stage.page.url, PHONE) as other:
        other.open(address)
        other.page.wait_for_url(f"**/runs/{read_run}/results")
        other.wait_for("shown to you by a link")
        other.wait_for("invoice.png")
        for path in (f"/runs/{read_run}", f"/runs/{read_run}/results"):
            other.open(path)
            assert (other.axe_in(), other.too_wide_px) == ([], 0), path
        assert other.problems == []
        tab.page.get_by_role("link", name="Done").click()
        tab.page.get_by_role("button", name="End the link").click()
        tab.wait_for("No link shows this run now")
        with other.allowing("401", "410"):
            other.page.keyboard.press("j")
            other.wait_for("this link has ended")
            assert other.page.reload().status == 401  # type: ignore[union-attr]
            other.wait_for("this link has ended")
            other.open(address)
            other.wait_for("this link has ended")
        assert other.problems == []
