"""Wrong links and tokens of late: an address that sends many has to wait, so that none is found by trying."""

from __future__ import annotations

import time
from collections import deque

from cluster.web.problems import Problem

MOST_FAILURES, WITHIN_S = 10, 60.0
MOST_ADDRESSES = 10_000


class Failures:
    """Wrong secrets of late, by the address that they came from."""

    def __init__(self) -> None:
        self._at_s: dict[str, deque[float]] = {}

    def require_few(self, address: str) -> None:
        """See that an address has not failed too often.

        Raises:
            Problem: It has (429).
        """
        failed = self._at_s.get(address)
        now_s = time.monotonic()
        while failed and now_s - failed[0] > WITHIN_S:
            failed.popleft()
        if failed and len(failed) >= MOST_FAILURES:
            wait_s = int(WITHIN_S - (now_s - failed[0])) + 1
            raise Problem(
                429, f"{MOST_FAILURES} wrong links or tokens came from {address or 'you'} within a minute: try again"
                f" in {wait_s} s", {"Retry-After": str(wait_s)},
            )  # fmt: skip

    def note(self, address: str) -> None:
        """A secret of this address was wrong."""
        if address not in self._at_s and len(self._at_s) >= MOST_ADDRESSES:
            self._at_s.pop(next(iter(self._at_s)))
        self._at_s.setdefault(address, deque(maxlen=MOST_FAILURES)).append(time.monotonic())
