"""The stories of a model, of a service and of a training, seen in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cluster.roles import Role
from tests.integration.test_curve import closed
from tests.kit import stages, tagged
from tests.kit.browser import PHONE, Tab
from tests.kit.played_rounds import PlayedRounds
from tests.kit.waiting import wait_until
from tests.page.browser.conftest import Enter

LACKING = f"nopackage==1.2 --hash=sha256:{'a' * 64}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model."""
    (tmp_path / "red" / "more").mkdir(parents=True)
    (tmp_path / "red" / "tag.txt").write_text("red")
    (tmp_path / "red" / "more" / "näme with spaces.json").write_text("{}")
    return tmp_path / "red"


def shows(tab: Tab, path: str, text: str) -> bool:
    """Whether a page shows a text when it is opened anew."""
    tab.open(path)
    return tab.page.get_by_text(text).count() > 0


def test_a_folder_is_pushed_pinned_and_removed(enter: Enter, stage: stages.Stage, folder: Path) -> None:
    tab = enter(Role.OPERATOR)
    tab.open("/models")
    tab.page.get_by_label("Name").fill("story")
    tab.page.get_by_label("Job").select_option("tagged")
    tab.page.get_by_label("Folder").set_input_files(folder)
    tab.page.get_by_role("button", name="Push").click()
    tab.page.wait_for_url("**/models/story:1", timeout=60_000)
    tab.wait_for("more/näme with spaces.json")
    wait_until("the node has it", lambda: shows(tab, "/models", "1: office-1"), timeout_s=60)
    tagged.push(stage.client.stores, "story", "blue")
    tab.open("/models/story:1")
    tab.page.get_by_role("button", name="Pin: runs get version 1").click()
    tab.page.locator("h1").get_by_text("pinned").wait_for()
    assert stage.client.models.state("story").current == 1
    assert tab.axe_in() == []
    tab.page.get_by_role("button", name=re.compile("^Unpin")).click()
    tab.page.get_by_role("button", name="Pin: runs get version 1").wait_for()
    tab.page.get_by_role("button", name="Remove").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_text("Remove story:1 with its 2 files?").wait_for()
    dialog.get_by_role("button", name="Remove story:1").click()
    tab.page.wait_for_url("**/models/story")
    assert [one.ref for one in stage.client.models.versions() if one.name == "story"] == ["story:2"]


def test_a_folder_that_is_no_model_is_refused_in_words(enter: Enter, folder: Path) -> None:
    tab = enter(Role.OPERATOR)
    (folder / "bundle.json").write_text("{")
    tab.open("/models")
    tab.page.get_by_label("Name").fill("story-bad")
    tab.page.get_by_label("Folder").set_input_files(folder)
    with tab.allowing("422"):
        tab.page.get_by_role("button", name="Push").click()
        tab.wait_for("Not pushed: bundle.json is no JSON")


def test_who_lacks_what_for_a_model_is_told_with_the_reason(enter: Enter, stage: stages.Stage) -> None:
    tagged.push(stage.client.stores, "lacking", "red", LACKING)
    tab = enter(Role.VIEWER)
    wait_until("the node has said so", lambda: shows(tab, "/models", "lacks it"), timeout_s=60)
    tab.wait_for("nopackage==1.2")
    tab.open("/models/lacking")
    tab.wait_for("nopackage==1.2")
    assert tab.page.get_by_role("button", name=re.compile("Pin|Remove|Push")).count() == 0
    assert tab.axe_in() == []


def test_a_service_is_started_scaled_and_stopped(enter: Enter, stage: stages.Stage) -> None:
    tab = enter(Role.OPERATOR)
    tab.open("/services")
    model = tab.page.get_by_label("Model", exact=True)
    with tab.allowing("404"):
        model.fill("nobody")
        tab.page.get_by_role("button", name="Serve").click()
        wait_until("it is told at the field", lambda: "no bundle" in model.evaluate("field => field.validationMessage"))
    model.fill("")
    tab.page.get_by_label("Job").select_option("measure")
    tab.page.get_by_label("Name", exact=True).fill("sizes")
    tab.page.locator("#measure-seconds").fill("0.01")
    tab.wait_for("cluster serve --job measure --name sizes --seconds 0.01")
    tab.wait_for("1 of 1 node can do this")
    tab.page.get_by_role("button", name="Serve").click()
    card = tab.page.locator('[data-service="sizes"]')
    card.get_by_text("1 of 1").wait_for(timeout=60_000)
    assert stage.client.service("sizes").status().options == {"seconds": 0.01}
    assert stage.client.service("sizes").predict({"a.txt": b"12345"}).items == {"a.txt": "5"}
    card.get_by_text(re.compile(r"^\d+\.\d ms$")).first.wait_for()
    assert tab.axe_in() == []
    card.get_by_label("Replicas", exact=True).fill("0")
    card.get_by_role("button", name="Scale").click()
    card.get_by_text("paused").wait_for()
    card.get_by_role("button", name="Stop").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Stop sizes").click()
    tab.page.locator('[data-service="sizes"]').wait_for(state="detached")


def test_a_model_that_nobody_published_is_published_and_used(enter: Enter, stage: stages.Stage, tmp_path: Path) -> None:
    for person in ("ada", "gus"):
        (tmp_path / person).mkdir()
        for number in (1, 2):
            picture = stages.EXAMPLES / "people" / person / f"{number}.jpg"
            (tmp_path / person / picture.name).write_bytes(picture.read_bytes())
    run = stage.client.submit("faces-train", tmp_path, model="two-people")
    run.wait(60)
    tab = enter(Role.OPERATOR)
    tab.open(f"/runs/{run.id}/results")
    tab.page.get_by_role("button", name="Publish the model").click()
    tab.wait_for("This run made")
    tab.page.get_by_role("link", name="two-people:1").first.click()
    tab.page.wait_for_url("**/models/two-people:1")
    tab.open("/models")
    tab.page.get_by_role("link", name="two-people").click()
    party = stages.EXAMPLES / "people" / "ada" / "3.jpg"
    found = stage.client.submit("faces", {"a.jpg": party.read_bytes()}, model="two-people").result(60)
    assert [face["label"] for face in found["a.jpg"]] == ["ada"]


def test_the_curve_of_a_training_grows_while_one_looks(enter: Enter, stage: stages.Stage) -> None:
    run = PlayedRounds(stage.client.stores)
    closed(run, 0)
    tab = enter(Role.VIEWER)
    tab.open(f"/runs/{run.run}")
    line = tab.page.locator('[data-chart="loss"] polyline')
    before = line.get_attribute("points")
    closed(run, 1, rejected={"1": stages.SCRIPT})
    tab.page.locator('[data-fact="rounds"]').get_by_text("2 of 5").wait_for()
    assert line.get_attribute("points") != before
    tab.page.get_by_text("The last rounds as a table").click()
    assert tab.page.locator("[data-rows] tr").count() == 2
    tab.wait_for(f"round 1: shard 1 rejected: {stages.SCRIPT}")
    assert tab.axe_in() == []


def test_a_training_can_be_read_without_scripts_on_a_phone(enter: Enter, stage: stages.Stage) -> None:
    run = PlayedRounds(stage.client.stores)
    closed(run, 0, 1)
    tab = enter(Role.VIEWER, look=PHONE, scripts=False)
    tab.open(f"/runs/{run.run}")
    tab.wait_for("accuracy by round")
    assert tab.page.locator("polyline").count() == 2
