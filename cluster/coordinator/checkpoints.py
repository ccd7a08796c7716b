"""Write the model of a run in rounds, as it is on the way, to a folder of the machine that coordinates the run.

So something is left of a training when its Redis is emptied. Each checkpoint is a folder of its own, with the files of
a bundle: ``--from`` and `cluster models push` take it.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from cluster import errors, names
from cluster.bundles import content, folder
from cluster.bundles.content import Content
from cluster.rounds import Bound
from cluster.stores import Stores

log = logging.getLogger(__name__)


class Checkpoints:
    """Those of one run.

    Args:
        place: The folder for them, which exists.
        run: Whose.
        stores: Where its curve is.
    """

    def __init__(self, place: Path, run: str, stores: Stores) -> None:
        self._place = place
        self._run = run
        self._stores = stores

    def write(self, bound: Bound, state: Any, rounds: int) -> None:
        """Write the model of the state after so many rounds; whole or not at all.

        One that is there already stays as it is. Where it cannot be written, a warning says so, and the run goes on.
        """
        target = self._place / names.checkpoint(self._run, rounds)
        if target.exists():
            return
        try:
            rows = [row for _, row in self._stores.ledger.rounds.curve(self._run)]
            made = bound.checkpoint(state, rows)
            given = Content(bound.job.bundles, made.files, (), made.parameters)
            manifest = content.draft(given, "checkpoint", "", datetime.now(UTC).replace(microsecond=0))
            pieces = content.pieces(given, manifest.files)
            folder.write_new(target, manifest, lambda *_: next(pieces)[1])
        except (OSError, ValueError, errors.ClusterError, redis.RedisError) as error:
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            log.warning(
                "run %s: the checkpoint %s is not written: %s; the run goes on",
                self._run, target, why, extra={"event": "checkpoint", "run": self._run},
            )  # fmt: skip
        else:
            log.info("run %s: wrote %s", self._run, target, extra={"event": "checkpoint", "run": self._run})
