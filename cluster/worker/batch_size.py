"""How many requests a replica takes at once: as many as join well, and no more than it does soon."""

from __future__ import annotations

MOST_REQUESTS = 32
ADDED_S = 0.25
"""Requests that are taken with a first one add no more than this time, so that other replicas have their share."""
WEIGHT = 0.25
"""Of the newest time in the mean."""


class BatchSize:
    """Learns what a request costs, alone and beside others.

    Only the time that a request adds to a batch counts: a model that takes 0.3 s for one request as for 32 takes 32.

    Args:
        one_s: The time of one request, where it is known.
    """

    def __init__(self, one_s: float | None = None) -> None:
        self._one_s = one_s
        self._added_s: float | None = None

    @property
    def most(self) -> int:
        """How many to take; one until its time is known, then two at least, to learn what the second one adds."""
        if self._one_s is None:
            return 1
        return max(2, _fit(self._one_s)) if self._added_s is None else _fit(self._added_s)

    def saw(self, number: int, took_s: float) -> None:
        """Learn from a batch of ``number`` requests, at least 1."""
        if number == 1:
            self._one_s = took_s if self._one_s is None else _mean(self._one_s, took_s)
        else:
            one_s = took_s / number if self._one_s is None else self._one_s
            added_s = max(0.0, took_s - one_s) / (number - 1)
            self._added_s = added_s if self._added_s is None else _mean(self._added_s, added_s)


def _fit(each_s: float) -> int:
    return MOST_REQUESTS if each_s * MOST_REQUESTS <= ADDED_S else 1 + int(ADDED_S / each_s)


def _mean(before: float, newest: float) -> float:
    return before + WEIGHT * (newest - before)
