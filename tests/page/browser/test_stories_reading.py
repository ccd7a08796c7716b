"""The story of texts that were read: searched by keys, shown to others, taken home; and of a hub that is away."""

from __future__ import annotations

import json
import shutil
import signal
import zipfile
from pathlib import Path

import pytest

from cluster.roles import Role
from tests.kit import stages
from tests.kit.browser import Tab
from tests.page.browser.conftest import Enter

RUN_MS = 60_000


@pytest.fixture
def maria(enter: Enter) -> Tab:
    return enter(Role.SUBMITTER, "maria")


def test_texts_are_found_by_keys_and_by_others_who_may(enter: Enter, maria: Tab, read_run: str) -> None:
    maria.open(f"/runs/{read_run}/results")
    maria.page.keyboard.press("/")
    maria.page.keyboard.type("telescope")
    maria.page.get_by_role("status").get_by_text("1 of 10").wait_for()
    maria.page.locator("[data-text] mark").get_by_text("telescope").wait_for()
    assert "q=telescope" in maria.page.url
    address = maria.page.url
    maria.open(f"/runs/{read_run}/results")
    first = maria.page.locator("[data-text] h2").inner_text()
    maria.page.keyboard.press("j")
    maria.page.wait_for_function("first => document.querySelector('[data-text] h2').textContent !== first", arg=first)
    maria.page.keyboard.press("k")
    maria.page.wait_for_function("first => document.querySelector('[data-text] h2').textContent === first", arg=first)
    boss, stranger = enter(Role.OPERATOR), enter(Role.SUBMITTER, "stranger")
    assert boss.open(address).status == 200
    boss.page.locator("[data-text] mark").get_by_text("telescope").wait_for()
    with stranger.allowing("404"):
        assert stranger.open(address).status == 404


def test_results_are_taken_home(maria: Tab, stage: stages.Stage, read_run: str, tmp_path: Path) -> None:
    maria.open(f"/runs/{read_run}/results")
    files = {}
    for name in ("ZIP of texts", "JSON", "CSV"):
        with maria.page.expect_download() as told:
            maria.page.get_by_role("link", name=name, exact=True).click()
        files[name] = Path(shutil.move(told.value.path(), tmp_path / name))
    with zipfile.ZipFile(files["ZIP of texts"]) as archive:
        assert archive.testzip() is None
        assert "telescope" in archive.read("letters/thank-you.jpg.txt").decode()
    found = json.loads(files["JSON"].read_bytes())
    assert found == json.loads(json.dumps(stage.client.run(read_run).result()))
    assert "telescope" in files["CSV"].read_text()


def test_a_page_says_that_it_hears_nothing_and_since_when(maria: Tab, stage: stages.Stage) -> None:
    maria.open("/nodes")
    maria.wait_for("office-1")
    with maria.allowing("Failed to load resource", "503"):
        stage.redis.process.send_signal(signal.SIGSTOP)
        try:
            maria.page.get_by_text("Not connected, last heard").wait_for(timeout=RUN_MS)
        finally:
            stage.redis.process.send_signal(signal.SIGCONT)
        maria.page.locator("[data-connection]").wait_for(state="hidden", timeout=RUN_MS)
