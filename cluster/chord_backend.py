"""Celery's Redis result backend as far as chords need it: it counts headers, and waits for nobody."""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend


class ChordBackend(RedisBackend):  # type: ignore[misc]
    """Keeps a submitter from subscribing to the result of each task it sends.

    Celery subscribes to every header of a chord, one round trip and one pending result each, for
    a ``get()`` that nobody calls here: whoever waits for a run looks at its ledger.
    """

    def add_pending_result(self, result: Any, weak: bool = False) -> Any:
        """Nothing is pending."""
        return result

    def remove_pending_result(self, result: Any) -> Any:
        """Nothing was pending."""
        return result
