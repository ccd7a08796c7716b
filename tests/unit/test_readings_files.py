"""Pages that were read, as files of lines: JSON, JSON lines, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aggregators import by_name, readings_files
from tests.kit.records import SIZE, record

PARTS: list[dict[str, Any]] = [
    {"s/book.pdf#0002": record("two\nlines", words=True, turn=90), "=1.png": record("=1+1", source="pdf")},
    {"s/book.pdf#0001": None, "a%23b.png": record("")},
]


def written(write: Callable[..., None]) -> bytes:
    out = io.BytesIO()
    write(PARTS, out)
    return out.getvalue()


def test_json_of_records_is_what_it_was_of_texts() -> None:
    before = io.BytesIO()
    by_name.write_json([{"s/book.pdf#0002": "two\nlines", "=1.png": "=1+1"}, {"a%23b.png": ""}], before)
    assert written(readings_files.write_json) == before.getvalue()


def test_a_line_of_json_tells_all_of_a_page() -> None:
    book, picture, odd = map(json.loads, written(readings_files.write_jsonl).splitlines())
    assert book == {
        "item": "s/book.pdf#0002", "document": "s/book.pdf", "page": 2, "text": "two\nlines", "confidence": 90,
        "source": "ocr", "seconds": 1.5, "node": "pc1", "turn": 90, "digest": "0123456789abcdef",
        "size": SIZE, "lines": PARTS[0]["s/book.pdf#0002"]["lines"],
    }  # fmt: skip
    assert (picture["document"], picture["page"], picture["source"], "lines" in picture) == (
        "=1.png",
        None,
        "pdf",
        False,
    )
    assert (odd["item"], odd["document"]) == ("a%23b.png", "a#b.png")


def test_a_line_is_there_before_the_next_part_is_asked_for(tmp_path: Path) -> None:
    file, seen = tmp_path / "lines", []

    def following() -> Iterator[dict[str, Any]]:
        for part in PARTS:
            seen.append(file.read_bytes().count(b"\n"))
            yield part

    with file.open("wb") as out:
        readings_files.write_jsonl(following(), out)
    assert seen == [0, 2]


def test_a_table_has_a_row_a_page_and_no_formula() -> None:
    head, *rows = csv.reader(io.StringIO(written(readings_files.write_csv).decode(), newline=""))
    assert head == list(readings_files.COLUMNS)
    assert rows == [
        ["s/book.pdf#0002", "s/book.pdf", "2", "two\nlines", "90", "ocr", "1.5", "pc1", "90"],
        ["'=1.png", "'=1.png", "", "'=1+1", "90", "pdf", "1.5", "pc1", "0"],
        ["a%23b.png", "a#b.png", "", "", "90", "ocr", "1.5", "pc1", "0"],
    ]


@pytest.mark.parametrize("write", [readings_files.write_json, readings_files.write_jsonl, readings_files.write_csv])
def test_a_run_without_items_still_writes_a_file(write: Callable[..., None]) -> None:
    out = io.BytesIO()
    write([], out)
    assert out.getvalue() in (b"{}\n", b"", ",".join(readings_files.COLUMNS).encode() + b"\n")
