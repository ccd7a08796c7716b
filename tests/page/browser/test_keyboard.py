"""What the keyboard does besides reaching all of a page, which test_every_page.py has."""

from __future__ import annotations

from tests.page.browser.conftest import Enter


def test_the_first_key_leads_past_the_navigation(enter: Enter, read_run: str) -> None:
    tab = enter()
    tab.open(f"/runs/{read_run}")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to content"
    tab.page.keyboard.press("Enter")
    assert tab.page.url.endswith("#main")
