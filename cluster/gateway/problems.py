"""What is wrong with a request, as its client is told: a status of HTTP and a sentence."""

from __future__ import annotations

AWAY_RETRY_S = 1
"""Seconds after which a client may ask again when Redis is away or no replica is ready."""


class Problem(Exception):
    """A request has no answer.

    Args:
        status: Of HTTP.
        message: Says what is wrong, the offending value, and what to do.
        retry_after_s: When it may be worth asking again; None where it is not.
    """

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s


class Gone(Exception):
    """The client hung up: nobody waits for the answer."""


def wrong(message: str) -> Problem:
    """The request is not what it must be (400)."""
    return Problem(400, message)


def unavailable(message: str, retry_after_s: int = AWAY_RETRY_S) -> Problem:
    """It cannot be answered now (503)."""
    return Problem(503, message, retry_after_s)
