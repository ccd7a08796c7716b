"""The documents of an input: its files, and the files in its zip archives; and where their bytes lie.

An archive is like a folder: ``phone.zip/IMG_1.jpg``. Documents are named as ``page_names.document`` writes them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import NamedTuple, Self

from splitters import MAX_ITEM_BYTES, Item, PassedOver, archives, files, page_names, pdf_cutter, pictures
from splitters.items import Chosen, Items
from splitters.suffixes import DOCUMENTS, ZIP

PDF_MARK = b"%PDF-"
HEAD_BYTES = 1024
"""A PDF has its mark among the first 1,024 bytes."""
IN_ARCHIVE = "holds an archive in an archive, which is not looked into"
MOST_ARCHIVES = 2
"""Archives that stay open: entries of one are read while the next one is looked into."""
MOST_UNPACKED = 4
"""Files that lie unpacked at a time, as pages are counted some documents before they are cut."""


class Document(NamedTuple):
    """A file to read, or one in an archive, or an item in memory."""

    name: str
    """As the items of its pages are named before the ``#``."""
    path: Path
    """Of the file, or of the archive that holds it."""
    entry: archives.Entry | None = None
    item: Item | None = None
    problem: str = ""
    """Why it cannot be read."""
    pages: tuple[int, ...] | None = None
    """The numbers of the pages that were chosen beforehand; None for all."""


def is_kind(head: bytes) -> bool:
    """Whether a file that begins so is read, whatever its name."""
    is_picture = pictures.HEADS.match(head) or pictures.HEIF_HEAD.match(head)
    return PDF_MARK in head or head.startswith(archives.HEADS) or is_picture is not None


def walk(source: Sequence[Path] | Items, passed_over: PassedOver | None = None) -> Iterator[files.Found]:
    """Every file under ``source`` that documents come from, an archive as one, under the names of documents."""
    for found in files.walk(source, DOCUMENTS, is_kind, passed_over):
        yield found if isinstance(source, Chosen) else found._replace(name=page_names.document(found.name))


def _found(source: Sequence[Path] | Items, passed_over: PassedOver | None) -> Iterator[Document]:
    if isinstance(source, Chosen):
        yield from (Document(one.name, one.path, pages=one.pages) for one in source.files)
        return
    for found in walk(source, passed_over):
        problem = found.item.problem if found.item else ""
        yield Document(found.name, found.path, item=found.item, problem=problem, pages=found.pages)


def _is_archive(path: Path, head: bytes) -> bool:
    """Whether it is to be looked into: by its name, too, as many a kind of file is a zip archive inside."""
    name = path.name
    return head.startswith(archives.HEADS) and (path.suffix.lower() == ZIP or files.is_without_suffix(name))


