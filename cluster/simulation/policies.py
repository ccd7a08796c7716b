"""When a round is closed: policies to compare, each named by the options of ``train`` that it stands for.

One of your own is a subclass:

    class Half(Policy):
        name = "half"

        def options(self, given):
            return {"steps": 20, "quorum": 1.0}

        def is_over(self, round_):
            return len(round_.arrived_s) >= round_.shards / 2
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from cluster.coordinator.deadline import Deadline, is_to_close, least_parts

QUORUM = 0.75
"""As ``aggregators.training.settings.TIMED_QUORUM``, which is what ``train`` takes of itself."""

LOCAL: Mapping[str, Any] = {"mode": "local", "staleness": None}


class Round(NamedTuple):
    """A round that is open, as a policy sees it."""

    number: int
    kind: str
    """"train"; at the end "valid" and "test"."""
    shards: int
    """Turns that it has."""
    quorum: float
    """See ``aggregators.Step``."""
    work_s: float | None
    """Seconds that its shards are to work for; None where steps are given."""
    age_s: float
    """Virtual seconds since it was opened."""
    arrived_s: Mapping[int, float]
    """Shard -> its age when the part came."""


class Policy:
    """As the options say: what ``cluster submit`` does with them. One is made for each run that is simulated."""

    name = "given"
    about = "the options as they are given"

    def __init__(self) -> None:
        self._deadline = Deadline()

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of ``train`` that this policy stands for; they win over those that were ``given``."""
        return {}

    def learn(self, seconds: float) -> None:
        """A part came after this many seconds of its round."""
        self._deadline.learn(seconds)

    def deadline_s(self, round_: Round) -> float:
        """Return the age at which to look at the round again, if no part comes before."""
        if least_parts(round_.quorum, round_.shards) == round_.shards:
            return math.inf
        return self._deadline.seconds(round_.work_s)

    def is_over(self, round_: Round) -> bool:
        """Return whether to close the round: asked after each part, and at ``deadline_s``."""
        return is_to_close(
            len(round_.arrived_s), round_.shards, round_.quorum, round_.age_s, self._deadline.seconds(round_.work_s)
        )


class Barrier(Policy):
    """The same steps everywhere, and all parts."""

    name = "barrier"
    about = "--steps N, --quorum 1: the same steps on each, and all parts are waited for"

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Policy``."""
        return {**LOCAL, "steps": given.get("steps") or 25, "round_seconds": None, "quorum": 1.0}


class Time(Policy):
    """As many steps as there is time for, and all parts."""

    name = "time"
    about = "--steps 0, --quorum 1: as many steps as there is time for, and all parts are waited for"

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Policy``."""
        return {**LOCAL, "steps": None, "quorum": 1.0}


class Quorum(Policy):
    """As many steps as there is time for; closed at the deadline."""

    name = "quorum"
    about = f"--steps 0, --quorum {QUORUM}: as many steps as there is time for; late parts are dropped (the default)"

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Policy``."""
        return {**LOCAL, "steps": None, "quorum": given.get("quorum") or QUORUM}


class Async(Policy):
    """Each shard by itself."""

    name = "async"
    about = "--mode async: each shard goes on by itself, from the newest weights"

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Policy``."""
        left_out: dict[str, Any] = {"mode": "async", "quorum": None}
        if given.get("steps") and given.get("round_seconds"):
            left_out["steps"] = None
        if given.get("server") in ("nesterov", "adam") or given.get("server_momentum"):
            left_out |= {"server": None, "server_lr": None, "server_momentum": None}
        return left_out


POLICIES: Mapping[str, type[Policy]] = {each.name: each for each in (Policy, Barrier, Time, Quorum, Async)}
