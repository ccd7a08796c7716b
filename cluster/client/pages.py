"""How many pages of each document were read, so that a document can be written as soon as all of them are done."""

from __future__ import annotations

import hashlib

from splitters import Chunk, page_names


class Pages:
    """Counts the pages of documents as the splitter gives them, document after document. Holds a number for each.

    A document that is no page of another one has no number: it is whole by itself.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Count anew: the input is read once more."""
        self._closed: dict[bytes, int] = {}
        self._open, self._number = b"", 0

    def add(self, chunk: Chunk) -> None:
        """Count the items of the next chunk."""
        for item in chunk:
            document, number = page_names.parse(item.name)
            digest = b"" if number is None else _digest(document)
            if digest != self._open:
                self.end()
                self._open, self._number = digest, self._closed.pop(digest, 0)
            self._number += item.last

    def end(self) -> None:
        """The document that was read last has no more pages."""
        if self._open:
            self._closed[self._open] = self._number
        self._open = b""

    def of(self, document: str) -> int | None:
        """How many pages it has; None as long as more may come, or where none was read."""
        return self._closed.get(_digest(document))


def _digest(document: str) -> bytes:
    return hashlib.blake2b(document.encode("utf-8", "surrogatepass"), digest_size=8).digest()
