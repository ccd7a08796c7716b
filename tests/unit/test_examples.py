"""The examples are what their sources say, and do what they promise."""

from __future__ import annotations

import runpy
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from cluster import catalog
from cluster.job import Job
from splitters import page_names
from tasks import ocr
from tests.kit.programs import ROOT

EXAMPLES = ROOT / "deploy" / "examples"
IMAGES = EXAMPLES / "images"
SAME_PIXEL = 100
"""Encoders differ a little in what they make of a pixel of 0 to 255; a letter elsewhere is over 200."""

TEXTS = {
    "empty.txt": b"",
    "ended.txt": b"one\n\ntwo\n",
    "open.txt": b"one\ntwo",
    "carriage.txt": b"one\r\n\r\ntwo\r\nlast\r",
    "long.txt": b"".join(b"line %d\n" % number for number in range(200)) + b"x",
    "bytes.txt": "größer\u2028\x0b\n€\n".encode() + b"\xff\xfe\n",
}


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    return runpy.run_path(str(EXAMPLES / "draw_images.py"))


@pytest.fixture(scope="module")
def linecount() -> Job:
    job: Job = runpy.run_path(str(EXAMPLES / "linecount" / "linecount.py"))["JOB"]
    return job


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for name, data in TEXTS.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_drawing_the_pictures_gives_those_in_the_repository(script: dict[str, Any], tmp_path: Path) -> None:
    from PIL import Image, ImageChops, ImageSequence

    script["draw_all"](tmp_path)
    drawn, kept = sorted(files_below(tmp_path)), sorted(files_below(IMAGES))
    assert drawn == kept
    for name in drawn:
        with Image.open(tmp_path / name) as new, Image.open(IMAGES / name) as old:
            assert getattr(new, "n_frames", 1) == getattr(old, "n_frames", 1), name
            for ours, theirs in zip(ImageSequence.Iterator(new), ImageSequence.Iterator(old), strict=True):
                assert (ours.mode, ours.size) == (theirs.mode, theirs.size), name
                apart = ImageChops.difference(ours.convert("RGB"), theirs.convert("RGB"))
                assert max(apart.tobytes()) <= SAME_PIXEL, f"{name}: run `make examples`"


def test_drawing_the_pictures_twice_gives_the_same_bytes(script: dict[str, Any], tmp_path: Path) -> None:
    for folder in ("first", "second"):
        script["draw_all"](tmp_path / folder)
    assert files_below(tmp_path / "first") == files_below(tmp_path / "second")


def test_every_word_on_the_pictures_is_read(script: dict[str, Any]) -> None:
    if problem := ocr.why_unavailable(lang="eng"):
        pytest.skip(problem)
    outcome = catalog.get("ocr").outcome_locally(IMAGES)
    assert not outcome.failures
    read: dict[str, list[list[str]]] = {}
    for item, text in outcome.result.items():
        read.setdefault(page_names.parse(item)[0], []).append(text.split())
    assert read == {name: [page.split() for page in picture.pages] for name, picture in script["PICTURES"].items()}


@pytest.mark.parametrize("chunk_size", [1, 7, 64, 2**20])
def test_cutting_a_file_changes_no_count_of_lines(linecount: Job, texts: Path, chunk_size: int) -> None:
    assert linecount.run_locally(texts, chunk_size=chunk_size) == {
        "empty.txt": 0,
        "ended.txt": 3,
        "open.txt": 2,
        "carriage.txt": 4,
        "long.txt": 201,
        "bytes.txt": 3,
    }


def test_short_lines_are_left_out_by_characters_not_bytes(linecount: Job, texts: Path) -> None:
    def counted(min_length: int) -> dict[str, int]:
        found: dict[str, int] = linecount.run_locally(texts, min_length=min_length, chunk_size=1)
        return found

    assert counted(1)["ended.txt"] == 2
    assert counted(1)["carriage.txt"] == 3
    assert [counted(length)["bytes.txt"] for length in (1, 2, 3, 8, 9)] == [3, 2, 1, 1, 0]
    assert counted(5)["carriage.txt"] == 1  # "last\r": a carriage return that ends no line is a character


def test_counts_of_lines_are_the_same_in_any_order_and_grouping(linecount: Job, texts: Path) -> None:
    parts = [linecount.run_task(chunk, {}).value for chunk in linecount.chunks(texts, {"chunk_size": 600})]
    assert sum("long.txt" in part for part in parts) > 1
    whole = linecount.aggregate(parts)
    for order in permutations(parts):
        assert linecount.aggregate(order) == whole
        assert linecount.aggregate([linecount.aggregate(order[:2]), linecount.aggregate(order[2:])]) == whole


def test_letters_drawn_twice_are_the_same_and_all_come_equally_often() -> None:
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
    draw = runpy.run_path(str(EXAMPLES / "draw_letters.py"))["draw"]
    pictures, letters = draw(260, 7)
    again, _ = draw(260, 7)
    other, _ = draw(260, 8)
    assert (pictures.shape, pictures.dtype) == ((260, 16, 16), numpy.uint8)
    assert (pictures == again).all()
    assert (pictures != other).any()
    assert set(numpy.unique(letters, return_counts=True)[1]) == {10}
