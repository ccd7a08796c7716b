"""Who is this? The faces of a party are named by keyboard, learnt, and shown by name in the next run."""

from __future__ import annotations

import re

import pytest

from cluster.roles import Role
from tests.kit import stages
from tests.page.browser.conftest import Enter

TRAINED_WITHIN_MS = 120_000


@pytest.mark.timeout(300)  # three runs and a training
def test_faces_are_named_by_keyboard_learnt_and_known_in_the_next_run(enter: Enter, stage: stages.Stage) -> None:
    run = stages.sent(stage, "faces", stages.EXAMPLES / "party", describe=True)
    tab = enter(name="maria", role=Role.SUBMITTER)
    page, keyboard = tab.page, tab.page.keyboard
    tab.open(f"/runs/{run}/results?item=garden.jpg")
    assert page.locator(".boxed rect.box").count() == 3
    page.get_by_label("names").uncheck()
    assert not page.locator(".boxed .name").first.is_visible()

    tab.open(f"/people/party?run={run}")
    page.get_by_role("heading", name="Who is this? (6)").wait_for()
    keyboard.press("j")
    keyboard.press("Tab")
    for number, name in enumerate(("Kim", "Ada", "Otto Meier"), 1):
        keyboard.type(name)
        keyboard.press("Enter")
        page.get_by_role("heading", name=f"Who is this? ({6 - number})").wait_for()
        page.wait_for_function("document.activeElement.name === 'person'")
    assert tab.axe() == []
    keyboard.press("Escape")
    keyboard.press("x")
    page.get_by_role("heading", name="Who is this? (2)").wait_for()
    page.get_by_role("listitem").filter(has_text="not a face").get_by_role("button", name="Take back").click()
    page.get_by_role("heading", name="Who is this? (3)").wait_for()

    page.get_by_role("button", name="Train version 1 with 3 names").click()
    page.wait_for_url("**/runs/faces-train-*")
    tab.open(f"/people/party?run={run}")
    page.get_by_text("version 1", exact=True).wait_for(timeout=TRAINED_WITHIN_MS)
    page.get_by_role("button", name="Look at the latest pictures again").click()
    page.wait_for_url(re.compile(r"/runs/faces-[0-9a-f]+$"))
    again = page.url.rpartition("/")[2]
    stage.client.run(again).result(stages.TIMEOUT_S)
    later = enter(name="maria", role=Role.SUBMITTER)
    later.open(f"/runs/{again}/results?item=garden.jpg")
    assert later.page.locator(".boxed .known").count() == 3
    later.open("/people/party")
    later.page.get_by_text("1 picture, named").first.wait_for()
    assert later.page.get_by_role("button", name=re.compile("Undo|Forget")).count() == 0  # for operators
    assert later.axe() == []
