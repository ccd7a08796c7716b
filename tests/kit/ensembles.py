"""An ensemble that is made in this process, round by round, so that tests see its states and each of its combiners."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aggregators import Closed, Model, Step, ensemble, ensemble_options
from aggregators.ensemble import choice
from aggregators.ensemble.predictor import scores_of
from aggregators.ensemble.state import State
from aggregators.ensemble.views import View
from cluster.functions import taken
from splitters import Chunk, tables
from splitters.tables import shares
from tasks import Turn
from tasks import ensemble as work

Parts = dict[int, dict[str, Any]]


class Made:
    """The rounds of one ensemble; ``close`` does a round, ``to_end`` all that are left.

    Args:
        source: A table.
        options: As for ``cluster submit``.
    """

    def __init__(self, source: Path, **options: Any) -> None:
        self.options = ensemble_options.prepare(options)
        [self._about], *self.chunks = shares.split([source], **taken(shares.split, self.options))
        self.about = self._about.data
        self.card = json.loads(self.about)
        self.step: Step = ensemble.begin(self.about, **taken(ensemble.begin, self.options))
        self.round = 0
        self.view: View = ensemble.see(None, self.step.view, self.step.whole)  # type: ignore[arg-type]
        self.rows: list[dict[str, Any]] = []

    @property
    def shards(self) -> int:
        """How many sub-models there are to be."""
        return len(self.chunks)

    def arrays(self, shard: int) -> dict[str, Any]:
        """What the splitter gave to a shard."""
        return tables.arrays(self.chunks[shard])

    @property
    def state(self) -> State:
        """The last one, as another process would read it."""
        return ensemble.load(ensemble.dump(self.step.state))

    def turns(self) -> Parts:
        """What all shards give in the next round."""
        return {shard: self.turn(shard) for shard in range(len(self.chunks))}

    def turn(self, shard: int, kept: dict[str, Any] | None = None) -> dict[str, Any]:
        """What one shard gives."""
        chunk: Chunk = self.chunks[shard]
        value = work.work(
            Turn(
                round=self.round, shard=shard, shards=len(self.chunks), kind=self.step.kind, seconds=None,
                view=self.view, base="", about=self.about, read=lambda: chunk, kept={} if kept is None else kept,
                times={},
            ),
            seed=self.options.get("seed", 0),
        )  # fmt: skip
        ensemble.check(value)
        return value

    def closed(self, parts: Parts, given_up: Mapping[int, str] | None = None) -> Closed:
        """The round with these parts."""
        return Closed(
            round=self.round, shards=len(self.chunks), kind=self.step.kind, base="", seconds=None, parts=parts,
            given_up=given_up or {}, nodes={shard: f"n{shard}" for shard in range(len(self.chunks))},
        )  # fmt: skip

    def close(self, parts: Parts | None = None, given_up: Mapping[int, str] | None = None) -> Step:
        """Do a round, or close it with these parts."""
        closed = self.closed(self.turns() if parts is None else parts, given_up)
        self.step = ensemble.step(self.state, closed, self.about)
        self.rows.append({"round": self.round, "kind": closed.kind, **self.step.row})
        if self.step.view is not None:
            self.view = ensemble.see(self.view, self.step.view, self.step.whole)
        self.round += 1
        return self.step

    def until(self, kind: str) -> Made:
        """Do rounds until the next one is of this kind."""
        while self.step.kind not in (kind, ""):
            self.close()
        return self

    def model(self) -> Model:
        """Do all rounds that are left."""
        self.until("")
        return ensemble.finish(self.state, self.rows, self.about)

    def test_rows(self) -> tuple[Any, Any]:
        """What the sub-models say of all test rows, and their targets."""
        found = [self.arrays(shard) for shard in range(self.shards)]
        return (
            np.concatenate([scores_of(self.view.models, one["test_X"]) for one in found]),
            np.concatenate([one["test_y"] for one in found]),
        )

    def on_test_rows(self) -> dict[str, float]:
        """How good each combiner that was tried is on the test rows, more is better; the one chosen as "auto"."""
        self.until("test")
        scores, y = self.test_rows()
        state = self.state
        found: dict[str, float] = {}
        for each in state.tried:
            found[each.combiner.how] = float(choice.gains(each.combiner, scores, y).mean())
        assert state.chosen is not None
        return {**found, "auto": found[state.chosen.how]}
