"""A node's seat among others of its site, with which it does its shard of a round together."""

from __future__ import annotations

import functools
from typing import Any

from cluster.ledger.rounds import Rounds
from cluster.settings import Settings
from cluster.wire import TurnEntry
from cluster.worker import site
from tasks import Seat


def of(run: str, entry: TurnEntry, config: Settings, rounds: Rounds, told: dict[str, Any]) -> Seat | None:
    """The seat of this process in a turn; None where it is to work alone.

    Args:
        run: Whose turn it is.
        entry: Of the turn.
        config: Of this node, whose owner may not let it listen to others.
        rounds: Where the seats tell each other where they meet.
        told: Gets ``ring``, what the task reports.
    """
    ring = entry.ring
    if ring is None or ring.site != own_site(config):
        return None
    first, address = ring.shards[0], _address(config.require_broker())

    def report(size: int, why: str) -> None:
        told["ring"] = [size, why]

    return Seat(
        ring.shards.index(entry.shard), tuple(ring.shards), address,
        functools.partial(rounds.tell_ring, run, entry.round, first),
        functools.partial(rounds.ring, run, entry.round, first), report,
    )  # fmt: skip


def own_site(config: Settings) -> str:
    """The site of this node, if its owner lets others there connect; else ""."""
    if config.lan != "allow" or not (address := _address(config.require_broker())):
        return ""
    return config.site or _site(address)


@functools.cache
def _address(broker: str) -> str:
    return site.address(broker)


@functools.cache
def _site(address: str) -> str:
    return site.name(address)
