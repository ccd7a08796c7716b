"""Aggregators join the parts of a run; one module for each way to join.

An aggregator is a plain function ``(parts: Iterable[T]) -> T`` that gives the same for parts in any
order and grouping, since nodes aggregate some parts while others are still being made. A part is made of
what MessagePack carries: None, bool, int, float, str, bytes, lists, and dicts with such keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

DRAINED = "drained"
"""The kind of a row of the curve about a shard's turn that was under way when shards stopped going on apart: its part
is late, or ``dropped`` as it came too late to be used."""


class Model(NamedTuple):
    """The result of a job that trains: its run publishes it as a new version of a bundle."""

    files: Mapping[str, bytes]
    """Name -> content. Data only, no pickle."""

    parameters: Mapping[str, Any]
    """Parameters that tasks read in ``bundle.json``; only JSON types."""

    report: Mapping[str, Any]
    """Figures for the person who submitted the run; only JSON types."""


class Closed(NamedTuple):
    """A round that is over, as the aggregator of a job with rounds sees it."""

    round: int
    """Counted from 0."""
    shards: int
    """How many the run has."""
    kind: str
    """As the last ``Step`` said."""
    base: str
    """Names the view that the parts were made from."""
    seconds: float | None
    """Seconds that each shard was to work for."""
    parts: Mapping[int, Any]
    """Shard -> its part, in the order of the shards."""
    late: tuple[int, ...] = ()
    """Shards whose parts were not there when the round was closed."""
    staleness: int = 0
    """Steps that changed the view since the parts' view was made; 0 where a round waits for all shards."""
    given_up: Mapping[int, str] = {}
    """Shard -> why its turn was given up: it failed as often as the run allows."""
    nodes: Mapping[int, str] = {}
    """Shard -> the node that did its turn, or tried it last, as far as that is known."""
    node_seconds: Mapping[int, float] = {}
    """Shard -> seconds from its claim to its commit."""
    sizes_bytes: Mapping[int, int] = {}
    """Shard -> the size of its part."""
    view_bytes: int = 0
    """The size of the view that each shard read."""
    at_s: float = 0.0
    """Seconds since the run began."""


class Step(NamedTuple):
    """What the aggregator of a job with rounds makes of a closed round; ``begin`` gives the first one."""

    state: Any
    """The next round's; never the old one, changed: the aggregator may be called again with more parts."""
    view: bytes | None
    """What nodes get, on top of the view before; None: the view stays as it is."""
    whole: bool = False
    """``view`` takes the place of the view before."""
    row: Mapping[str, Any] = {}
    """The round's line of the curve: numbers, texts and lists of such."""
    kind: str = "train"
    """What the next round is for; "" ends the run."""
    seconds: float | None = None
    """Seconds that each shard is to work for in the next round; None where an option says how many steps."""
    quorum: float = 1.0
    """The share of the shards, over 0 and up to 1, after which the next round may be closed without the others."""
    apart: bool = False
    """Each shard goes on by itself: the aggregator gets one part at a time, and that shard the next view."""
    keep: bool = False
    """This state is a checkpoint: a model of it is written down, where a folder for that is named."""
    rejected: Mapping[int, str] = {}
    """Shard -> why its part was not used. Where parts were joined, each shard whose part was not is named."""
    missing: Mapping[str, str] = {}
    """What the result lacks since this round -> why, as sentences for the person who submitted the run."""
    rounds: int | None = None
    """How many rounds the run has in all, where that has changed."""


class NoResult(Exception):
    """The run cannot go on. The aggregator of a job with rounds raises it with the reason, for people."""
