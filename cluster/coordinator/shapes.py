"""Which shape the next round of a run takes, by what nodes tell of their sites and by what happened to their stores."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from aggregators import Step
from cluster import topology
from cluster.coordinator import rings
from cluster.coordinator.round_parts import Got
from cluster.coordinator.standing import STAR, Open, Shape, Standing
from cluster.job import Job
from cluster.ledger.row import RunRow
from cluster.nodes import sites
from cluster.nodes.registry import Node
from cluster.stores import Stores
from cluster.topology import AUTO, Planner, Site, Sizes

LOOK_S = 1.0
"""Seconds between two looks at the nodes: they tell of themselves once a second."""
SPARED_ROUNDS = 5
"""Rounds for which a site hands in its parts as in a star, after its store failed."""
OPTION = "topology"


class Shapes:
    """Chooses the shape of a run's rounds. Another driver begins anew: it may try a store that failed once more.

    Args:
        job: Only one with ``Rounds.join`` has other shapes than a star.
        stores: Name the nodes.
        row: Of the run, with its options; ``topology`` is "auto", "star", "tree" or "ring".
    """

    def __init__(self, job: Job, stores: Stores, row: RunRow) -> None:
        can = job.rounds is not None and job.rounds.join is not None
        self._given = str(row.options.get(OPTION, "star")) if can else "star"
        self._stores = stores
        self._nodes: list[Node] = []
        self._looked_at = -LOOK_S
        self._planner: Planner | None = None
        self._rings = job.rounds is not None and job.rounds.rings
        self._spared: dict[str, tuple[int, str]] = {}
        """Store of a site, or a site for rings -> the first round that may use it again, and why not before."""

    def choose(
        self, standing: Standing, batch: Open, got: Got, nodes: Mapping[int, str], step: Step
    ) -> Shape:  # fmt: skip
        """Choose for the round after the one that ``batch`` closes, as ``step`` says.

        Args:
            standing: With the views that the next round works on.
            batch: The one that is closed.
            got: Its parts.
            nodes: Shard -> the node that did its turn.
            step: What was made of them.
        """
        if self._given == "star" or step.apart or not step.kind:
            return STAR
        round_ = standing.round
        for place, why in {**got.lost_edges, **rings.failed(batch, got)}.items():
            self._spared[place] = round_ + 1 + SPARED_ROUNDS, why
        name = batch.shape.name or "star"
        shape = next(one for one in topology.SHAPES if one == name)
        if self._planner is None:  # the last driver's has gone with it
            self._planner = Planner(self._given, shape)
        here = [node for node in self._look() if node.state == "online"]
        found = sites.of(here, Counter(nodes[shard] for shard in got.sizes_bytes if shard in nodes), shape)
        if self._given == AUTO and not any(site.edges or site.seats > 1 for site in found):
            return STAR
        able = [self._without_spared(site, round_ + 1) for site in found]
        plan = self._planner.plan(able, _sizes(standing, batch, got, step))
        edges = tuple(sorted(edge for site in able for edge in site.edges if site.name in plan.sites))
        spared = [
            f"site {site.name} is spared until round {self._spared[place][0]}: {self._spared[place][1]}"
            for site in found
            for place in (*site.edges, site.name)
            if self._is_spared(place, round_ + 1)
        ]
        why = "; ".join([plan.why, *spared])
        if plan.shape != "ring":
            return Shape(plan.shape, why, edges if plan.shape == "tree" else (), plan.sites, join_s=plan.join_s)
        formed = rings.of(plan.sites, here, {shard: nodes[shard] for shard in got.sizes_bytes if shard in nodes})
        if not formed:
            return Shape("star", f"{why}; but no two nodes have a slot for each of their shards")
        return Shape("ring", why, sites=tuple(ring.site for ring in formed), rings=formed)

    def _without_spared(self, site: Site, round_: int) -> Site:
        """The site without a store that failed lately, and without the seats of a ring that did not form."""
        edges = tuple(edge for edge in site.edges if not self._is_spared(edge, round_))
        has_seats = self._rings and not self._is_spared(site.name, round_)
        return site._replace(edges=edges, seats=site.seats if has_seats else 0)

    def _is_spared(self, place: str, round_: int) -> bool:
        return self._spared.get(place, (0, ""))[0] > round_

    def _look(self) -> Sequence[Node]:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._nodes, self._looked_at = self._stores.nodes.nodes(), now
        return self._nodes


def _sizes(standing: Standing, batch: Open, got: Got, step: Step) -> Sizes:
    """What the closed round moved and did; the next one is likely to be as large."""
    parts = [got.noted[shard].ref.size_bytes if shard in got.noted else size for shard, size in got.sizes_bytes.items()]
    parts = [max(parts)] if parts and batch.shape.rings else parts  # of a ring one is whole, and the others are empty
    work = [times.get("compute", 0.0) + times.get("encode", 0.0) for times in got.times.values()]
    steps = step.row.get("steps")
    each = steps / len(got.shards) if isinstance(steps, int) and steps and got.shards else topology.STEPS
    return Sizes(
        up_bytes=statistics.fmean(parts) if parts else 0.0,
        down_bytes=batch.view_bytes,
        work_s=statistics.median(work) if work else 0.0,
        parameters=standing.views[0].size_bytes // 2,  # a whole view has about two bytes for each
        steps=each,
    )
