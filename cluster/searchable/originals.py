"""Find the documents of a run in its input once more, and see that they are those that were read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from aggregators.readings import Reading
from cluster.searchable.overlay import CHANGED, Refused
from splitters import archives, files, pages, suffixes
from splitters.documents import Document
from splitters.items import Items
from splitters.pages import Page

DIGEST_DIGITS = 16
GONE = "is no longer in the input"


class Originals:
    """The input of a run, walked once more, as far as documents are asked for. Use it in a ``with``.

    Args:
        source: As it was submitted.
        password_file: Of the run.

    Holds the places of documents that were passed on the way to others.
    """

    def __init__(self, source: Sequence[Path] | Items, password_file: str | None = None) -> None:
        self.passwords = pages.passwords(password_file)
        self._held = ExitStack()
        self._reader = self._held.enter_context(pages.Reader(None, password_file))
        self._walking = self._reader.documents(source)
        self._passed: dict[str, Document] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def find(self, name: str) -> Document:
        """The document of this name, which is asked for once.

        Raises:
            Refused: It is not there any more, or cannot be read.
        """
        found = self._passed.pop(name, None) or self._walked(name)
        if found is None:
            raise Refused(GONE)
        if found.problem:
            raise Refused(found.problem)
        return found

    def _walked(self, name: str) -> Document | None:
        try:
            for one in self._walking:
                if one.name == name:
                    return one
                self._passed[one.name] = one
        except OSError as error:  # a folder that was given is gone
            raise Refused(files.cannot_read(error)) from None
        return None

    def pages(self, document: Document) -> Iterator[Page]:
        """All pages of a document.

        Raises:
            Refused: It cannot be opened.
        """
        for page in self._reader.pages(document):
            if page.problem and page.number is None:
                raise Refused(page.problem)
            yield page

    def read(self, page: Page, record: Reading | None) -> bytes:
        """The bytes of a page, the same that were read.

        Raises:
            Refused: It has become another one, or was not read and cannot be.
        """
        item = self._reader.read(page)
        if record is not None and hashlib.sha256(item.data).hexdigest()[:DIGEST_DIGITS] != record["digest"]:
            raise Refused(CHANGED)
        if item.problem:
            raise Refused(item.problem)
        return item.data

    def path(self, document: Document) -> Path:
        """Where the bytes of a document lie.

        Raises:
            Refused: They cannot be unpacked from their archive.
        """
        try:
            return self._reader.path(document)
        except archives.Damaged as error:
            raise Refused(str(error)) from None


def is_pdf_name(document: Document) -> bool:
    """Whether a document's name ends as that of a PDF."""
    return document.name.lower().endswith(suffixes.PDF)
