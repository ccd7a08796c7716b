"""Write pages that were read into a folder, a file a document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from aggregators import by_name, documents, page_layout, readings_alto, readings_hocr, readings_tsv
from aggregators.documents import Document
from aggregators.readings import Reading
from splitters import page_names

Parts = Iterable[Mapping[str, Reading | None]]
PagesOf = Callable[[str], int | None]
Wrote = Callable[[str, Path], None]
Render = Callable[[Document], Iterator[bytes]]
MOST_PAGES = 20_000
"""Pages that may be missing at one place: items that a program gives may have any number."""


def write_texts(
    parts: Parts,
    folder: Path,
    pages_of: PagesOf | None = None,
    wrote: Wrote | None = None,
    pages: str | None = None,
) -> None:
    """Write the text of each document to ``folder/<name>.txt``, with a form feed between pages.

    A page that is missing is empty, so that the others keep their places; those behind the last one that was read are
    left out. A document without a page that was read gets no file.

    Args:
        parts: Records by item, each item once; those of a document one after another, or with ``pages_of`` in any
            order.
        folder: The output folder.
        pages_of: See ``documents.grouped``.
        wrote: Called with the name of each document, as items have it, and the path of its file, once that is there.
        pages: The run's option: where only some pages were to be read, the others have no places.

    Raises:
        ValueError: As ``by_name.write_files``.
    """
    _write(parts, folder, pages_of, wrote, ".txt", lambda document: _texts(document, has_all=pages is None))


def write_hocr(parts: Parts, folder: Path, pages_of: PagesOf | None = None, wrote: Wrote | None = None) -> None:
    """Write ``folder/<name>.hocr`` for each document: see ``write_texts`` and ``readings_hocr``."""
    _write(parts, folder, pages_of, wrote, ".hocr", readings_hocr.render)


def write_alto(parts: Parts, folder: Path, pages_of: PagesOf | None = None, wrote: Wrote | None = None) -> None:
    """Write ``folder/<name>.alto.xml`` for each document: see ``write_texts`` and ``readings_alto``."""
    _write(parts, folder, pages_of, wrote, ".alto.xml", readings_alto.render)


def write_tsv(parts: Parts, folder: Path, pages_of: PagesOf | None = None, wrote: Wrote | None = None) -> None:
    """Write ``folder/<name>.tsv`` for each document: see ``write_texts`` and ``readings_tsv``."""
    _write(parts, folder, pages_of, wrote, ".tsv", readings_tsv.render)


def _write(
    parts: Parts, folder: Path, pages_of: PagesOf | None, wrote: Wrote | None, suffix: str, render: Render
) -> None:  # fmt: skip
    read = (document for document in documents.grouped(parts, pages_of) if any(page_layout.pages(document)))
    files = ((page_names.path(document.name), suffix, render(document)) for document in read)
    tell = None if wrote is None else lambda path, file: wrote(page_names.document(path), file)
    by_name.write_files(folder, files, tell)


def _texts(document: Document, *, has_all: bool) -> Iterator[bytes]:
    last = 0
    for number, record in page_layout.pages(document):
        ends = number - (last or 1) if has_all else int(last > 0)
        yield b"\f" * min(ends, MOST_PAGES) + record["text"].encode()
        last = number
