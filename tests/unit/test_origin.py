"""Which command opened a run: the same command finds it again, and no other does."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster import catalog
from cluster.client import origin
from cluster.client.origin import Origin

SUBMISSION: Any = SimpleNamespace(job=catalog.get("ocr"), options={"lang": "eng"})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "scans" / "out").mkdir(parents=True)
    (tmp_path / "scans" / "a.png").write_bytes(b"a")
    return tmp_path


def of(*source: str | Path, output: str | Path = "out") -> Origin:
    return cast(Origin, origin.of(SUBMISSION, source, Path(output), "pdf"))


def test_the_same_command_typed_in_another_folder_is_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    first = of("scans")
    assert first == of(place / "scans", output=place / "out")
    monkeypatch.chdir(place / "scans")
    assert first == of(".", output=place / "out")


def test_another_output_is_another_command_and_a_touched_file_another_input(place: Path) -> None:
    source, output = place / "scans", place / "scans" / "out"
    first = of(source, output=output)
    assert of(source, output=place / "other").command != first.command
    (output / "a.png.pdf").write_bytes(b"what the run has written")
    assert of(source, output=output) == first
    os.utime(source / "a.png", (1, 1))
    touched = of(source, output=output)
    assert (touched.command == first.command, touched.seen == first.seen) == (True, False)
