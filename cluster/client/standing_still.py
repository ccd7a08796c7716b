"""Which files of a folder that is watched are whole: a scanner or a copy writes them over some time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.client.memory import Stamp
    from cluster.client.only_new import Wanted

STILL_S = 2.0
"""A file whose size and time have not changed for this many seconds is taken for whole."""


class StandingStill:
    """Remembers how files looked at each look at the folder."""

    def __init__(self) -> None:
        self.has_gone_on = False
        """Whether what a watch before this one has begun is done."""
        self._since: dict[str, tuple[Stamp, float]] = {}
        self._tried: dict[str, Stamp] = {}

    def ready(self, wanted: Iterable[Wanted], now_s: float) -> list[Wanted]:
        """The files that stand still and were not tried as they are.

        Args:
            wanted: All files that the output lacks.
            now_s: By a clock that only goes forward.
        """
        before, self._since = self._since, {}
        ready = []
        for one in wanted:
            name, stamp = one.choice.name, one.stamp
            if stamp is None or self._tried.get(name) == stamp:
                continue
            known, since_s = before.get(name, (stamp, now_s))
            self._since[name] = (stamp, since_s if known == stamp else now_s)
            if now_s - self._since[name][1] >= STILL_S:
                ready.append(one)
        return ready

    @property
    def is_waiting(self) -> bool:
        """Whether there are files that were not yet seen to stand still."""
        return bool(self._since)

    def tried(self, wanted: Iterable[Wanted]) -> None:
        """A run has read these. Those that failed are not read again before they change."""
        for one in wanted:
            if one.stamp is not None:
                self._tried[one.choice.name] = one.stamp
            self._since.pop(one.choice.name, None)
