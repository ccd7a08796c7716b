"""Submitting in a browser: files dropped, chosen, sent while the run goes on, and sent on after a break."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from cluster.roles import Role
from tests.kit import stages
from tests.kit.browser import Tab
from tests.kit.waiting import wait_until
from tests.page import sending
from tests.page.browser.conftest import Enter

FILES = 900
MINUTE_MS = 60_000


@pytest.fixture
def tab(enter: Enter) -> Tab:
    return enter(Role.SUBMITTER, "maria")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with many small texts, some below others."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(FILES):
        place = folder / f"{number % 3}" / f"{number:04}.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text("some words")
    return folder


def run_of(tab: Tab) -> str:
    """The run that the tab shows by now."""
    tab.page.wait_for_url("**/runs/*", timeout=MINUTE_MS)
    return tab.page.url.rsplit("/", 1)[1]


def test_a_folder_that_is_dropped_is_read(tab: Tab, stage: stages.Stage, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "letters").mkdir(parents=True)
    images = stages.EXAMPLES / "images"
    for name in ("opening-hours.jpg", "letters/thank-you.jpg"):
        (folder / name).write_bytes((images / name).read_bytes())
    (folder / "notes.docx").write_text("left out")
    (folder / ".hidden.png").write_text("left out, too")
    tab.open("/submit")
    assert tab.page.locator("#job").input_value() == "ocr"
    tab.drop("[data-drop]", folder)
    tab.wait_for("2 of 2 files")
    tab.wait_for("1 left out: ocr does not read their kind (.docx)")
    tab.wait_for("1 of 1 node can do this")
    assert tab.axe_in() == []
    tab.page.get_by_role("button", name="Start the run").click()
    run = run_of(tab)
    assert stage.client.run(run).wait(60).items_total == 2
    assert "telescope" in str(stage.client.run(run).result()["letters/thank-you.jpg"])


def test_sending_goes_on_where_it_was_broken_off(tab: Tab, stage: stages.Stage, many: Path) -> None:
    sent: list[str] = []
    is_cut = True

    def pass_two(route: Route) -> None:
        sent.append(route.request.url)
        if is_cut and len(sent) > 2:
            route.abort()
        else:
            route.continue_()

    tab.page.route("**/bundle", pass_two)
    tab.open("/submit?job=wordcount")
    with tab.allowing("ERR_FAILED"):
        tab.page.locator("[data-folder]").set_input_files(many)
        tab.wait_for("Not connected: sending goes on by itself.")
        assert "upload=u-" in tab.page.url
        tab.page.locator("[data-job=wordcount] summary").click()
        tab.page.locator("#wordcount-chunk_size").fill("500")
        tab.page.get_by_role("button", name="Start the run").click()
        begun = tab.page.locator("[data-show=begun] a").inner_text()
        run = stage.client.run(begun)
        wait_until("first results", lambda: run.status().items_done > 0, timeout_s=60)
        with tab.accepting():
            tab.page.reload()
    is_cut = False
    tab.wait_for("400 files have arrived")
    assert tab.page.locator("[data-show=begun] a").inner_text() == begun
    before = len(sent)
    tab.page.locator("[data-folder]").set_input_files(many)
    assert run_of(tab) == run.id
    assert len(sent) - before == 3
    status = run.wait(60)
    assert (status.items_total, status.items_done, status.items_failed) == (FILES, FILES, 0)
    assert run.result() == {"some": FILES, "words": FILES}


def test_a_run_ends_with_what_has_arrived(tab: Tab, stage: stages.Stage, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("some words")
    maria = stage.page.visitor(Role.SUBMITTER, "maria")
    upload = sending.begin(maria, files=3, job="wordcount")
    sending.send(maria, upload, sending.bundle([("a.txt", b"some words")]))
    run = sending.run(maria, upload, "wordcount")
    tab.open("/submit")
    row = tab.page.get_by_role("paragraph").filter(has_text=run)
    assert "1 of 3 files have arrived" in row.inner_text()
    row.get_by_role("link", name="Send the rest").click()
    tab.page.locator("[data-files]").set_input_files(tmp_path / "b.txt")
    tab.wait_for("2 files have arrived.")  # one of three has not: the upload stays open
    tab.page.get_by_role("button", name="End here").click()
    assert run_of(tab) == run
    assert stage.client.run(run).wait(60).items_done == 2


def test_a_change_of_the_job_sends_what_was_left_out(tab: Tab, tmp_path: Path) -> None:
    for name in ("a.txt", "b.md"):
        (tmp_path / name).write_text("some words")
    tab.open("/submit")
    tab.page.locator("[data-files]").set_input_files([tmp_path / "a.txt", tmp_path / "b.md"])
    none = "ocr reads none of these files (.txt .md): it reads pictures, PDF, TIFF, HEIC and ZIP."
    tab.wait_for(none)
    tab.page.get_by_role("button", name="Start the run").click()
    expect(tab.page.locator("[data-toast]")).to_have_text(none)
    assert tab.page.get_by_text("0 of 0").count() == 0
    tab.page.locator("#job").select_option("wordcount")
    tab.wait_for("2 of 2 files")
    expect(tab.page.locator("[data-notes]")).to_be_empty()
    tab.page.locator("#wordcount-top").fill("3")
    tab.wait_for("cluster submit --job wordcount --top 3 FILES")


def test_an_option_that_cannot_be_is_told_before_the_start(tab: Tab) -> None:
    tab.open("/submit")
    tab.page.get_by_text("More options").locator("visible=true").click()
    tab.page.locator("#ocr-dpi").fill("10")
    tab.wait_for("Dpi: Value must be greater than or equal to 70.")
    tab.page.locator("#job").select_option("train")
    tab.wait_for("Fill in Model to see who can do this.")
    tab.page.locator("#train-model").fill("office")
    tab.wait_for("cluster submit --job train --model office FILES")


def test_files_are_submitted_without_scripts(enter: Enter, stage: stages.Stage, tmp_path: Path) -> None:
    tab = enter(Role.SUBMITTER, "maria", scripts=False)
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("some words")
    tab.open("/submit?job=wordcount")
    tab.page.locator("input[name=files]").set_input_files(sorted(tmp_path.iterdir()))
    tab.page.locator("#wordcount-top").fill("1")
    tab.page.get_by_role("button", name="Start the run").click()
    run = run_of(tab)
    status = stage.client.run(run).wait(60)
    assert (status.items_done, status.options["top"], status.owner) == (3, 1, "maria")


def test_an_upload_of_before_can_be_gone_on_with_or_deleted(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some words")
    tab.open("/submit?job=wordcount")
    tab.page.locator("[data-files]").set_input_files(tmp_path / "a.txt")
    tab.wait_for("1 file has arrived")
    tab.open("/submit")
    offers = tab.page.get_by_role("button", name="Delete", exact=True)
    expect(tab.page.get_by_role("link", name="Go on with these").first).to_be_visible()
    number = offers.count()
    offers.first.click()
    tab.page.get_by_role("button", name="Delete them").click()
    expect(offers).to_have_count(number - 1)
