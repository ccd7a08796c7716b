"""When a round is closed without the parts that are missing."""

from __future__ import annotations

import math
import statistics
from collections import deque

ARRIVALS = 20
"""The deadline of a round follows from this many last parts."""
LEAST_S = 0.15
"""Least seconds that a deadline lies behind the median."""


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
