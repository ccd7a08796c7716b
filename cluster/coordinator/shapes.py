"""Which shape the next round of a run takes, by what nodes tell of their sites and by what happened to their stores."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from aggregators import Step
from cluster.coordinator.round_parts import Got
from cluster.coordinator.standing import STAR, Open, Shape, Standing
from cluster.job import Job
from cluster.ledger.row import RunRow
from cluster.nodes.registry import Node
from cluster.stores import Stores

LOOK_S = 1.0
"""Seconds between two looks at the nodes: they tell of themselves once a second."""
SPARED_ROUNDS = 5
"""Rounds for which a site hands in its parts as in a star, after its store failed."""
LEAST_SLOTS = 2
"""A site with fewer slots has nothing to join."""
OPTION = "topology"


class Shapes:
    """Chooses the shape of a run's rounds. Another driver begins anew: it may try a store that failed once more.

    Args:
        job: Only one with ``Rounds.join`` has other shapes than a star.
        stores: Name the nodes.
        requirement: What a node must serve to do the run.
        row: Of the run, with its options; ``topology`` is "auto", "star", "tree" or "ring".
    """

    def __init__(self, job: Job, stores: Stores, requirement: str, row: RunRow) -> None:
        can = job.rounds is not None and job.rounds.join is not None
        self._given = str(row.options.get(OPTION, "star")) if can else "star"
        self._capability = requirement
        self._stores = stores
        self._nodes: list[Node] = []
        self._looked_at = -LOOK_S
        self._spared: dict[str, tuple[int, str]] = {}
        """Store of a site -> the first round that may use it again, and why not before."""

    def learn(self, round_: int, batch: Open, got: Got) -> None:
        """A round is closed."""
        for edge, why in got.lost_edges.items():
            self._spared[edge] = round_ + 1 + SPARED_ROUNDS, why

    def choose(self, standing: Standing, step: Step) -> Shape:
        """Choose for the round after the one that ``standing`` closes, as ``step`` says."""
        if self._given == "star" or step.apart or not step.kind:
            return STAR
        return self._tree(standing.round + 1)

    def _tree(self, round_: int) -> Shape:
        slots: dict[str, int] = defaultdict(int)
        for node in self._look():
            if node.edge and node.serves(self._capability):
                slots[node.edge] += node.slots_to_fill
        wanted = sorted(edge for edge, number in slots.items() if number >= LEAST_SLOTS)
        edges = tuple(edge for edge in wanted if self._spared.get(edge, (0, ""))[0] <= round_)
        spared = [f"{self._spared[edge][1]}" for edge in wanted if edge not in edges]
        if not edges:
            return Shape("star", "; ".join(spared) or "no site has a store that its nodes share")
        return Shape("tree", "; ".join(["it was asked for", *spared]), edges)

    def _look(self) -> Sequence[Node]:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._nodes, self._looked_at = self._stores.nodes.nodes(), now
        return self._nodes
