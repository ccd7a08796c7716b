"""Which shape a round's exchange takes: predicted from measured links, by formulas that need no cluster.

| shape | what travels |
| --- | --- |
| star | each part goes to the hub by itself |
| tree | the parts of a site go to its edge store; one of its nodes joins them, and one part goes to the hub |
| ring | the nodes of a site do one shard together, and share the gradients of each step; one part goes to the hub |
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Shape = Literal["star", "tree", "ring"]
SHAPES: tuple[Shape, ...] = ("star", "tree", "ring")
NEAR_BYTES_S = 12.5e6
"""Taken for the speed within a site until it is measured: 100 Mb/s."""
NEAR_RTT_S = 0.001
"""Taken for the round trip within a site until it is measured."""
JOIN_BYTES_S = 50e6
"""Bytes of packed parts that a node joins in a second."""


class Site(NamedTuple):
    """The nodes of one place, which share their way to the hub."""

    name: str
    parts: int
    """Parts that its nodes hand in a round, each of one shard."""
    up_bytes_s: float | None = None
    """To the hub, of all its nodes together; None until it is measured."""
    down_bytes_s: float | None = None
    rtt_s: float = 0.0
    near_bytes_s: float | None = None
    """To its edge store, and between two of its nodes; None until it is measured."""
    near_rtt_s: float | None = None
    edges: tuple[str, ...] = ()
    """Digests of the edge stores that its nodes name. A tree needs exactly one."""
    seats: int = 0
    """Nodes whose owners let others of the site reach them: CLUSTER_LAN=allow. A ring needs two."""


class Plan(NamedTuple):
    """The shape of the next rounds."""

    shape: Shape
    seconds: dict[Shape, float]
    """Predicted seconds of a round, for each shape that is possible."""
    why: str
    """One sentence, for the curve's row."""
    sites: tuple[str, ...] = ()
    """The sites where it holds; the nodes of all others hand in their parts as in a star."""
