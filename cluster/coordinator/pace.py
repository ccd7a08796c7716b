"""How many chunks travel in a message: what a message costs does not depend on how many it names."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.coordinator.backlog import Backlog
    from cluster.ledger.chunks import Chunks

MESSAGE_S = 0.5
"""Seconds of work in one message: it holds as many chunks as take this long, and at least one."""
MOST_CHUNKS_PER_MESSAGE = 32
"""A coordinator puts no more into a message; a node accepts up to ``names.MAX_CHUNKS_PER_MESSAGE``."""
LEARN_S = 0.5
"""Publishing waits no longer than this for the first chunk of a run to be done."""
FASTER = 4
"""A message holds at most 4 times as many chunks as the ones before: the first chunks that are done are the small."""
SHARES = 4
"""At the end of a run a message holds no more chunks than leave at least 4 messages for each slot."""
POLL_S = 0.02


class Pace:
    """How long the chunks of a run take, as measured, and so how many travel in one message."""

    def __init__(self, chunks: Chunks, run: str, backlog: Backlog) -> None:
        self._chunks = chunks
        self._run = run
        self._backlog = backlog
        self._learning_since: float | None = None
        self._done: tuple[int, float] = 0, 0.0
        self.chunks_per_message = 1
        """How many chunks fit in a message."""

    def learn(self, published: int, on_wait: Callable[[], None]) -> None:
        """See how long a chunk takes; where nobody has done one yet, wait a moment, as long as all slots have work.

        Args:
            published: How many chunks are.
            on_wait: Called while waiting.
        """
        while not self._look() and published:
            now = time.monotonic()
            self._learning_since = self._learning_since or now
            if now - self._learning_since > LEARN_S or not self._backlog.feeds_all(published):
                return
            on_wait()
            time.sleep(POLL_S)

    def messages(self, chunks: range, *, last: bool) -> list[range]:
        """Cut a batch into messages; the ``last`` batch into ever smaller ones, so that all slots end together."""
        messages = []
        at = 0
        while at < len(chunks):
            fair = (
                math.ceil((len(chunks) - at) / (SHARES * max(1, self._backlog.slots())))
                if last
                else MOST_CHUNKS_PER_MESSAGE
            )
            messages.append(chunks[at : at + min(self.chunks_per_message, fair)])
            at += len(messages[-1])
        return messages

    def _look(self) -> bool:
        """See what those took that are done since the last look; whether any are done at all."""
        done = self._chunks.done(self._run)
        chunks, seconds = done[0] - self._done[0], done[1] - self._done[1]
        if chunks > 0 and seconds >= 0:
            self.chunks_per_message = max(
                1,
                min(
                    MOST_CHUNKS_PER_MESSAGE,
                    FASTER * self.chunks_per_message,
                    int(MESSAGE_S * chunks / max(seconds, 1e-6)),
                ),
            )
        if chunks:  # fewer than before where Redis has lost what it heard last
            self._done = done
        return done[0] > 0
