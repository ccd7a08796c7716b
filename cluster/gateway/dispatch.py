"""Which replicas a request goes to: the version that it names, or that its service has now; canary and shadow."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from cluster.gateway.board import ASK_AGAIN_S, Board, Known, State
from cluster.gateway.hub import AWAY, Hub
from cluster.gateway.line import Line
from cluster.gateway.problems import Problem, unavailable, wrong
from cluster.names import Target

if TYPE_CHECKING:
    from tasks import Tensors

LOADING_RETRY_S = 2
MOST_ASKED = 1024
LEAST_TIMEOUT_US = 1000


class Picked(NamedTuple):
    """Where a request goes."""

    known: Known
    version: int | None
    line: Line


class Dispatch:
    """Picks lines for requests. Used in the event loop of its hub."""

    def __init__(self, hub: Hub, board: Board) -> None:
        self.hub = hub
        self._board = board
        self._asked_s: dict[Target, float] = {}

    @property
    def state(self) -> State:
        """The services as of the last look."""
        return self._board.state

    def known(self, name: str) -> Known:
        """A service.

        Raises:
            Problem: There is none of that name (404), or nothing is known yet (503).
        """
        state = self._board.state
        known = state.services.get(name)
        if known is None:
            if state.problem:
                raise unavailable(f"{state.problem}; ask again in a second")
            there = ", ".join(sorted(state.services)) or "none"
            raise Problem(404, f"no model {name[:64]!r} is served here; there are: {there}")
        return known

    async def pick(self, name: str, version: int | None, key: Callable[[], str | None]) -> Picked:
        """Where a request goes.

        Args:
            name: Of the service.
            version: That the request names; None where it names none.
            key: Gives the text whose hash decides between the current version and a canary.

        Raises:
            Problem: There is no such service or version (404), or no replica has it yet (503).
        """
        known = self.known(name)
        if not self.hub.is_connected:
            raise unavailable(AWAY)
        if version is None:
            service, version = known.service, known.used
            if service.canary:
                version = canary(service.canary, key(), version, known)
            if version not in known.ready:
                why = "is ready" if service.replicas else "is wanted (cluster services scale)"
                raise unavailable(f"no replica of {name} {why}; ask again in some seconds", LOADING_RETRY_S)
        elif not self._is_usual(known, version):
            await self._ask(known, Target(name, version))
        if version not in known.ready:
            raise unavailable(f"{name}:{version} is being loaded; ask again in some seconds", LOADING_RETRY_S)
        return Picked(known, version, self.hub.line(Target(name, version)))

    async def see_version(self, known: Known, target: Target) -> None:
        """See that there is such a version, served or not.

        Raises:
            Problem: There is none (404).
        """
        if why := await asyncio.to_thread(self._board.why_no_version, known.service, target):
            raise Problem(404, why)

    async def takes(self, known: Known, version: int | None) -> Tensors | None:
        """What a version takes and gives as tensors, where that can be found out here."""
        return await asyncio.to_thread(self._board.takes, known, version)

    def timeout_s(self, known: Known, asked_us: int | None) -> float:
        """Seconds that a request may take: the service's deadline, or the shorter one that the request gives."""
        usual_s = known.service.deadline_ms / 1000
        return usual_s if asked_us is None else min(usual_s, max(asked_us, LEAST_TIMEOUT_US) / 1e6)

    def _is_usual(self, known: Known, version: int) -> bool:
        return version == known.current or version in known.service.canary or version == known.service.shadow

    async def _ask(self, known: Known, target: Target) -> None:
        """Have a version served that is so only because requests name it."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._asked_s.get(target, -ASK_AGAIN_S) < ASK_AGAIN_S:
            return
        await self.see_version(known, target)
        if len(self._asked_s) >= MOST_ASKED:
            self._asked_s.clear()
        self._asked_s[target] = now_s
        self._board.ask(target)


def canary(shares: dict[int, float], key: str | None, usual: int | None, known: Known) -> int | None:
    """The version for a request that names none: that of the share in which the hash of its key lies.

    A version that no replica has gets nothing; its share goes to the usual one.
    """
    if key is None:
        at = random.random()  # noqa: S311
    else:
        at = int.from_bytes(hashlib.blake2b(key.encode(errors="replace"), digest_size=8).digest()) / 2**64
    for version, share in sorted(shares.items()):
        if at < share:
            return version if version in known.ready else usual
        at -= share
    return usual


def version_of(text: str) -> int:
    """The version that a path names.

    Raises:
        Problem: It is no number (400).
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10 and text[0] != "0"):
        raise wrong(f"a version is a whole number from 1, not {text[:40]!r}")
    return int(text)
