"""Celery's Redis result backend as far as chords need it: it counts headers, and waits for nobody but Redis."""

from __future__ import annotations

from typing import Any

import redis
from celery.backends.redis import RedisBackend

from cluster import redis_client, redis_outage, redis_url


class ChordBackend(RedisBackend):  # type: ignore[misc]
    """Keeps a submitter from subscribing to the result of each task it sends, and connects as all others here do.

    Celery subscribes to every header of a chord, one round trip and one pending result each, for
    a ``get()`` that no code here calls: clients wait for a run by reading its ledger.
    """

    def add_pending_result(self, result: Any, weak: bool = False) -> Any:
        """Nothing is pending."""
        return result

    def remove_pending_result(self, result: Any) -> Any:
        """Nothing was pending."""
        return result

    def on_chord_part_return(self, *arguments: Any, **named: Any) -> None:
        """Count a header. Where the worker stops and Redis is away, the supervisor will find the batch complete."""
        try:
            with redis_outage.interruptible():
                super().on_chord_part_return(*arguments, **named)
        except redis.RedisError:
            if not redis_outage.given_up.is_set():
                raise

    def as_uri(self, include_password: bool = False) -> str:
        """Where it is, for people."""
        return str(self.url) if include_password else redis_url.masked(self.url)

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> dict[str, Any]:
        """The URL is for ``redis_client``, which knows forms that Celery's backends do not."""
        return defaults

    def _create_client(self, **_: Any) -> redis.Redis:
        return redis_client.connect(self.url, patient=self._transport_options["patient"])
