"""The story of a node: it joins, is paused, goes on, is killed or stopped, and the page tells it at once."""

from __future__ import annotations

import re

import pytest

from cluster.roles import Role
from tests.kit import stages
from tests.page.browser.conftest import Enter

AT_ONCE_MS = 3000
"""Two seconds, and what the browser of a busy machine takes besides."""
SILENT_MS = 3500
"""Its connection tells in two seconds that a node was killed; its silence, in four."""


def test_a_node_that_comes_is_paused_and_stopped(enter: Enter, stage: stages.Stage) -> None:
    tab = enter(name="maria-op", role=Role.OPERATOR)
    tab.open("/nodes")
    with stage.node("guest") as guest:
        row = tab.page.locator('[data-name="guest@test"]')
        row.wait_for(timeout=AT_ONCE_MS)
        row.get_by_role("button", name="Pause guest@test").click()
        row.get_by_text(re.compile("paused")).wait_for(timeout=AT_ONCE_MS)
        row.get_by_text(re.compile("by maria-op")).wait_for()
        row.get_by_role("button", name="Have guest@test go on").click()
        row.get_by_text("online").wait_for(timeout=AT_ONCE_MS)
        row.get_by_role("button", name="Stop guest@test").click()
        dialog = tab.page.get_by_role("dialog")
        dialog.get_by_text("Stop guest@test?").wait_for()
        assert tab.axe_in() == []
        dialog.get_by_role("button", name="Stop it").click()
        row.get_by_text(re.compile("leaving|gone")).wait_for()
        assert guest.process.wait(30) == 0


def test_a_killed_node_is_silent(enter: Enter, stage: stages.Stage) -> None:
    tab = enter()
    with stage.node("killed") as killed:
        tab.open("/nodes")
        row = tab.page.locator('[data-name="killed@test"]')
        row.get_by_text("online").wait_for()
        killed.kill()
        row.get_by_text(re.compile("silent|gone")).wait_for(timeout=SILENT_MS)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER], ids=["viewer", "submitter"])
def test_who_may_not_sees_no_buttons_of_nodes(enter: Enter, stage: stages.Stage, role: Role) -> None:
    tab = enter(role)
    tab.open("/nodes")
    tab.wait_for("office-1")
    assert tab.page.get_by_role("button", name=re.compile("Pause|Stop|go on")).count() == 0
    answer = stage.page.visitor(role).ask("POST", "/api/nodes/office-1@test/pause")
    assert answer.status_code == 403
