"""What is missing from a run is done again, and stands beside what the run has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster import catalog, errors
from cluster.client import missing_items, result
from cluster.client.missing_items import Mender, Missing
from tests.kit.records import record

OCR = catalog.get("ocr")
FAILED = ["a.pdf#0002", "a.pdf#0010", "b.png", "phone.zip/c.pdf#0001"]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a.pdf", "b.png", "phone.zip", "whole.png"):
        (folder / name).write_bytes(b"")
    return folder


def missing(items: list[str] = FAILED, **options: Any) -> Missing:
    return Missing("ocr-1", "ocr", options, items, is_kept=True)


def test_only_pages_that_are_missing_are_read_again(scans: Path) -> None:
    found = missing_items.select(OCR, [scans], missing(), whole=False)
    assert {one.choice.name: one.choice.pages for one in found} == {
        "a.pdf": (2, 10), "b.png": None, "phone.zip": None,
    }  # fmt: skip
    whole = missing_items.select(OCR, [scans], missing(), whole=True)
    assert {one.choice.pages for one in whole} == {None}


def test_an_input_without_what_is_missing_is_named(scans: Path) -> None:
    (scans / "a.pdf").unlink()
    with pytest.raises(errors.UsageError, match=r"not in this input: a\.pdf, which ocr-1 lacks"):
        missing_items.select(OCR, [scans], missing(), whole=False)


def test_the_options_of_the_run_hold_but_for_those_told() -> None:
    given = missing(lang="deu", clean=True, unknown=1).with_options(OCR, {"engine": "ppocr", "lang": "eng"})
    assert given == {"lang": "eng", "clean": True, "engine": "ppocr"}
    with pytest.raises(errors.UsageError, match="is a run of the job ocr"):
        missing().with_options(catalog.get("faces"), {})


def test_a_document_is_written_whole_with_what_the_run_has(scans: Path, tmp_path: Path) -> None:
    def earlier() -> list[dict[str, Any]]:
        return [{"a.pdf#0001": record("one"), "whole.png": record("left alone")}, {"a.pdf#0003": record("three")}]

    lacking = missing(["a.pdf#0002"])
    wanted = missing_items.select(OCR, [scans], lacking, whole=False)
    mender = Mender(None, wanted, tmp_path / "out", lacking, earlier)
    chosen = mender.format(OCR.writer("text-folder", OCR.options_of_run({})))
    with mender.writing():
        result.write(chosen, [{"a.pdf#0002": record("two")}], tmp_path / "out")
    assert {file.name: file.read_text() for file in (tmp_path / "out").iterdir()} == {"a.pdf.txt": "one\ftwo\fthree"}


def test_in_a_file_pages_take_the_places_of_pages(scans: Path, tmp_path: Path) -> None:
    lacking = missing(["a.pdf#0002"])
    wanted = missing_items.select(OCR, [scans], lacking, whole=False)
    (tmp_path / "out.json").write_text(json.dumps({"a.pdf#0001": "one", "a.pdf#0002": "wrong", "b.png": "b"}))
    mender = Mender(None, wanted, tmp_path / "out.json", lacking)
    with mender.writing():
        chosen = mender.format(OCR.writer("json", OCR.options_of_run({})))
        result.write(chosen, [{"a.pdf#0002": record("two")}], tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_bytes()) == {"a.pdf#0001": "one", "b.png": "b", "a.pdf#0002": "two"}


def test_a_page_that_fails_again_stays_missing() -> None:
    [part] = missing_items.beside([{"a.pdf#0001": "one"}], [{"a.pdf#0002": None}], {"a.pdf"})
    assert part == {"a.pdf#0001": "one", "a.pdf#0002": None}
