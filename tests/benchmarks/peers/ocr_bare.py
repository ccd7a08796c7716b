"""The limit: two bare processes that load the model once and take picture by picture. ``ocr_bare.py FOLDER OUTPUT``."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import reading

PROCESSES = 2


def read(path: str) -> tuple[str, str]:
    """A picture's name and its text."""
    return os.path.basename(path), reading.with_tesserocr(path)  # noqa: PTH119


def main() -> None:
    """Read all pictures of a folder."""
    folder, output = map(Path, sys.argv[1:])
    paths = [str(path) for path in sorted(folder.iterdir())]
    loaded = multiprocessing.Barrier(PROCESSES + 1)
    with multiprocessing.Pool(PROCESSES, start, (loaded,)) as pool:
        loaded.wait()
        print(json.dumps({"ready": time.time()}), flush=True)
        texts = dict(pool.imap_unordered(read, paths))
    output.write_text(json.dumps(texts, ensure_ascii=False))
    print(json.dumps({"done": time.time()}))


def start(loaded: multiprocessing.Barrier) -> None:  # type: ignore[valid-type]
    """Load the model before the clock of those who are ready begins."""
    reading.api()
    loaded.wait()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
