"""Cut documents into pages: each page of a PDF or a TIFF is an item of its own, and each other picture.

Items are named as ``page_names`` says: ``book.pdf#0017``, ``letter.jpg``, ``phone.zip/scan.tif#0002``. A PDF's page
travels as a PDF of one page, a TIFF's as a TIFF of one, anything else as it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Self

from splitters import (
    Chunk,
    Item,
    PassedOver,
    archives,
    documents,
    files,
    page_names,
    page_ranges,
    pdf_cutter,
    pictures,
    suffixes,
    tiff_frames,
)
from splitters.documents import Document
from splitters.items import Items

MOST_OPEN = 4
"""TIFFs that stay open, as pages are counted some documents before they are cut."""
MOST_PASSWORDS = 100
Kind = Literal["pdf", "tiff", "whole"]


class Page(NamedTuple):
    """A page that was found, and is not read yet."""

    document: Document
    kind: Kind
    number: int | None
    """None where the item is the whole document."""
    problem: str = ""

    @property
    def name(self) -> str:
        """The item's name."""
        return self.document.name if self.number is None else page_names.page(self.document.name, self.number)


def split(
    source: Sequence[Path] | Items, *, chunk_size: int = 4, pages: str | None = None, password_file: str | None = None,
    passed_over: PassedOver | None = None,
) -> Iterator[Chunk]:  # fmt: skip
    """Yield chunks of up to ``chunk_size`` pages, dealt as ``pictures.split`` deals pictures.

    Args:
        source: Files and folders, or items in memory. Zip archives are folders, too.
        chunk_size: In pages.
        pages: Which pages of PDFs and of TIFFs with several, as ``page_ranges.parse`` takes them.
        password_file: A file with the passwords of encrypted PDFs.
        passed_over: Counts the files that are left out.

    A page that cannot be read is an item with its problem, and so is a whole document. The same input gives the same
    bytes. Holds one chunk; PDFs are cut by a child process.

    Raises:
        NothingToSplit: No page under ``source``.
        ValueError: ``pages`` or ``password_file`` cannot be understood.
    """
    passed_over = passed_over or PassedOver()
    with Reader(pages, password_file) as reader:
        walking = reader.walk(source, passed_over)
        what = "pages" if pages is None else f"pages {pages}"
        yield from pictures.deal(
            walking, reader.read, source, chunk_size, passed_over, what, suffixes.in_words(suffixes.DOCUMENTS)
        )


def count(source: Sequence[Path] | Items, *, pages: str | None = None, password_file: str | None = None) -> int:
    """How many items ``split`` will give, without reading a page: it opens each document."""
    with Reader(pages, password_file) as reader:
        return sum(1 for _ in reader.walk(source))


def look(
    source: Sequence[Path] | Items, *, pages: str | None = None, password_file: str | None = None,
    passed_over: PassedOver | None = None,
) -> Iterator[files.Seen]:  # fmt: skip
    """Every item that ``split`` will give, without reading a page: it opens each document."""
    with Reader(pages, password_file) as reader:
        for page in reader.walk(source, passed_over):
            yield files.Seen(page.name, page.document.path, page.problem)


