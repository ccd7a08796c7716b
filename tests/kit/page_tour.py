"""Make the pictures of docs/howto/page.md: ``make page-pictures``.

Nothing here is drawn: a cluster of two nodes, one of which is killed in the middle, and Chromium. Each picture is the
beginning of a page, as WebP, under a name of its own, so that making them again takes the places of the old ones.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from cluster.roles import Role
from tests.kit import browser, stages
from tests.kit.browser import DESK, PHONE, Tab
from tests.kit.waiting import wait_until

QUALITY = 80
MOST_PX = 1100
"""Of the height of a picture."""
COPIES = 12
SETTLED_MS = 1500


def main(folder: Path) -> None:
    """Make them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        browser.opened() as chromium,
        stages.staged(Path(scratch), PYTHONPATH="") as stage,
        browser.tab(chromium, stage.page.visitor(Role.ADMIN, "maria")) as tab,
    ):
        send(tab, folder)
        places = stages.played(stage)
        work(stage, tab, folder)
        read, _, faces = places["/runs/{run}/results"]
        for name, path, look in (
            ("results", f"{read}?q=telescope", DESK),
            ("results-dark", f"{read}?q=telescope", DESK._replace(theme="dark")),
            ("faces", faces, DESK),
            ("run-phone", f"/runs/{places['run'][0]}", PHONE),
        ):
            tab.look(look)
            tab.open(path)
            keep(tab, name, folder)


def send(tab: Tab, folder: Path) -> None:
    """The page of a new run, once files are dropped."""
    tab.open("/submit")
    tab.drop("[data-drop]", stages.EXAMPLES / "images")
    tab.wait_for("8 files have arrived.")
    keep(tab, "submit", folder)


def work(stage: stages.Stage, tab: Tab, folder: Path) -> None:
    """A run while it goes on, and the nodes, one of which has just been killed."""
    pile = stage.folder / "pile"
    for number in range(COPIES):
        shutil.copytree(stages.EXAMPLES / "images", pile / f"{number:02}")
    (pile / "torn.jpg").write_bytes((stages.EXAMPLES / "images" / "poem.png").read_bytes()[:2000])
    with stage.node("laptop-kim", PYTHONPATH="") as node:
        run = stages.begun(stage, "ocr", pile)
        found = stage.client.run(run)
        tab.open(f"/runs/{run}")
        wait_until("a third is done", lambda: found.status().items_done >= 3 * COPIES, timeout_s=300)
        node.kill()
        tab.wait_for("silent")
        keep(tab, "run", folder)
        tab.open("/nodes")
        keep(tab, "nodes", folder)
        found.result(600)


def keep(tab: Tab, name: str, folder: Path) -> None:
    """The picture of a page as it is now."""
    tab.page.wait_for_timeout(SETTLED_MS)
    with Image.open(tab.picture(name, folder)) as picture:
        picture.crop((0, 0, picture.width, min(picture.height, MOST_PX))).save(
            folder / f"page-{name}.webp", quality=QUALITY, method=6
        )
    (folder / f"{name}.png").unlink()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the pictures of docs/howto/page.md.")
    parser.add_argument("folder", type=Path, help="for the pictures")
    main(parser.parse_args().folder)
