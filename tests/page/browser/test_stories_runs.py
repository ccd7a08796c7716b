"""The story of a run: it is watched while it goes on, paused, cancelled, and what it lacks is done again."""

from __future__ import annotations

import re

from cluster.roles import Role
from tests.kit import stages
from tests.kit.browser import PHONE
from tests.kit.played_run import Run
from tests.page.browser.conftest import Enter

AT_ONCE_MS = 3000
"""Two seconds, and what the browser of a busy machine takes besides."""


def test_a_run_is_watched_without_loading_its_page_again(enter: Enter, stage: stages.Stage) -> None:
    run = Run(stage.client.stores, batch_chunks=8, fail="item 3")
    stage.client.stores.ledger.runs.expect_items(run.run, 8)
    tab = enter()
    tab.open(f"/runs/{run.run}")
    tab.wait_for("No node has done anything yet.")
    tab.page.evaluate("() => { window.isTheSame = true }")
    run.do(0, 1, node="office")
    tab.page.locator('[data-show="done"]', has_text="2 of 8").wait_for(timeout=AT_ONCE_MS)
    tab.page.locator('[data-node="worker@office"] rect').first.wait_for(state="attached")
    tab.wait_for("first part from")
    run.claims([2], "lab")
    tab.page.locator('[data-node="worker@lab"] rect.now').wait_for(state="attached")
    for _ in range(3):
        run.do(3, node="office")
    tab.page.locator('[data-show="missing"]', has_text="1").first.wait_for()
    tab.page.locator("[data-missing-rows]").get_by_text("RuntimeError: item 3").wait_for()
    tab.wait_for("given up")
    assert tab.page.evaluate("() => window.isTheSame")
    assert "%" in tab.page.title()
    assert tab.axe_in() == []


def test_a_run_is_paused_gone_on_with_and_cancelled(enter: Enter, stage: stages.Stage) -> None:
    run = Run(stage.client.stores)
    tab = enter(name="maria-op", role=Role.OPERATOR)
    tab.open(f"/runs/{run.run}")
    state = tab.page.locator('[data-show="state"]')
    tab.page.get_by_role("button", name="Pause").click()
    state.get_by_text("paused").wait_for(timeout=AT_ONCE_MS)
    tab.wait_for("It is paused by maria-op.")
    tab.page.get_by_role("button", name="Go on").click()
    state.get_by_text("running").wait_for(timeout=AT_ONCE_MS)
    tab.page.get_by_role("button", name="Cancel the run").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_text("Its results so far are lost.").wait_for()
    dialog.get_by_role("button", name="Cancel the run").click()
    state.get_by_text("cancelled").wait_for(timeout=AT_ONCE_MS)
    tab.wait_for("cancelled by maria-op")
    assert tab.page.get_by_role("button", name=re.compile("Pause|Go on|Cancel")).count() == 0


def test_the_list_of_runs_moves_on_by_itself(enter: Enter, stage: stages.Stage) -> None:
    run = Run(stage.client.stores, batch_chunks=3)
    tab = enter(look=PHONE)
    tab.open(f"/runs?who=all&q={run.run}")
    row = tab.page.locator(f'[data-run="{run.run}"]')
    row.get_by_text("0 of ?").wait_for()
    run.do(0)
    row.get_by_text("1 of ?").wait_for(timeout=AT_ONCE_MS)
    run.stores.ledger.runs.stop(run.run, "cancelled", "enough")
    row.get_by_text("cancelled").wait_for(timeout=AT_ONCE_MS)
    assert tab.too_wide_px == 0


def test_what_is_missing_is_done_again_with_other_options(enter: Enter, stage: stages.Stage, read_run: str) -> None:
    tab = enter(name="maria", role=Role.SUBMITTER)
    with tab.allowing("size=thumb"):  # damaged pictures have none
        tab.open(f"/runs/{read_run}")
        tab.page.get_by_text("With other options").click()
        tab.page.get_by_label(re.compile("psm|pages|lang")).first.wait_for()
        assert tab.axe_in() == []
        boxes = tab.page.locator("[data-item]")
        for at in range(1, boxes.count()):
            boxes.nth(at).uncheck()
        tab.page.get_by_role("button", name="Try these again").click()
        tab.page.wait_for_url(lambda url: "/runs/" in url and not url.endswith(read_run))
        tab.wait_for("does again what")
    follower = tab.page.url.rpartition("/")[2]
    status = stage.client.run(follower).wait(60)
    assert (status.follows, status.items_total, status.owner) == (read_run, 1, "maria")
