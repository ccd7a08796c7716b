"""The story of a pile of scans: sent, read, searched, what is missing tried again, given to others, taken home."""

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
TEXTS = 9
"""Of the example pictures: one is a TIFF of two pages."""


def read_by(tab: Tab) -> str:
    """The run that a tab shows."""
    return tab.page.url.partition("/runs/")[2].partition("?")[0].partition("#")[0]


@pytest.fixture
def maria(enter: Enter) -> Tab:
    return enter(Role.SUBMITTER, "maria")


def test_a_folder_that_is_dropped_is_read(maria: Tab, stage: stages.Stage) -> None:
    maria.open("/submit")
    assert maria.page.locator("#job").input_value() == "ocr"
    maria.drop("[data-drop]", stages.EXAMPLES / "images")
    maria.wait_for("8 files have arrived.")
    assert maria.axe_in() == []
    maria.page.get_by_role("button", name="Start the run").click()
    maria.page.wait_for_url("**/runs/ocr-*")
    maria.page.locator('[data-show="state"][data-state="done"]').wait_for(timeout=RUN_MS)
    maria.page.get_by_text(f"{TEXTS} of {TEXTS}", exact=True).wait_for()
    maria.page.get_by_role("link", name="Results", exact=True).click()
    maria.page.get_by_role("link", name="letters/thank-you.jpg").click()
    maria.page.locator("[data-text]").get_by_text("telescope").wait_for()
    picture = maria.page.get_by_alt_text("Picture of letters/thank-you.jpg")
    picture.wait_for()
    maria.page.wait_for_function("() => document.querySelector('[data-picture] img').naturalWidth > 0")


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


def test_what_is_missing_is_told_and_tried_again(maria: Tab, read_run: str) -> None:
    maria.open(f"/runs/{read_run}")
    section = maria.page.locator("[data-missing]")
    section.get_by_text(stages.HOSTILE[0]).wait_for()
    section.get_by_text("cannot be shown").first.wait_for()
    section.get_by_text("damaged").first.wait_for()
    section.get_by_text("With other options").click()
    maria.page.locator("[name=max_megapixels]").fill("80")
    section.get_by_role("button", name="Try these again").click()
    maria.page.wait_for_url(lambda url: "/runs/ocr-" in url and read_run not in url)
    maria.wait_for("does again what")
    maria.page.locator('[data-show="state"][data-state="done"]').wait_for(timeout=RUN_MS)
    maria.page.get_by_text("--max-megapixels 80").wait_for()


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


def test_a_run_is_cancelled_once_one_is_sure(maria: Tab, stage: stages.Stage, tmp_path: Path) -> None:
    for number in range(40):
        shutil.copy(stages.EXAMPLES / "images" / "invoice.png", tmp_path / f"{number}.png")
    run = stages.begun(stage, "ocr", tmp_path, chunk_size=1)
    maria.open(f"/runs/{run}")
    maria.page.get_by_role("button", name="Cancel the run").click()
    dialog = maria.page.get_by_role("dialog")
    dialog.get_by_text(f"Cancel {run}?").wait_for()
    dialog.get_by_role("button", name="No").click()
    maria.page.get_by_role("button", name="Cancel the run").click()
    maria.page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    maria.page.locator('[data-show="state"][data-state="cancelled"]').wait_for()


def test_a_few_files_are_sent_without_scripts(enter: Enter) -> None:
    tab = enter(Role.SUBMITTER, "maria", scripts=False)
    tab.open("/submit?job=ocr")
    files = [stages.EXAMPLES / "images" / name for name in ("invoice.png", "poem.png", "recipe.webp")]
    tab.page.locator("input[name=files]").set_input_files(files)
    tab.page.get_by_role("button", name="Start the run").click()
    tab.page.wait_for_url("**/runs/ocr-*")
    assert read_by(tab).startswith("ocr-")


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
