"""Pages become documents, in any order, each once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import pytest

from aggregators import documents
from aggregators.readings import Reading


def record(text: str) -> Reading:
    return {"text": text, "confidence": 90, "seconds": 0.5, "node": "pc1", "digest": "0" * 16}


def part(*items: str) -> dict[str, Reading | None]:
    return {item: record(item) for item in items}


def names(
    parts: list[dict[str, Reading | None]], counts: Mapping[str, int] | None = None
) -> list[tuple[str, list[int | None]]]:
    found = documents.grouped(parts, counts.get if counts is not None else None)
    return [(document.name, list(document.pages)) for document in found]


def test_a_picture_is_a_document_at_once() -> None:
    def parts() -> Iterator[dict[str, Reading | None]]:
        yield part("a/letter.jpg")
        raise AssertionError("it was ready before")

    document = next(documents.grouped(parts()))
    assert document.name == "a/letter.jpg"
    assert document.pages == {None: record("a/letter.jpg")}


def test_in_order_a_document_is_whole_when_another_begins() -> None:
    parts = [part("a.pdf#0001"), part("a.pdf#0002", "b.pdf#0001"), part("c.png", "d.pdf#0001")]
    assert names(parts) == [("a.pdf", [1, 2]), ("b.pdf", [1]), ("c.png", [None]), ("d.pdf", [1])]


def test_in_any_order_each_document_comes_once_when_whole() -> None:
    counts = {f"{n}.pdf": n for n in range(1, 9)}
    items = [f"{n}.pdf#{page:04d}" for n in counts.values() for page in range(1, n + 1)]
    random.Random(1).shuffle(items)
    seen: list[str] = []

    def parts() -> Iterator[dict[str, Reading | None]]:
        for item in items:
            seen.append(item)
            yield part(item)

    given = []
    for document in documents.grouped(parts(), counts.get):
        assert sum(item.startswith(document.name) for item in seen) == counts[document.name]
        assert {page: record(f"{document.name}#{page:04d}") for page in document.pages} == document.pages
        given.append(document.name)
    assert sorted(given) == sorted(counts)


def test_a_document_that_lacks_pages_comes_at_the_end() -> None:
    parts = [part("a.pdf#0001", "b.pdf#0001"), part("b.pdf#0002")]
    assert names(parts, {"a.pdf": 2, "b.pdf": 2}) == [("b.pdf", [1, 2]), ("a.pdf", [1])]


def test_a_failed_page_counts_and_has_no_record() -> None:
    parts: list[dict[str, Reading | None]] = [part("a.pdf#0002"), {"a.pdf#0001": None}]
    [document] = documents.grouped(parts, {"a.pdf": 2}.get)
    assert list(document.pages) == [1, 2]
    assert document.pages[1] is None
    assert document.pages[2] == record("a.pdf#0002")


def test_failed_pages_told_last_give_no_document_twice() -> None:
    parts: list[dict[str, Reading | None]] = [part("a.pdf#0001"), part("b.pdf#0001")]
    parts.append({"a.pdf#0002": None, "c.pdf#0001": None})
    assert names(parts) == [("a.pdf", [1]), ("b.pdf", [1]), ("c.pdf", [1])]


def test_more_pages_than_there_were_are_an_error_at_the_end() -> None:
    parts = [part("a.pdf#0001"), part("a.pdf#0002"), part("b.png")]
    given: list[str] = []
    with pytest.raises(ValueError, match=r"a\.pdf#0002 came after"):
        given.extend(document.name for document in documents.grouped(parts, {"a.pdf": 1}.get))
    assert given == ["a.pdf", "b.png"]


def test_open_documents_are_held_packed() -> None:
    word = ["word", 100, 100, 200, 130, 90]
    page: Reading = {**record("word " * 800), "page": [2480, 3508, 300], "lines": [[1, 1, 0.0, -5.0, [word] * 800]]}
    [document] = documents.grouped([{f"a.pdf#{n:04d}": page} for n in range(1, 4)])
    packed = document.pages._packed  # type: ignore[attr-defined]
    assert sum(map(len, packed.values())) < 3 * 9216
    assert document.pages[3] == page
