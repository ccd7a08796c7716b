"""With JavaScript off, runs and nodes can still be read, on a phone, too."""

from __future__ import annotations

from tests.kit.addresses import Places, each
from tests.kit.browser import DESK, PHONE
from tests.page.browser.conftest import Enter


def test_all_pages_can_be_read_in_both_widths_without_scripts(enter: Enter, places: Places) -> None:
    tab = enter(look=PHONE, scripts=False)
    looks = (PHONE, DESK)
    for address in each(places):
        assert tab.open(address).status == 200, address
        assert tab.page.locator("main").inner_text().strip(), address
        for look in looks:
            tab.look(look)
            assert tab.too_wide_px == 0, (address, look)
        looks = looks[::-1]  # the next page is opened in the width that is there


def test_runs_and_nodes_say_all_without_scripts(enter: Enter, read_run: str) -> None:
    tab = enter(look=PHONE, scripts=False)
    tab.open("/runs")
    tab.page.get_by_role("link", name=read_run).click()
    tab.wait_for("done")
    tab.open("/nodes")
    tab.wait_for("office-1")
