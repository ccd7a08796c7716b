"""Which shards of a round the nodes of a site do together, each its own, in a ring: see ``tasks.Seat``."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from cluster.coordinator.round_parts import Got
from cluster.coordinator.standing import Open
from cluster.nodes.registry import Node
from cluster.wire import Ring


def of(sites: Collection[str], nodes: Iterable[Node], done_by: Mapping[int, str]) -> tuple[Ring, ...]:
    """The rings of a round: at each site one, of the shards that its nodes did in the round before.

    A node that has more shards than slots is left out: one of them would begin when the others have ended.

    Args:
        sites: Those that are to have one.
        nodes: All that are online.
        done_by: Shard -> the node that did it in the round before.
    """
    known = {node.name: node for node in nodes if node.lan and node.site in sites}
    done: dict[str, list[int]] = defaultdict(list)
    for shard, name in done_by.items():
        if name in known:
            done[name].append(shard)
    found: dict[str, list[list[int]]] = defaultdict(list)
    for name, shards in done.items():
        if len(shards) <= known[name].slots_to_fill:
            found[known[name].site].append(shards)
    return tuple(
        Ring(site, sorted(itertools.chain(*found[site]))) for site in sorted(found) if len(found[site]) > 1
    )  # fmt: skip


def failed(batch: Open, got: Got) -> dict[str, str]:
    """Site -> why its nodes formed no ring. They may not reach each other, and finding that out takes seconds."""
    found = {}
    for ring in batch.shape.rings:
        told = [got.rings[shard] for shard in ring.shards if shard in got.rings]
        if told and all(each.size == 1 for each in told):
            found[ring.site] = f"its nodes formed no ring: {told[0].why}"
    return found
