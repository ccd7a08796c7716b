"""Make pictures of the pages: ``python -m tests.kit.page_pictures FOLDER [WORDS …]``.

It starts a cluster with a node, has runs done on it, and opens each page of the route table in Chromium, in a wide and
in a narrow window, light and dark. Of pages whose address names something it takes one of each that there is. It
writes ``NAME-WIDTH-THEME.png``, and says which pages are too wide, what they complain of on the console and, with
``--axe``, what axe-core finds, which `make test-page` installs. WORDS choose the pages whose address has one of them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cluster.roles import Role
from tests.kit import addresses, browser, stages

SETTLED_MS = 400
"""Until then a page has shown what its scripts ask for."""


def main(folder: Path, words: Sequence[str], looks: Sequence[browser.Look], *, axe: bool) -> None:
    """Make them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        browser.opened() as chromium,
        stages.staged(Path(scratch)) as stage,
        browser.tab(chromium, stage.page.visitor(Role.ADMIN, "maria")) as tab,
    ):
        for path in addresses.each(stages.played(stage), ["/enter", *addresses.VIEWS]):
            if words and not any(word in path for word in words):
                continue
            if (status := tab.open(path).status) >= 400:
                print(f"{path}: {status}")
                continue
            tab.page.wait_for_timeout(SETTLED_MS)
            for look in looks:
                tab.look(look)
                said = [*(tab.axe() if axe else ()), *([f"{tab.too_wide_px} px too wide"] if tab.too_wide_px else ())]
                file = tab.picture(f"{addresses.file_name(path)}-{look.name}", folder)
                print(file, *said, sep="\n    ", flush=True)
        print(*tab.problems, sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make pictures of the pages.")
    parser.add_argument("folder", type=Path, help="for the pictures")
    parser.add_argument("words", nargs="*", help="only pages whose address has one of these")
    parser.add_argument("--axe", action="store_true", help="tell what axe-core finds, too")
    parser.add_argument("--one", action="store_true", help="only light")
    given = parser.parse_args()
    main(given.folder, given.words, (browser.DESK, browser.PHONE) if given.one else browser.LOOKS, axe=given.axe)
