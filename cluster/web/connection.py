"""A browser's connection: as the gateway's, but a body may take as long as pieces of it come.

Who gives up a body that stands still: ``receive.pieces`` and ``app``.
"""

from __future__ import annotations

from typing import ClassVar

from cluster.gateway import connection
from cluster.web.problems import ProblemBody


class Connection(connection.Connection):
    """One connection."""

    KIND: ClassVar[bytes] = b"application/problem+json"
    _is_used = False
    _is_body_due = False

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_used = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its headers have come."""
        super().on_headers_complete()
        self._is_body_due, self._began_s = True, 0.0

    def on_message_complete(self) -> None:
        """All has come."""
        self._is_body_due = False
        super().on_message_complete()

    def look(self, now_s: float) -> None:
        """Close the connection if headers do not come, or nobody reads the body that does."""
        if self._is_body_due and not self._began_s and self.cycle.response_complete:
            self._began_s = now_s
        super().look(now_s)

    def _refuse(self, status: int, message: str) -> None:
        if self._is_used:
            super()._refuse(status, message)
        else:  # browsers connect beforehand: the next request would take what is said now for its answer
            self.transport.close()

    def _told(self, status: int, message: str) -> bytes:
        return ProblemBody(status=status, detail=message).model_dump_json().encode()
