"""The job train on nodes of any speed, and with parts that come too late.

Settings of a node's environment:

* ``CLUSTER_TEST_STEP_S=0.05``: each local step lasts at least 0.05 s. What is left of it is slept, so nodes of any
  speed share two cores without disturbing each other.
* ``CLUSTER_TEST_DROP=0.1``: a tenth of all (round, shard), the same ones on each node and in each run, hand in their
  part when the round is closed without it.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from typing import Any, cast

from cluster import catalog
from cluster.job import Task
from tasks import Turn, train
from tasks.train import seeds

LATE_S, LATE_SHARE = 0.3, 0.3
"""A part that is dropped comes later by this, or by this share of the round's seconds, whichever is more: a little more
than the coordinator waits for it."""


@functools.wraps(train.train)
def train_padded(turn: Turn, **options: Any) -> dict[str, Any]:
    """Do a turn as slowly as the environment says."""
    if step_s := float(os.environ.get("CLUSTER_TEST_STEP_S", "0")):
        pad_steps(step_s)
    value = _train(turn, **options)
    if turn.kind == "train" and is_dropped(turn.round, turn.shard, float(os.environ.get("CLUSTER_TEST_DROP", "0"))):
        time.sleep(max(LATE_S, LATE_SHARE * (turn.seconds or 0)))
    return value


def is_dropped(round_: int, shard: int, share: float) -> bool:
    """Whether a shard's part of a round is one of those that come too late."""
    return bool(share and seeds.generator(0, round_, shard, "drop").random() < share)


@functools.cache
def pad_steps(step_s: float) -> None:
    """Have each step in this process last at least this long, from now on."""
    from tasks.train.learner import Learner

    look = Learner.look

    def padded(self: Learner, *arguments: Any) -> float:
        until = time.monotonic() + step_s
        loss = look(self, *arguments)
        time.sleep(max(0.0, until - time.monotonic()))
        return loss

    Learner.look = padded  # type: ignore[assignment,method-assign]


_train = train.train
TRAIN_PADDED = dataclasses.replace(catalog.TRAIN, name="train-padded", task=cast(Task, train_padded))
