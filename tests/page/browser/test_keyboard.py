"""Everything by the keyboard: each thing to press can be reached, and one sees where one is."""

from __future__ import annotations

import pytest

from tests.kit import addresses
from tests.kit.addresses import Places
from tests.kit.browser import Tab
from tests.page.browser.conftest import Enter

MOST = 60
AROUND = 2
"""Presses of the key that may lead out of the page and in again: a page may begin within a field."""
WATCH = """() => {
  window.reached = new Map()
  document.addEventListener('focusin', ({ target: at }) => {
    const box = at.getBoundingClientRect(), style = getComputedStyle(at)
    window.reached.set(at, {
      name: at.tagName + ' ' + (at.getAttribute('href') ?? at.textContent.trim().slice(0, 40)),
      seen: box.width > 0 && box.height > 0 && box.right > 0,
      ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0
    })
  })
}"""
"""Notes what each element looks like when it is reached."""
REACHED = "() => [...window.reached.values()]"
TO_REACH = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
  .filter(e => !e.disabled && e.tabIndex >= 0 && e.checkVisibility() && !(e.type === 'radio' && !e.checked)).length"""


@pytest.mark.parametrize("path", addresses.VIEWS)
def test_all_that_can_be_pressed_is_reached_and_seen(walker: Tab, places: Places, path: str) -> None:
    for address in addresses.filled(path, places):
        walker.open(address)
        walker.page.evaluate(WATCH)
        wanted = min(MOST, walker.page.evaluate(TO_REACH))
        for _ in range(wanted + AROUND):
            walker.page.keyboard.press("Tab")
        reached = walker.page.evaluate(REACHED)
        assert len(reached) >= wanted, address
        assert [at for at in reached if not (at["seen"] and at["ring"])] == [], address


def test_the_first_key_leads_past_the_navigation(enter: Enter, read_run: str) -> None:
    tab = enter()
    tab.open(f"/runs/{read_run}")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to content"
    tab.page.keyboard.press("Enter")
    assert tab.page.url.endswith("#main")
