"""A slot that has done a shard's turn stays for more turns of the run, and claims them without messages.

So a round costs no messages, and shards, views and inner optimizers stay in one process. Nothing is owned: the chunks
are claimed and committed as any other, and what no slot claims soon the driver of the run publishes. A slot leaves when
its owner, another run or the time limit of its message wants it.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from cluster.messaging import publish
from cluster.names import TaskId
from cluster.wire import MapMessage, task_id
from cluster.worker import edge, map_chunk, turns

if TYPE_CHECKING:
    from cluster.worker.tasks import Delivery, Node

WAIT_S = 0.5
"""Seconds between two looks at whether something else wants the slot."""
ASK_S = 0.05
"""Seconds between two looks at whether another run waits."""
LOOK_S = 1.0
"""Seconds between two looks at the run, the message and what the node reports: it does so once a second."""
STAY_S = 30.0
"""Seconds without a turn to do after which a slot leaves."""
GO_ON = ("settled now", "settled", "late", "taken")
"""Ends of a turn after which a slot looks for another one."""
log = logging.getLogger(__name__)


class Slot:
    """A slot that works on a message.

    Args:
        node: The tools of this process.
        message: What it works on. It keeps the message for as long as it stays.
        came: How the message came.
    """

    def __init__(self, node: Node, message: MapMessage, came: Delivery) -> None:
        self._node = node
        self._run = message.run
        self._chunk = message.chunks[0]
        self._came = came
        self._began = time.monotonic()
        self._limit_s = 0.0
        self._looked_at = self._asked_at = -LOOK_S
        self._others_wait = False
        self._seen = ""
        self._after = ""
        self._shard_of: dict[int, int] = {}
        self._is_over = False
        self.staying = False
        """Whether a turn was done, and the next one is waited for."""

    def stays(self) -> bool:
        """Decide after a turn whether to stay for another one."""
        self.staying = not self._why_leave()
        return self.staying

    def go_on(self) -> str:
        """Do turns until something else wants the slot, or one ends badly; says how the last one ended.

        Where this raises, the chunk that it does is still known: see ``tasks.chunks_cut_short``.
        """
        node, came, rounds = self._node, self._came, self._node.stores.ledger.rounds
        ended: map_chunk.TryAgain | str = "settled now"
        while self.staying and ended in GO_ON and (chunk := self._next()) is not None:
            rounds.stay(self._run, self._chunk, chunk)
            ended = map_chunk.run(
                MapMessage(run=self._run, chunks=[chunk]), node.find, node.stores, node.config, came.worker,
                came.capability, stays=self.stays,
            )  # fmt: skip
        if isinstance(ended, map_chunk.TryAgain):  # not by our message: its name is another chunk's
            for chunk in ended.chunks:
                publish.publish_chunk(node.app, came.capability, self._run, chunk, node.limits(self._run))
            ended = ended.reason
        rounds.leave(self._run, self._chunk)
        if self._is_over:
            turns.forget(self._run)
            edge.forget(node.config, self._run)
        return ended

    def _next(self) -> int | None:
        """A chunk that nobody works on; None where the slot is to be left."""
        since = time.monotonic()
        ledger = self._node.stores.ledger
        while not self._is_over and time.monotonic() - since < STAY_S and not self._why_leave():
            if waiting := ledger.chunks.waiting(self._run, edge.places(self._node.config)):
                return self._choose(waiting)
            for opened in ledger.rounds.await_opened(self._run, self._after, WAIT_S):
                self._after = opened.id
                self._shard_of = {chunk: shard for shard, chunk in opened.chunks.items()} | self._shard_of
                self._is_over = not opened.chunks
        return None

    def _choose(self, waiting: set[int]) -> int:
        """Of the chunks one of a shard that was done here last, so that it is the slot with the newest state of its
        optimizer that goes on with a shard; else any, at random, so that slots choose apart."""
        self._shard_of = {chunk: shard for chunk, shard in self._shard_of.items() if chunk in waiting}
        done = turns.shards(self._run)
        last = {chunk: done[shard] for chunk, shard in self._shard_of.items() if shard in done}
        mine = [chunk for chunk, round_ in last.items() if round_ == max(last.values())]
        return random.choice(mine or list(waiting))  # noqa: S311 - nothing secret

    def _why_leave(self) -> str:
        """Why the slot is to be left, or ""."""
        self._limit_s = self._limit_s or self._node.limits(self._run).soft_time_limit / 2
        now = time.monotonic()
        if now - self._began > self._limit_s:
            return "its message has had half of its time"
        if now - self._looked_at >= LOOK_S:
            self._seen, self._looked_at = self._look(), now
        if self._seen:
            return self._seen
        if now - self._asked_at >= ASK_S:
            self._others_wait, self._asked_at = self._node.stores.ledger.rounds.others_wait(self._run), now
        return "another run waits for a slot" if self._others_wait else ""

    def _look(self) -> str:
        """As ``_why_leave``, of what seldom changes."""
        stores, worker = self._node.stores, self._came.worker
        self._is_over = self._is_over or stores.ledger.runs.states([self._run]) != ["running"]
        if self._is_over:
            return "the run is over"
        if str(TaskId(self._run, (self._chunk,))) not in map(task_id, stores.nodes.held(worker.incarnation)):
            return "its message was given to others, as the node was lost for a while"
        report = stores.nodes.node(worker.node)
        if report is None or report.phase != "here":
            return "the node ends"
        is_wanted = report.slots_allowed is not None and report.slots_allowed < report.busy
        return "its owner wants the machine" if is_wanted else ""
