"""Write the documents of a run as PDFs that can be searched: each original, with what was read laid over it unseen.

``write`` is the writer of the format ``pdf``. Documents are found in the input (``originals``); pictures become pages
(``picture_pages``); words are laid over pages (``overlay``) as text (``text_layer``) in their own space (``space``), in
a font of ours (``font``), in place of text that earlier runs and other programs have laid (``earlier``). Signed
documents are left alone (``signatures``). Each document is written (``writer``) in a child process (``child_writer``),
so that one that ends its writer costs no other.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from aggregators import by_name, documents
from aggregators.readings import Reading
from cluster.searchable.child_writer import ChildWriter
from cluster.searchable.originals import Originals
from cluster.searchable.writer import How, Writer, unwritten
from splitters.items import Items

log = logging.getLogger(__name__)
WRITER: type[ChildWriter | Writer] = ChildWriter
"""What writes the documents. ``Writer`` does in this process what ``ChildWriter`` has a child do."""


def write(
    parts: Iterable[Mapping[str, Reading | None]], folder: Path, *, source: Sequence[Path] | Items,
    pages_of: Callable[[str], int | None] | None = None, wrote: Callable[[str, Path | None], None] | None = None,
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
        wrote: Called with the name of each document and the path of its file, once that is there, or None of one that
            is signed.
        text: The run's option. ``redo`` and ``force`` take invisible text of other programs away, too.
        break_signatures: The run's option; without it a signed PDF is left out.
        password_file: The run's option. What was encrypted is written without.

    Raises:
        by_name.NotAllWritten: Some documents could not be written, or were changed since; all others were.
        OSError: The disk is full, say: the others are not tried.

    Holds one document, and the packed pages of those that are not whole. PDFs are taken apart and put together by
    qpdf, and pictures by Pillow where PDF has no such form, in a child process, which a document may end.
    """
    problems: list[str] = []
    draft_name = f".cluster-draft-{secrets.token_hex(4)}.part"  # another one may be writing to the same folder
    how = How(folder, draft_name, text != "skip", break_signatures, password_file)
    with Originals(source, password_file) as found, WRITER(how) as writer:
        for document in documents.grouped(parts, pages_of):
            if not any(record is not None for record in document.pages.values()):
                continue
            try:
                written = writer.write(found.find(document.name), document)
            except Exception as error:  # noqa: BLE001 - what is wrong with one must not keep others from being written
                written = unwritten(error)
            for clause in written.told:
                log.warning("%s: %s", document.name, clause, extra={"event": "document-changed"})
            if written.no_place:
                raise OSError(written.no_place, os.strerror(written.no_place), str(folder))
            if written.path is None:
                problems.append(f"{document.name}: {written.problem}")
            if wrote is not None and (written.path is not None or written.left_alone):
                wrote(document.name, written.path)
    if problems:
        raise by_name.NotAllWritten(problems)