class Shelf:
    """Finds the documents of an input and brings their bytes to where they can be read. Use it in a ``with``.

    Holds the lists of ``MOST_ARCHIVES`` archives, and ``MOST_UNPACKED`` files of archives on disk.
    """

    def __init__(self) -> None:
        self._held = ExitStack()
        self._folder: Path | None = None
        self._numbers = count(1)
        self._unpacked: OrderedDict[str, Path] = OrderedDict()
        self._archives: OrderedDict[Path, archives.Archive] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._archives.values():
            archive.close()
        self._held.close()

    def documents(self, source: Sequence[Path] | Items, passed_over: PassedOver | None = None) -> Iterator[Document]:
        """Every document under ``source``, those in archives one by one; what cannot be read with its problem.

        Raises:
            OSError: A given root does not exist, or cannot be reached.
        """
        for one in _found(source, passed_over):
            if not one.problem and _is_archive(one.path, self.head(one)):
                yield from self._in_archive(one, passed_over or PassedOver())
            else:
                yield one

    def head(self, document: Document) -> bytes:
        """Its first ``HEAD_BYTES``; nothing of what cannot be read."""
        if document.item:
            return document.item.data[:HEAD_BYTES]
        if document.entry is None:
            return files.head(document.path, HEAD_BYTES)
        try:
            with self._opened(document.path).opened(document.entry) as stream:
                return stream.read(HEAD_BYTES)
        except (archives.Damaged, OSError):
            return b""

    def read(self, document: Document) -> Item:
        """The whole of it as one item, with its problem where it cannot be read."""
        name, entry = document.name, document.entry
        if document.problem:
            return Item(name, b"", document.problem)
        if document.item:
            return document.item._replace(name=name)
        if entry is None:
            return files.read(files.Found(name, document.path))
        if entry.info.file_size > MAX_ITEM_BYTES:
            return Item(name, b"", files.too_large(entry.info.file_size))
        try:
            with self._opened(document.path).opened(entry) as stream:
                return Item(name, stream.read())
        except archives.Damaged as error:
            return Item(name, b"", str(error))
        except OSError as error:
            return Item(name, b"", files.cannot_read(error))

    def path(self, document: Document) -> Path:
        """Where its bytes lie; unpacked first if need be, until ``MOST_UNPACKED`` others have been.

        Raises:
            archives.Damaged: It cannot be unpacked.
            OSError: It cannot be read, or the system's folder for temporary files has no room.
        """
        entry, item = document.entry, document.item
        if item is None and entry is None:
            return document.path
        if (known := self._unpacked.get(document.name)) is not None:
            self._unpacked.move_to_end(document.name)
            return known
        if entry and entry.info.file_size > pdf_cutter.MOST_BYTES:
            raise archives.Damaged(f"{entry.info.file_size:,} bytes is over the limit of {pdf_cutter.MOST_BYTES:,}")
        target = self._place() / str(next(self._numbers))
        self._unpacked[document.name] = target  # at once: what is half written is removed like the others
        if len(self._unpacked) > MOST_UNPACKED:
            self._unpacked.popitem(last=False)[1].unlink(missing_ok=True)
        if item:
            target.write_bytes(item.data)
        else:
            self._unpack(document, target)
        return target

    def _unpack(self, document: Document, target: Path) -> None:
        assert document.entry is not None  # noqa: S101 - else it needs no unpacking
        try:
            with self._opened(document.path).opened(document.entry) as stream, target.open("wb") as out:
                shutil.copyfileobj(stream, out, 2**20)
        except BaseException:
            del self._unpacked[document.name]
            target.unlink(missing_ok=True)
            raise

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = Path(self._held.enter_context(tempfile.TemporaryDirectory(prefix="cluster-pages-")))
        return self._folder

    def _in_archive(self, given: Document, passed_over: PassedOver) -> Iterator[Document]:
        try:
            path = self._archive_path(given)
            entries = self._opened(path).entries()
        except archives.Damaged as error:
            yield given._replace(problem=str(error))
            return
        except OSError as error:
            yield given._replace(problem=files.cannot_read(error))
            return
        for entry in entries:
            name = f"{given.name}/{page_names.document(entry.name)}"
            one = Document(name, path, entry, problem=entry.problem)
            suffix = Path(entry.name).suffix.lower()
            if suffix == ZIP:
                yield one._replace(problem=entry.problem or IN_ARCHIVE)
            elif suffix in DOCUMENTS or entry.problem:
                yield one
            elif files.is_without_suffix(entry.name) and is_kind(head := self.head(one)):
                yield one._replace(problem=IN_ARCHIVE if head.startswith(archives.HEADS) else "")
            else:
                passed_over.add(entry.name)

    def _archive_path(self, given: Document) -> Path:
        if given.item is None:
            return given.path
        path = self._place() / str(next(self._numbers))  # it stays as long as its entries may be read
        path.write_bytes(given.item.data)
        return path

    def _opened(self, path: Path) -> archives.Archive:
        if path in self._archives:
            self._archives.move_to_end(path)
            return self._archives[path]
        self._archives[path] = archives.Archive(path)
        if len(self._archives) > MOST_ARCHIVES:
            self._archives.popitem(last=False)[1].close()
        return self._archives[path]
