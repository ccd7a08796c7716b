"""Somebody who has no mouse: each thing to press can be reached, and one sees where one is."""

from __future__ import annotations

from tests.kit.browser import Tab

MOST = 60
"""Things of a page that are reached, from its beginning."""
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


def problems(tab: Tab) -> list[str]:
    """Hold the Tab key down on the page as it was opened; gives what is not reached, or not seen to be."""
    tab.page.evaluate(WATCH)
    wanted = min(MOST, tab.page.evaluate(TO_REACH))
    for _ in range(wanted + AROUND):
        tab.page.keyboard.down("Tab")
    tab.page.keyboard.up("Tab")
    reached = tab.page.evaluate(REACHED)
    lacking = [f"{len(reached)} of {wanted} are reached"] if len(reached) < wanted else []
    return lacking + [f"not seen: {at}" for at in reached if not (at["seen"] and at["ring"])]
