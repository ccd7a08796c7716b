"""Write one document as a PDF that can be searched, in the process that calls it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from aggregators import by_name
from aggregators.documents import Document
from aggregators.readings import Reading
from cluster.searchable import originals, overlay, picture_pages
from cluster.searchable.originals import Originals
from cluster.searchable.overlay import Refused, Signed
from splitters import documents as input_documents
from splitters import files, page_names, suffixes
from splitters.pages import Page
from tasks import pictures

if TYPE_CHECKING:
    import pikepdf

PICTURES = suffixes.PICTURES | suffixes.HEIF


class How(NamedTuple):
    """How all documents of a run are written."""

    folder: Path
    """The output folder."""
    draft_name: str
    """Of the file beside each document's that is written first."""
    others: bool
    """Whether invisible text of other programs goes, too."""
    break_signatures: bool
    password_file: str | None


class Written(NamedTuple):
    """What became of a document."""

    path: Path | None
    """Where it is; None where it could not be written."""
    problem: str = ""
    """Why it could not, or ""."""
    left_alone: bool = False
    """Whether that is on purpose: with the same options it will not be written the next time either."""
    told: Sequence[str] = ()
    """What is to be told about it, a clause each."""
    no_place: int = 0
    """One of ``by_name.NO_PLACE`` where the disk is at fault, and not the document; else 0."""


class Writer:
    """Writes documents one after the other. Use it in a ``with``.

    Raises:
        ValueError, OSError: The passwords cannot be read.
    """

    def __init__(self, how: How) -> None:
        self._how = how
        self._originals = Originals((), how.password_file)
        self._told: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._originals.__exit__(*error)

    def write(self, original: input_documents.Document, document: Document) -> Written:
        """Write one document; a file is there whole or not at all."""
        self._told = []
        try:
            written = Written(self._write(original, document))
        except Exception as error:  # noqa: BLE001 - one document's damage must not keep the others from being written
            written = unwritten(error)
        return written._replace(told=self._told)

    def _write(self, original: input_documents.Document, document: Document) -> Path:
        bare = by_name.path_below(self._how.folder, page_names.path(document.name))
        pages = self._originals.pages(original)
        first = next(pages, None)
        if first is None:
            raise Refused(overlay.CHANGED)
        is_pdf = first.kind == "pdf"
        path = bare if is_pdf and originals.is_pdf_name(original) else bare.with_name(f"{bare.name}.pdf")
        _check_is_no_input(original, path)
        draft = path.with_name(self._how.draft_name)
        with by_name.drafted(self._how.folder, path, draft), ExitStack() as held:
            if is_pdf:
                self._write_pdf(document, first, draft, held)
            else:
                self._write_pictures(document, [first, *pages], draft, held)
        return path

    def _write_pdf(self, document: Document, first: Page, draft: Path, held: ExitStack) -> None:
        if document.pages.get(None) is not None:  # it was one item, so another thing than a PDF
            raise Refused(overlay.CHANGED)
        path = held.enter_context(files.reached(self._originals.path(first.document)))
        before = _state(path)
        pdf = held.enter_context(overlay.opened(path, self._originals.passwords))

        def read_again() -> Iterator[tuple[int, Reading | None]]:
            for number, record in document.pages.items():
                if number is None:
                    continue
                if record is not None:
                    self._originals.read(first._replace(number=number), record)
                yield number, record

        self._lay_and_save(pdf, read_again(), draft)
        if _state(path) != before:
            raise Refused(overlay.CHANGED)

    def _write_pictures(self, document: Document, pages: Sequence[Page], draft: Path, held: ExitStack) -> None:
        import pikepdf

        records = document.pages
        read = {number for number in records if number is not None or records[number] is not None}
        if not read <= {page.number for page in pages}:
            raise Refused(overlay.CHANGED)
        pdf = held.enter_context(pikepdf.new())

        def made() -> Iterator[tuple[int, Reading | None]]:
            for page in pages:
                record = records.get(page.number)
                try:
                    data = self._originals.read(page, record)
                    sheets = [held.enter_context(sheet) for sheet in picture_pages.make(data, record)]
                except (Refused, pictures.UnreadablePicture) as error:
                    if record is not None:
                        raise
                    self._told.append(f"page {page.number} is not in the PDF: {error}")
                    continue
                for sheet in sheets:
                    pdf.pages.extend(sheet.pages)
                yield len(pdf.pages), record if len(sheets) == 1 else None

        self._lay_and_save(pdf, made(), draft)

    def _lay_and_save(self, pdf: pikepdf.Pdf, read: Iterable[tuple[int, Reading | None]], draft: Path) -> None:
        told = overlay.lay(pdf, read, others=self._how.others, break_signatures=self._how.break_signatures)
        overlay.save(pdf, draft)
        self._told += told


def unwritten(error: Exception) -> Written:
    """Say why a document was not written."""
    if isinstance(error, ValueError):  # also those of ours
        return Written(None, str(error), isinstance(error, Signed))
    if isinstance(error, OSError):
        no_place = error.errno if error.errno in by_name.NO_PLACE else None
        return Written(None, f"cannot be written: {error.strerror or error}", no_place=no_place or 0)
    if isinstance(error, MemoryError):
        return Written(None, "takes too much memory to write")
    return Written(None, f"is damaged: {error or type(error).__name__}")


def _state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _check_is_no_input(original: input_documents.Document, path: Path) -> None:
    """See that what is written takes the place of no file of the input, nor of what is written of another one.

    Raises:
        Refused: It would.
    """
    if original.item is not None or original.entry is not None:
        return
    with files.reached(original.path) as near:
        if path.exists() and path.samefile(near):
            raise Refused("would be replaced by what is written; give another output folder")
        twin = near.with_suffix("")
        if path.name == near.name and twin.suffix.lower() in PICTURES and twin.is_file():
            raise Refused(f"what is written of {twin.name} has its name; rename one of the two")