def prepare(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a run for those given: a file with passwords is found from any folder then.

    Raises:
        ValueError: The pages, or the passwords, cannot be understood.
        OSError: The file cannot be read.
    """
    page_ranges.parse(given.get("pages"))
    if not (file := given.get("password_file")):
        return given
    passwords(file)
    return {**given, "password_file": str(Path(file).absolute())}


def passwords(file: str | None) -> list[str]:
    """The lines of a file with passwords, without their ends.

    Raises:
        ValueError: It is no text in UTF-8, or has more than ``MOST_PASSWORDS``.
        OSError: It cannot be read.
    """
    if file is None:
        return []
    try:
        found = [line for line in Path(file).read_text(encoding="utf-8-sig").splitlines() if line]
    except UnicodeDecodeError:
        raise ValueError(f"--password-file {file} is no text in UTF-8") from None
    if not 0 < len(found) <= MOST_PASSWORDS:
        raise ValueError(f"--password-file {file} has {len(found)} passwords; 1 to {MOST_PASSWORDS} are tried")
    return found


class Reader:
    """Finds the pages of documents, and reads them. Use it in a ``with``.

    Args:
        pages: As for ``split``.
        password_file: As for ``split``.

    Raises:
        ValueError: As ``split``.
    """

    def __init__(self, pages: str | None = None, password_file: str | None = None) -> None:
        self._ranges = page_ranges.parse(pages)
        self._held = ExitStack()
        self._cutter = self._held.enter_context(pdf_cutter.Cutter(passwords(password_file)))
        self._shelf = self._held.enter_context(documents.Shelf())
        self._tiffs: OrderedDict[str, tuple[BinaryIO, list[tiff_frames.Directory]]] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
        for stream, _directories in self._tiffs.values():
            stream.close()

    def walk(self, source: Sequence[Path] | Items, passed_over: PassedOver | None = None) -> Iterator[Page]:
        """Every page under ``source``, in order."""
        for document in self._shelf.documents(source, passed_over):
            yield from self.pages(document)

    def documents(self, source: Sequence[Path] | Items) -> Iterator[Document]:
        """Every document under ``source``, in order: see ``documents.Shelf``."""
        return self._shelf.documents(source)

    def path(self, document: Document) -> Path:
        """Where the bytes of a document lie: see ``documents.Shelf``."""
        return self._shelf.path(document)

    def pages(self, document: Document) -> Iterator[Page]:
        """The wanted pages of a document; one with its problem where it cannot be opened."""
        kind = "whole" if document.problem else self._kind(document)
        try:
            if kind == "pdf":
                yield from self._pdf_pages(document)
            elif kind == "tiff":
                yield from self._tiff_pages(document)
            else:
                yield Page(document, "whole", None, document.problem)
        except (pdf_cutter.Damaged, archives.Damaged) as error:
            yield Page(document, "whole", None, str(error))
        except OSError as error:
            yield Page(document, "whole", None, files.cannot_read(error))

    def read(self, page: Page) -> Item:
        """The page as an item, with its problem where it cannot be read."""
        if page.problem:
            return Item(page.name, b"", page.problem)
        if page.number is None:
            return self._shelf.read(page.document)
        try:
            if page.kind == "pdf":
                return Item(page.name, self._cutter.cut(self._shelf.path(page.document), page.number))
            stream, directories = self._tiff(page.document)
            return Item(page.name, tiff_frames.cut(stream, directories[page.number - 1]))
        except IndexError:
            return Item(page.name, b"", "the file was changed while it was read")
        except (pdf_cutter.Damaged, archives.Damaged, tiff_frames.Damaged, tiff_frames.CannotCut) as error:
            return Item(page.name, b"", str(error))
        except OSError as error:
            return Item(page.name, b"", files.cannot_read(error))

    def _kind(self, document: Document) -> Kind:
        head = self._shelf.head(document)
        if documents.PDF_MARK in head:
            return "pdf"
        if head.startswith(tiff_frames.HEADS):
            return "tiff"
        name = document.entry.name if document.entry else document.path.name
        return "pdf" if Path(name).suffix.lower() == suffixes.PDF and not pictures.is_kind(head) else "whole"

    def _pdf_pages(self, document: Document) -> Iterator[Page]:
        found = self._cutter.count(self._shelf.path(document))
        for number in self._wanted(document, found.number):
            yield Page(document, "pdf", number)
        if found.missing and self._wanted(document, found.number + 1)[-1:] == [found.number + 1]:
            yield Page(document, "pdf", found.number + 1, found.missing)

    def _tiff_pages(self, document: Document) -> Iterator[Page]:
        stream, directories = self._tiff(document)
        if len(directories) > tiff_frames.MOST_PAGES:
            raise pdf_cutter.Damaged(f"has more than {tiff_frames.MOST_PAGES:,} pages")
        try:
            if len(directories) > 1:
                tiff_frames.check(stream, directories)
        except tiff_frames.CannotCut:
            directories = []
        if len(directories) < 2:
            yield Page(document, "whole", None)
            return
        for number in self._wanted(document, len(directories)):
            yield Page(document, "tiff", number)

    def _tiff(self, document: Document) -> tuple[BinaryIO, list[tiff_frames.Directory]]:
        if document.name in self._tiffs:
            self._tiffs.move_to_end(document.name)
            return self._tiffs[document.name]
        with files.reached(self._shelf.path(document)) as near:
            stream = near.open("rb")
        self._tiffs[document.name] = stream, tiff_frames.pages(stream)
        if len(self._tiffs) > MOST_OPEN:
            self._tiffs.popitem(last=False)[1][0].close()
        return self._tiffs[document.name]

    def _wanted(self, document: Document, number: int) -> list[int]:
        wanted = page_ranges.of(self._ranges, number)
        return list(wanted if document.pages is None else sorted({*wanted} & {*document.pages}))
