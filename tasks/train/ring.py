"""A ring: processes of one site, each with a shard of its own, make each step together, by the mean of their gradients.

It is formed anew for each turn, and ends with the turn. A process that gets into no ring, or whose ring breaks, works
alone: nothing here waits for longer than ``2 * JOIN_S + CONNECT_S`` to form one, or ``DEAD_S`` for a step.

``ProcessGroupGloo`` is made directly, as torchft does, and not by ``init_process_group``: that has one group a process,
and binds to the address of the host's name, often one of loopback, or to a network interface by its name.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import distributed

from tasks import Seat
from tasks.train import meeting
from tasks.train.meeting import NoRing, Place, first_line, seconds

CONNECT_S = 2.0
"""The members, which are all there by then, connect with each other within this time."""
DEAD_S = 10.0
"""A member from which nothing came for this long is dead. Of one whose process ended the system says so at once."""
LOOK_S = 0.25
"""Seconds after which the time limit of a message can interrupt a process that waits for others."""
log = logging.getLogger(__name__)


class Broken(Exception):
    """A member of the ring is gone; says how that showed. The ring is of no use any more."""


class Step(NamedTuple):
    """What the members of a ring told of a step."""

    samples: int
    """Rows that all saw."""
    loss_sum: float
    """Over these rows; not finite where the training of one diverged."""
    is_last: bool
    """Whether one wants to end after this step, so that all do."""


class Others:
    """Those with whom a process makes the steps of a turn, as long as there are any."""

    def __init__(self, ring: Ring | None = None) -> None:
        self.ring = ring
        """None: it works alone, from the beginning or since the ring broke."""
        self.why = ""
        """Why it works alone, if it was to work with others."""
        self.samples = 0
        """Rows that all saw; like ``loss_sum`` of the ring."""
        self.loss_sum = 0.0
        self.seconds = 0.0
        """That went by with them: until the ring was formed, and in each exchange."""

    def spread(self, tensors: Sequence[torch.Tensor]) -> None:
        """See ``Ring.spread``; alone, does nothing."""
        if self.ring is not None and tensors:
            with self._exchanging():
                self.ring.spread(tensors)

    def mean(self, gradients: torch.Tensor, samples: int, loss: float, is_last: bool) -> bool:
        """See ``Ring.mean``; alone, leaves the gradients as they are. Whether the step is the last one."""
        if self.ring is not None:
            with self._exchanging():
                step = self.ring.mean(gradients, samples, loss, is_last)
                self.samples += step.samples
                self.loss_sum += step.loss_sum
                return step.is_last
        return is_last

    def leave(self) -> None:
        """Leave the ring."""
        if self.ring is not None:
            self.ring.close()
            self.ring = None

    @contextlib.contextmanager
    def _exchanging(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except Broken as why:
            log.warning("a ring broke, this process goes on alone: %s", why)
            self.why = f"the ring broke: {why}"
            self.leave()
        finally:
            self.seconds += time.monotonic() - began


@contextlib.contextmanager
def joined(seat: Seat | None, work: str) -> Iterator[Others]:
    """Form a ring for a turn, and leave it at the end.

    Args:
        seat: Ours; None: there are no others.
        work: What the members must have in common, see ``meeting.meet``.
    """
    others, began = Others(), time.monotonic()
    if seat is not None:
        try:
            others = Others(Ring(meeting.meet(seat, work), seat.host))
        except NoRing as why:
            log.warning("seat %s of %s works alone: %s", seat.number, len(seat.shards), why)
            others.why = str(why)
        others.seconds = time.monotonic() - began
    size = len(others.ring.shards) if others.ring else 1
    try:
        yield others
    finally:
        if seat is not None:
            seat.report(size, others.why)
        others.leave()


class Ring:
    """The members of a ring that was formed. All call the same methods in the same order."""

    def __init__(self, place: Place, host: str) -> None:
        """Connect with each other member.

        Raises:
            NoRing: One is gone.
        """
        self.shards = place.shards
        """Those of its members, by rank; seat 0 has the rank 0."""
        options = distributed.ProcessGroupGloo._Options()
        options._devices = [distributed.ProcessGroupGloo.create_device(hostname=host)]
        options._timeout = seconds(CONNECT_S)
        options._threads = 1
        try:
            self._group: Any = distributed.ProcessGroupGloo(place.store, place.rank, place.size, options)
        except RuntimeError as error:
            raise NoRing(first_line(error)) from error
        self._held = [place.store, self._group]
        self._group.set_timeout(seconds(DEAD_S))
        self._sums = torch.empty(0)

    def mean(self, gradients: torch.Tensor, samples: int, loss: float, is_last: bool) -> Step:
        """Replace the gradients of all members by their mean, weighted by samples: the same bits in each.

        Args:
            gradients: float32 of shape (n,): the mean over ``samples`` rows.
            samples: Rows of this member's batch.
            loss: Their mean loss.
            is_last: Whether this member wants to end after this step.

        Raises:
            Broken: A member is gone; the gradients are those of before.
        """
        n = len(gradients)
        if len(self._sums) != n + 3:
            self._sums = torch.empty(n + 3)
        torch.mul(gradients.cpu(), samples, out=self._sums[:n])
        self._sums[n:] = torch.tensor([samples, samples * loss, is_last])
        self._do("allreduce", self._sums)
        all_samples, loss_sum, lasts = self._sums[n:].tolist()
        gradients.copy_(self._sums[:n]).div_(all_samples)
        return Step(int(all_samples), loss_sum, lasts > 0)

    def spread(self, tensors: Sequence[torch.Tensor]) -> None:
        """Give the tensors of all members, float32, the values that they have in seat 0.

        Raises:
            Broken: A member is gone. The tensors are those of before.
        """
        flat = torch.cat([each.detach().reshape(-1).cpu() for each in tensors])
        self._do("broadcast", flat)
        for each, values in zip(tensors, flat.split([each.numel() for each in tensors]), strict=True):
            each.copy_(values.reshape(each.shape))

    def close(self) -> None:
        """Leave. Members that still wait for this one find out at once, or where it is under way, after ``DEAD_S``.

        Torch waits for what is under way when the group is dropped. A thread does that, as this process may be needed.
        """
        held, self._group, self._held = self._held, None, []
        threading.Thread(target=held.clear, name="leave a ring", daemon=True).start()

    def _do(self, operation: str, tensor: torch.Tensor) -> None:
        try:
            work = getattr(self._group, operation)([tensor])  # no variable has the group: see ``close``
            while not _is_over(work):
                pass
        except RuntimeError as error:
            raise Broken(first_line(error)) from error


def _is_over(work: Any) -> bool:
    """Wait ``LOOK_S`` for an operation.

    Raises:
        RuntimeError: It failed.
    """
    try:
        work.wait(seconds(LOOK_S))
    except RuntimeError:
        if work.is_completed():
            work.wait()  # raises why it failed; unless it ended well, just now
            return True
        return False
    return True
