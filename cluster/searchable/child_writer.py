"""Have documents written by a child process, which has limits and may crash."""

from __future__ import annotations

import pickle
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from aggregators import by_name
from aggregators.documents import Document
from cluster.searchable.writer import How, Written
from splitters import documents as input_documents
from splitters import page_names
from tasks import _child

PROGRAM = "cluster.searchable.child_program"
MEMORY_BYTES = 8 * 2**30
"""Of address space, into which qpdf maps the whole original. Pictures are held several times."""
CPU_S, PAGE_CPU_S = 120, 10
"""Seconds of CPU that a document may take, and each of its pages besides: usual is 0.005 s a page."""
BUSY_TIMES = 2.0
"""How many times that it may take in all: a busy machine gives the child a share only."""


class ChildWriter:
    """Writes documents as ``Writer`` does, in a child process that serves until the end of the ``with``.

    A document that ends it gets a problem, and the next one a new child.
    """

    def __init__(self, how: How) -> None:
        self._how = how
        self._held = ExitStack()

    def __enter__(self) -> Self:
        # A child that crashes leaves there what it has unpacked.
        folder = self._held.enter_context(
            tempfile.TemporaryDirectory(prefix="cluster-writer-", ignore_cleanup_errors=True)
        )
        self._child = _child.Child(lambda: PROGRAM, "write", "is damaged", {"TMPDIR": folder})
        self._held.callback(self._child.end)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def write(self, original: input_documents.Document, document: Document) -> Written:
        """Write one document; a file is there whole or not at all."""
        try:
            try:
                return self._ask(original, document)
            except _child.Interrupted:  # perhaps for want of memory, which may be there now
                return self._ask(original, document)
        except _child.Ended as error:
            return Written(None, str(error))
        except _child.Interrupted as error:
            return Written(None, f"cannot be written: {error}")

    def _ask(self, original: input_documents.Document, document: Document) -> Written:
        cpu_s = CPU_S + PAGE_CPU_S * len(document.pages)
        head = {"limits": {"cpu_s": cpu_s, "memory_bytes": MEMORY_BYTES}}
        asked = pickle.dumps((self._how, original, document))
        try:
            answer, _ = self._child.ask(head, asked, 0, time_s=cpu_s * BUSY_TIMES, cpu_s=cpu_s)
        except BaseException:
            self._remove_draft(document)
            raise
        path = None if answer["path"] is None else Path(answer["path"])
        return Written(**{**answer, "path": path})

    def _remove_draft(self, document: Document) -> None:
        with suppress(OSError, ValueError):
            bare = by_name.path_below(self._how.folder, page_names.path(document.name))
            bare.with_name(self._how.draft_name).unlink()
