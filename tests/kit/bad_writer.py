"""A program for ``searchable.child_writer`` that ends itself in the middle of documents of certain names; for tests."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from aggregators.documents import Document
from cluster.searchable import child_program, child_writer, overlay
from cluster.searchable.writer import Writer, Written
from splitters import documents
from tasks import _child


class BadWriter(Writer):
    """Leaves a draft, and then does what the document's name says."""

    def write(self, original: documents.Document, document: Document) -> Written:
        told = Path(document.name).stem
        if told == "environment":
            return Written(None, " ".join(sorted(os.environ)))
        if told in ("wait", "memory", "full") or told.startswith("SIG"):
            setattr(overlay, "save", lambda _, draft: _end(told, draft))  # noqa: B010 - mypy lets no function be replaced
        return super().write(original, document)


def _end(told: str, draft: Path) -> None:
    draft.write_bytes(b"half a document")
    if told == "wait":
        time.sleep(60)
    if told == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    if told == "memory":
        bytearray(2 * child_writer.MEMORY_BYTES)
    number = signal.Signals[told]
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    _child.serve(child_program.Program(BadWriter).answer, child_program.get_ready)
