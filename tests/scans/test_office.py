"""What an office does day by day: new scans, missing pages, a look before it starts."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image, ImageDraw, ImageFont

import cluster as product
from tests.kit.commands import cluster
from tests.kit.programs import RedisServer, Worker, start_cluster
from tests.kit.waiting import line_with, wait_until


class Office(SimpleNamespace):
    url: str
    cache: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"CLUSTER_BROKER_URL": self.url, "CLUSTER_CACHE_DIR": str(self.cache)}

    def submit(self, *arguments: str | Path) -> tuple[int, str, str]:
        done = cluster("submit", "--job", "ocr", *arguments, "-q", settings=self.settings)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    with RedisServer(folder / "redis") as server, Worker("pc1", server.url, folder, "-c", "2"):
        yield Office(url=server.url, cache=folder / "cache")


def page(text: str, height: int = 120) -> Image.Image:
    made = Image.new("L", (900, height), 255)
    ImageDraw.Draw(made).text((40, 30), text, 0, ImageFont.load_default(48))
    return made


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    page("Invoice 2041").save(folder / "invoice.png")
    page("First page").save(folder / "two.pdf", save_all=True, append_images=[page("Second page")])
    return folder


def items_of_last_run(office: Office) -> int | None:
    with product.connect(office.url) as c:
        return c.runs(1)[0].items_total


def test_new_scans_are_read_beside_known_ones(office: Office, scans: Path, tmp_path: Path) -> None:
    to = (scans, "--format", "pdf", "-o", tmp_path / "out", "--only-new")
    code, _, told = office.submit(*to)
    assert (code, items_of_last_run(office)) == (0, 3)
    assert "written to" in told.splitlines()[-1]
    assert told.endswith("(2 files)\n")
    code, _, told = office.submit(*to)
    assert (code, told) == (0, f"nothing new: the output has 2 files of {scans}\n")
    page("Minutes of May").save(scans / "minutes.png")
    assert office.submit(*to)[0] == 0
    assert items_of_last_run(office) == 1
    assert {file.name for file in (tmp_path / "out").glob("*.pdf")} == {"invoice.png.pdf", "two.pdf", "minutes.png.pdf"}


def test_the_same_command_goes_on_with_what_was_stopped(office: Office, scans: Path, tmp_path: Path) -> None:
    for number in range(12):
        page(f"Letter {number}").save(scans / f"{number:02}.png")
    (scans / "bad.png").write_bytes(b"no picture")
    out, report = tmp_path / "out", tmp_path / "report.csv"
    to = ("submit", "--job", "ocr", scans, "--format", "text-folder", "-o", out, "--only-new", "--report", report)
    with start_cluster(*to, settings=office.settings) as stopped:
        wait_until("the first file", lambda: any(out.glob("*.txt")), 60)
        stopped.send_signal(signal.SIGINT)
        _, told = stopped.communicate(timeout=60)
    assert stopped.returncode == 130, told
    page("Came meanwhile").save(scans / "late.png")
    done = cluster(*to, settings=office.settings)
    assert done.returncode == 3, done.stderr
    with product.connect(office.url) as c:
        late, first = c.runs(2)
    assert (late.items_done, late.items_failed, first.items_done) == (1, 0, 15)
    told_of = [line.split(",")[:2] for line in report.read_text().splitlines()[1:]]
    assert (len(told_of), told_of[-2:]) == (17, [["bad.png", "missing"], ["late.png", "done"]])
    assert f"{first.run}: paused" in told
    assert f"goes on with {first.run}" in done.stderr
    assert len(list(out.glob("*.txt"))) == 15


def test_missing_pages_are_read_again_and_stand_beside_the_rest(office: Office, scans: Path, tmp_path: Path) -> None:
    page("Small").save(scans / "large.tif", save_all=True, append_images=[page("Large", 1300)])
    to = (scans, "--format", "text-folder", "-o", tmp_path / "out")
    code, _, told = office.submit(*to, "--max-megapixels", "1")
    assert code == 3
    assert "large.tif#0002: " in told
    assert (tmp_path / "out" / "large.tif.txt").read_text().strip() == "Small"
    [run] = re.findall(r"^(ocr-\w+): 4 of 5 done", told, re.MULTILINE)
    code, _, told = office.submit(*to, "--retry-failed", run, "--max-megapixels", "64")
    assert (code, items_of_last_run(office)) == (0, 1)
    assert (tmp_path / "out" / "large.tif.txt").read_text().split() == ["Small", "Large"]
    code, _, told = office.submit(*to, "--retry-failed", run, "--max-megapixels", "64")
    assert code == 0


def test_a_look_ahead_names_nodes_and_time(office: Office, scans: Path) -> None:
    assert office.submit(scans)[0] == 0
    before = items_of_last_run(office)
    code, out, _ = office.submit(scans, "--dry-run", "--json")
    found = json.loads(out)
    assert (code, found["files"], found["items"]) == (0, 2, 3)
    assert found["nodes"] == [{"name": "pc1@test", "slots": 2}]
    assert 0 < found["seconds"] < 60
    assert items_of_last_run(office) == before


def test_a_watch_reads_what_a_scanner_writes(office: Office, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("submit", "--job", "ocr", scans, "--watch", "1", "--format", "pdf", "-o", out)
    watching = start_cluster(*command, settings=office.settings)
    assert watching.stderr is not None
    try:
        first = line_with("written to", watching.stderr, 60)
        (scans / "bad.png").write_bytes(b"no picture")
        page("Minutes of May").save(scans / "minutes.png")
        second = line_with("written to", watching.stderr, 60)
    finally:
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=60)
    assert watching.returncode == 0, told
    assert ("3 of 3 done" in first, "(1 file)" in second) == (True, True)
    assert {file.name for file in out.glob("*.pdf")} == {"invoice.png.pdf", "two.pdf", "minutes.png.pdf"}
