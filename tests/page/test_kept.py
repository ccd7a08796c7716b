"""What is kept in memory of results: the latest few, and not too much of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cluster.web import face_rows, results
from cluster.web.kept import Kept


def test_what_is_kept_has_no_more_bytes_than_it_may() -> None:
    made: list[str] = []

    def ask(run: str, chars: int) -> str:
        def make() -> str:
            made.append(run)
            return "x" * chars

        return kept.get(run, make)

    kept: Kept[str] = Kept(6, 10, len)
    ask("a", 4), ask("b", 4), ask("a", 4), ask("c", 4), ask("a", 4), ask("b", 4)
    assert made == ["a", "b", "c", "b"]
    assert len(ask("large", 11)) == len(ask("large", 11)) == 11
    ask("b", 4)
    assert made[4:] == ["large", "large"]
    kept.drop("large")


def test_the_size_of_faces_counts_their_descriptors() -> None:
    face = {"box": [1, 2, 3, 4], "score": 1.0, "label": "kim", "confidence": 1.0}
    plain, described = (
        face_rows.size_bytes(face_rows.read("r", [{"a": [{**face, "descriptor": text}]}])) for text in ("", "x" * 500)
    )
    assert described - plain == 500


def test_no_more_parts_are_read_than_are_shown() -> None:
    read = 0

    def parts() -> Iterator[dict[str, Any]]:
        nonlocal read
        for read in range(1, 1000):
            yield {f"item-{read}": "x" * 30_000}

    some, is_all = results.first_of(parts())
    assert (len(some), is_all, read) == (4, False, 5)
    assert results.first_of([{"a": 1}, {"b": 2}]) == ({"a": 1, "b": 2}, True)
