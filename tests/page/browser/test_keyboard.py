"""Everything by the keyboard: each thing to press can be reached, and one sees where one is."""

from __future__ import annotations

import pytest

from tests.kit import addresses
from tests.kit.addresses import Places
from tests.page.browser.conftest import Enter

MOST = 60
AROUND = 2
"""Presses of the key that may lead out of the page and in again: a page may begin within a field."""
REACHED = """() => {
  const at = document.activeElement
  if (!at || at === document.body) return null;
  (window.reached ??= new Set()).add(at)
  const box = at.getBoundingClientRect(), style = getComputedStyle(at)
  return { name: at.tagName + ' ' + (at.getAttribute('href') ?? at.textContent.trim().slice(0, 40)),
           seen: box.width > 0 && box.height > 0 && box.right > 0,
           ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 }
}"""
TO_REACH = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
  .filter(e => !e.disabled && e.tabIndex >= 0 && e.checkVisibility() && !(e.type === 'radio' && !e.checked)).length"""


@pytest.mark.parametrize("path", addresses.VIEWS)
def test_all_that_can_be_pressed_is_reached_and_seen(enter: Enter, places: Places, path: str) -> None:
    tab = enter()
    for address in addresses.filled(path, places):
        tab.open(address)
        wanted = min(MOST, tab.page.evaluate(TO_REACH))
        for _ in range(wanted + AROUND):
            tab.page.keyboard.press("Tab")
            at = tab.page.evaluate(REACHED)
            assert at is None or at["seen"], (address, at)
            assert at is None or at["ring"], (address, at)
        assert tab.page.evaluate("() => window.reached.size") >= wanted, address


def test_the_first_key_leads_past_the_navigation(enter: Enter, read_run: str) -> None:
    tab = enter()
    tab.open(f"/runs/{read_run}")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to content"
    tab.page.keyboard.press("Enter")
    assert tab.page.url.endswith("#main")
