"""Group pages by the documents that they come from, while parts arrive, for the writers of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import orjson
import zstandard

from aggregators.readings import Reading
from splitters import page_names

LEVEL = 1
"""Of Zstandard: a page of 800 words takes 0.1 ms and 10 KB."""


class Document(NamedTuple):
    """A document of the input, with all that was read of it."""

    name: str
    """As ``page_names.parse`` gives it: the path relative to the given folder."""
    pages: Mapping[int | None, Reading | None]
    """Number of a page, from 1 -> its record, or None where it failed, in the order of the numbers. A document that
    is one item has the one key None. Records are unpacked one by one, when they are asked for."""


class _Pages(Mapping[int | None, Reading | None]):
    """Records, packed: a thousand pages with the places of their words take 10 MB so, and 130 MB as objects."""

    def __init__(self) -> None:
        self._packed: dict[int | None, bytes] = {}

    def put(self, number: int | None, record: Reading | None) -> None:
        self._packed[number] = zstandard.ZstdCompressor(LEVEL).compress(orjson.dumps(record))

    def __getitem__(self, number: int | None) -> Reading | None:
        record: Reading | None = orjson.loads(zstandard.ZstdDecompressor().decompress(self._packed[number]))
        return record

    def __iter__(self) -> Iterator[int | None]:
        return iter(sorted(self._packed, key=lambda number: number or 0))

    def __len__(self) -> int:
        return len(self._packed)


def grouped(
    parts: Iterable[Mapping[str, Reading | None]], pages_of: Callable[[str], int | None] | None = None
) -> Iterator[Document]:
    """Yield each document once, as soon as all its pages are there.

    Args:
        parts: Item name -> record, or None for an item that failed. Each item comes once.
        pages_of: Gives for a document's name how many of its pages the run reads, None where that is not known yet;
            asked again with each part until it is. With it, parts may come in any order, and a document of which pages
            are missing, or whose number is not known, comes at the end. Without it, parts come in the order of the
            input, and a document is whole when another one begins; a failed page that is told after that adds nothing.

    Raises:
        ValueError: More pages came of a document than there were to come; after all other documents.

    Holds the packed pages of documents that are not whole, and the names of those with pages that were given.
    """
    unfinished: dict[str, _Pages] = {}
    wanted: dict[str, int] = {}
    given: set[str] = set()
    late: list[str] = []
    for part in parts:
        for item, record in part.items():
            name, number = page_names.parse(item)
            if name in given:
                late += [item] if record is not None else []
                continue
            if pages_of is None:
                for other in [other for other in unfinished if other != name]:
                    given.add(other)
                    yield Document(other, unfinished.pop(other))
            if number is None and name not in unfinished:
                yield Document(name, {None: record})
                continue
            unfinished.setdefault(name, _Pages()).put(number, record)
        if pages_of is None:
            continue
        for name in list(unfinished):
            if name not in wanted and (known := pages_of(name)) is not None:
                wanted[name] = known
            if len(unfinished[name]) == wanted.get(name):
                given.add(name)
                yield Document(name, unfinished.pop(name))
    for name, pages in unfinished.items():
        yield Document(name, pages)
    if late:
        raise ValueError(f"{late[0]} came after its document was whole, and so did {len(late) - 1} other pages")
