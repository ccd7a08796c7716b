"""When a round is closed without the parts that are missing."""

from __future__ import annotations

import math
import statistics
from collections import deque

ARRIVALS = 20
"""The deadline of a round follows from this many last parts."""
LEAST_S = 0.1
"""Least seconds that a deadline lies behind the median."""

FIRST_JOIN_S = 10.0
"""Seconds that sites have for joining parts, as long as none has."""
LEAST_JOIN_S = 2.0
"""Seconds that they have at least."""
JOIN_PATIENCE = 3
"""A site has so many times the seconds that are predicted for its join: its link may be slower than those of others."""


class Deadline:
    """The median of the last parts' seconds and 4 times their MAD, at least 1.2 times the seconds of work.

    The MAD is the median of the absolute deviations from the median (F. Hampel, 1974). A fixed deadline would have to
    be guessed for each network and each cluster.
    """

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=ARRIVALS)

    def learn(self, seconds: float) -> None:
        """A part came after this many seconds of its round."""
        self._last.append(seconds)

    def seconds(self, work_s: float | None) -> float:
        """Give the seconds of a round after which it is closed, once its quorum is there.

        Args:
            work_s: The seconds that its shards are to work for, if that was asked.
        """
        if not self._last:
            return math.inf
        median = statistics.median(self._last)
        mad = statistics.median(abs(each - median) for each in self._last)
        return max(1.2 * (work_s or 0.0), median + max(4 * mad, LEAST_S))


class JoinDeadline(Deadline):
    """The same for the second half of a round, which a site that fails must not hold up: its parts are on time, and
    lost without it. So it is more patient than one for shards, and never without limit."""

    def seconds(self, work_s: float | None) -> float:
        """See ``Deadline.seconds``; ``work_s`` are the predicted seconds of the slowest join."""
        found = super().seconds(None)
        learnt_s = max(LEAST_JOIN_S, 2 * found) if found < math.inf else FIRST_JOIN_S
        return max(learnt_s, JOIN_PATIENCE * (work_s or 0.0))


def least_parts(quorum: float, shards: int) -> int:
    """How many parts of so many shards a round needs to be closed at its deadline."""
    return max(1, math.ceil(quorum * shards))


def is_to_close(arrived: int, shards: int, quorum: float, age_s: float, deadline_s: float) -> bool:
    """Whether a round is closed: all parts have come, or its quorum and it is past its deadline.

    Args:
        arrived: Parts that have come, and turns that were given up.
        shards: Turns of the round.
        quorum: The share of them that it waits for in any case.
        age_s: Seconds since it was opened.
        deadline_s: See ``Deadline.seconds``.
    """
    return arrived >= shards or (arrived >= least_parts(quorum, shards) and age_s > deadline_s)
