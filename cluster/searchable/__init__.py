"""Write the documents of a run as PDFs that can be searched: each original, with what was read laid over it unseen.

``write`` is the writer of the format ``pdf``. Documents are found in the input (``originals``); pictures become pages
(``picture_pages``); words are laid over pages (``overlay``) as text (``text_layer``) in their own space (``space``), in
a font of ours (``font``), in place of text that earlier runs and other programs have laid (``earlier``). Signed
documents are left alone (``signatures``).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from aggregators import by_name, documents
from aggregators.documents import Document
from aggregators.readings import Reading
from cluster.searchable import originals, overlay, picture_pages
from cluster.searchable.originals import Originals
from cluster.searchable.overlay import Refused
from splitters import documents as input_documents
from splitters import files, page_names
from splitters.items import Items
from splitters.pages import Page
from tasks import pictures

if TYPE_CHECKING:
    import pikepdf

log = logging.getLogger(__name__)
PICTURES = input_documents.SUFFIXES - {input_documents.PDF, input_documents.ZIP}


def write(
    parts: Iterable[Mapping[str, Reading | None]], folder: Path, *, source: Sequence[Path] | Items,
    pages_of: Callable[[str], int | None] | None = None, wrote: Callable[[str, Path], None] | None = None,
    text: str = "skip", break_signatures: bool = False, password_file: str | None = None,
) -> None:  # fmt: skip
    """Write ``folder/<name>`` of each PDF that was read, and ``folder/<name>.pdf`` of each picture.

    A file is there whole or not at all; one that is there already is replaced, but never one of the input. A document
    of which no page was read gets none. A page that was not read stays as it is.

    Args:
        parts: Records by item, each item once, with the places of words; those of a document one after another, or
            with ``pages_of`` in any order.
        folder: The output folder.
        source: The input as it was submitted, which is read once more.
        pages_of: See ``aggregators.documents.grouped``.
        wrote: Called with the name of each document and the path of its file, once that is there.
        text: The run's option. ``redo`` and ``force`` take invisible text of other programs away, too.
        break_signatures: The run's option; without it a signed PDF is left out.
        password_file: The run's option. What was encrypted is written without.

    Raises:
        by_name.NotAllWritten: Some documents could not be written, or were changed since; all others were.
        OSError: The disk is full, say: the others are not tried.

    Holds one document, and the packed pages of those that are not whole. PDFs are taken apart and put together by
    qpdf, in this process, and pictures by Pillow where PDF has no such form.
    """
    problems: list[str] = []
    draft_name = f".cluster-draft-{secrets.token_hex(4)}.part"  # another one may be writing to the same folder
    with Originals(source, password_file) as found:
        writer = _Writer(found, folder, draft_name, others=text != "skip", break_signatures=break_signatures)
        for document in documents.grouped(parts, pages_of):
            if not any(record is not None for record in document.pages.values()):
                continue
            try:
                path = writer.write(document)
            except (Refused, pictures.UnreadablePicture, ValueError) as error:
                problems.append(f"{document.name}: {error}")
            except OSError as error:
                if error.errno in by_name.NO_PLACE:
                    raise OSError(error.errno, error.strerror, str(folder)) from None
                problems.append(f"{document.name}: cannot be written: {error.strerror or error}")
            except Exception as error:  # noqa: BLE001 - one document's damage must not keep the others from being written
                problems.append(f"{document.name}: is damaged: {error or type(error).__name__}")
            else:
                if wrote is not None:
                    wrote(document.name, path)
    if problems:
        raise by_name.NotAllWritten(problems)


class _Writer:
    def __init__(
        self, found: Originals, folder: Path, draft_name: str, *, others: bool, break_signatures: bool
    ) -> None:  # fmt: skip
        self._originals = found
        self._folder = folder
        self._draft_name = draft_name
        self._others = others
        self._break_signatures = break_signatures

    def write(self, document: Document) -> Path:
        """Write one document; gives where.

        Raises:
            Refused, pictures.UnreadablePicture: It cannot be; the message says why.
            OSError: The output cannot be written.
        """
        original = self._originals.find(document.name)
        bare = by_name.path_below(self._folder, page_names.path(document.name))
        pages = self._originals.pages(original)
        first = next(pages, None)
        if first is None:
            raise Refused(overlay.CHANGED)
        is_pdf = first.kind == "pdf"
        path = bare if is_pdf and originals.is_pdf_name(original) else bare.with_name(f"{bare.name}.pdf")
        _check_is_no_input(original, path)
        draft = path.with_name(self._draft_name)
        with by_name.drafted(self._folder, path, draft), ExitStack() as held:
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

        self._lay_and_save(document, pdf, read_again(), draft)
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
                    self._tell(document, f"page {page.number} is not in the PDF: {error}")
                    continue
                for sheet in sheets:
                    pdf.pages.extend(sheet.pages)
                yield len(pdf.pages), record if len(sheets) == 1 else None

        self._lay_and_save(document, pdf, made(), draft)

    def _lay_and_save(
        self, document: Document, pdf: pikepdf.Pdf, read: Iterable[tuple[int, Reading | None]], draft: Path
    ) -> None:  # fmt: skip
        told = overlay.lay(pdf, read, others=self._others, break_signatures=self._break_signatures)
        overlay.save(pdf, draft)
        for clause in told:
            self._tell(document, clause)

    @staticmethod
    def _tell(document: Document, clause: str) -> None:
        log.warning("%s: %s", document.name, clause, extra={"event": "document-changed"})


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
