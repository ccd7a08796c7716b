"""Templates are compiled once on a machine, not once a start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from cluster.web import compiled, render


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(compiled, "FOLDER", tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    render.templates.cache_clear()
    yield tmp_path
    render.templates.cache_clear()


def test_a_second_start_compiles_no_template(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render.prepare()
    assert len(list(folder.iterdir())) >= 2
    render.templates.cache_clear()
    monkeypatch.delattr(jinja2.Environment, "compile")
    render.prepare()


def test_a_folder_that_is_not_there_keeps_none(folder: Path) -> None:
    folder.rmdir()
    render.prepare()
    assert not folder.exists()
