"""Transfers over links that they share, in virtual time.

Transfers that go over one link at once share it fairly, as connections of TCP do on the whole: what one cannot use as
it is held up elsewhere, the others get (max-min fairness: Bertsekas & Gallager, "Data Networks", 1992, 6.5.2). A
transfer flows through all links of its way at once, as fast as the narrowest lets it.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simpy import Environment, Event

LEAST_BYTES_S = 1e-3
REST_BYTES = 1e-3
"""With less left a transfer is done: numbers are rounded."""


class Line:
    """One direction of a link."""

    def __init__(self, name: str, bytes_s: float, latency_s: float) -> None:
        self.name = name
        self.bytes_s = bytes_s
        self.latency_s = latency_s
        self.sent_bytes = 0
        self.busy_s = 0.0
        """Seconds in which something went over it."""
        self.flows: dict[_Flow, None] = {}


class _Flow:
    def __init__(self, lines: Sequence[Line], size_bytes: float, done: Event) -> None:
        self.lines = lines
        self.left_bytes = size_bytes
        self.rate = 0.0
        self.done = done


class Links:
    """All transfers that are under way."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._flows: dict[_Flow, None] = {}
        self._moved_at = 0.0
        self._round = 0
        self._is_dirty = False

    def transfer(self, lines: Sequence[Line], size_bytes: int) -> Generator[Event, Any, None]:
        """Send bytes over lines, one after the other; ends when the last one has come."""
        for line in lines:
            line.sent_bytes += size_bytes
        narrow = [line for line in lines if line.bytes_s < math.inf]
        if size_bytes > 0 and narrow:
            flow = _Flow(narrow, size_bytes, self._env.event())
            self._move()
            self._flows[flow] = None
            for line in narrow:
                line.flows[flow] = None
            self._share_soon()
            yield flow.done
        latency_s = sum(line.latency_s for line in lines)
        if latency_s:
            yield self._env.timeout(latency_s)

    def _share_soon(self) -> None:
        """Share anew once all that begins at this moment has begun."""
        if not self._is_dirty:
            self._is_dirty = True
            self._env.process(self._share())

    def _share(self) -> Generator[Event, Any, None]:
        yield self._env.timeout(0)
        self._is_dirty = False
        share_fairly(self._flows)
        self._round += 1
        number, soonest = self._round, min((flow.left_bytes / flow.rate for flow in self._flows), default=math.inf)
        if soonest < math.inf:
            yield self._env.timeout(soonest)
            if number == self._round:
                self._end()

    def _end(self) -> None:
        """Let those go that are through; there is at least one."""
        self._move()
        soonest = min(flow.left_bytes / flow.rate for flow in self._flows)
        for flow in [
            flow for flow in self._flows if flow.left_bytes <= REST_BYTES or flow.left_bytes / flow.rate <= soonest
        ]:
            del self._flows[flow]
            for line in flow.lines:
                del line.flows[flow]
            flow.done.succeed()
        self._share_soon()

    def _move(self) -> None:
        """Let all transfers go on to this moment."""
        passed_s, self._moved_at = self._env.now - self._moved_at, self._env.now
        if not passed_s:
            return
        for line in {line: None for flow in self._flows for line in flow.lines}:
            line.busy_s += passed_s
        for flow in self._flows:
            flow.left_bytes = max(0.0, flow.left_bytes - flow.rate * passed_s)


def share_fairly(flows: Iterable[_Flow]) -> None:
    """Give each transfer its rate: the links are filled up one after the other, the narrowest first."""
    left = dict.fromkeys(flows)
    room = {line: line.bytes_s for flow in left for line in flow.lines}
    waiting = dict.fromkeys(room, 0)
    for flow in left:
        for line in flow.lines:
            waiting[line] += 1
    while left:
        narrowest = min((line for line in room if waiting[line]), key=lambda line: room[line] / waiting[line])
        rate = max(LEAST_BYTES_S, room[narrowest] / waiting[narrowest])
        for flow in [flow for flow in narrowest.flows if flow in left]:
            flow.rate = rate
            del left[flow]
            for line in flow.lines:
                room[line] = max(0.0, room[line] - rate)
                waiting[line] -= 1
