"""The program that writes documents for a ``ChildWriter``: ``python -m cluster.searchable.child_program``.

A request is ``{"limits": {...}}`` and, pickled, a ``How``, an original and the ``Document`` that was read of it. The
answer is a ``Written`` as a head. Only the process that started it sends it requests, through a pipe of theirs.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from cluster.searchable.writer import Writer, Written, unwritten
from tasks import _child


class Program:
    """Writes the documents of one ``ChildWriter``."""

    def __init__(self, kind: type[Writer] = Writer) -> None:
        self._kind = kind
        self._held = ExitStack()
        self._writer: Writer | None = None

    def answer(self, head: Mapping[str, Any], body: bytes) -> _child.Answer:
        """Write a document."""
        limits = head["limits"]
        _child.limit(limits["cpu_s"], AS=limits["memory_bytes"])
        try:
            written = self._write(body)
        except Exception as error:  # noqa: BLE001 - of the file with passwords, or for want of memory
            written = unwritten(error)
        return {**written._asdict(), "path": written.path and str(written.path)}, b""

    def _write(self, body: bytes) -> Written:
        how, original, document = pickle.loads(body)  # noqa: S301 - from the process that started this one
        if self._writer is None:
            self._writer = self._held.enter_context(self._kind(how))
        return self._writer.write(original, document)


def get_ready() -> None:
    """Load what each document needs."""
    import pikepdf  # noqa: F401


if __name__ == "__main__":
    _child.serve(Program().answer, get_ready)
