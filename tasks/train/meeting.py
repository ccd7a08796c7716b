"""Where the seats of a turn meet to form a ring: a store on seat 0, for as long as the ring lives.

Ports are open on ``Seat.host`` alone: here one on seat 0 (``TCPStore``), and one on each seat for the gradients.
"""

from __future__ import annotations

import datetime
import secrets
import socket
import time
from typing import Any, NamedTuple

from torch import distributed

from tasks import Seat

JOIN_S = 5.0
"""Seat 0 waits this long for the others, and they for it; those that come later work alone."""
ANSWER_S = 2.0
"""The store answers within this time."""
POLL_S = 0.02


class NoRing(Exception):
    """No ring was formed with this seat in it; says why."""


class Place(NamedTuple):
    """A place among those that came in time."""

    store: Any
    """Of ``torch.distributed``; the ring needs it to connect."""
    rank: int
    """From 0; seat 0 has 0."""
    size: int
    """How many came, 2 at least."""

    @property
    def shards(self) -> tuple[int, ...]:
        """The shards of those who came, by rank.

        Raises:
            NoRing: One has ended before it said which.
        """
        try:
            return tuple(int(self.store.get(f"shard {rank}")) for rank in range(self.size))
        except (RuntimeError, ValueError) as error:
            raise NoRing(first_line(error)) from error


def meet(seat: Seat, work: str) -> Place:
    """Meet the other seats of a turn; takes ``2 * JOIN_S`` at most.

    Args:
        seat: Ours.
        work: What all must have in common: the view, the options.

    Raises:
        NoRing: The others did not come in time, or work on something else.
    """
    if not seat.host:
        raise NoRing("this node listens to no peers (its owner can set CLUSTER_LAN=allow)")
    try:
        place = _find(seat, work) if seat.number else _wait(seat, work)
    except (RuntimeError, OSError) as error:  # of torch, and of sockets
        raise NoRing(first_line(error)) from error
    if place.rank >= place.size:
        raise NoRing("the ring was formed without this seat, as it came late")
    if place.size == 1:
        raise NoRing(f"none of the other {len(seat.shards) - 1} seats came within {JOIN_S:g} s")
    return place


def _wait(seat: Seat, work: str) -> Place:
    """Open the store where all meet, tell where it is, and count who comes."""
    until = time.monotonic() + JOIN_S
    family = socket.AF_INET6 if ":" in seat.host else socket.AF_INET
    listening = socket.create_server((seat.host, 0), family=family)
    port, token = listening.getsockname()[1], secrets.token_hex(8)
    store = _store(seat.host, port, token, listening)
    store.set("work", work)
    store.set("shard 0", str(seat.shards[0]))
    came = store.add("came", 1)
    seat.tell(f"{seat.host} {port} {token}")
    while came < len(seat.shards) and time.monotonic() < until:
        time.sleep(POLL_S)
        came = store.add("came", 0)
    store.set("size", str(came))
    return Place(store, 0, came)


def _find(seat: Seat, work: str) -> Place:
    """Find the store of seat 0, and a place among those who come in time."""
    until, problem = time.monotonic() + JOIN_S, "seat 0 did not say where it waits"
    while (left_s := until - time.monotonic()) > 0:
        told = seat.ask().split()
        if len(told) == 3:
            host, port, token = told
            try:
                socket.create_connection((host, int(port)), timeout=left_s).close()
                break  # else ``TCPStore`` itself would try for long
            except (OSError, ValueError) as error:  # of a process that has ended, say: another one may take the seat
                problem = f"seat 0 cannot be reached at {host}, port {port}: {error}"
        time.sleep(POLL_S)
    else:
        raise NoRing(f"{problem} (for {JOIN_S:g} s)")
    store = _store(host, int(port), token)
    if store.get("work").decode() != work:
        raise NoRing("seat 0 works on something else")
    rank = store.add("came", 1) - 1
    store.set(f"shard {rank}", str(seat.shards[seat.number]))
    store.wait(["size"], seconds(until + JOIN_S - time.monotonic()))
    return Place(store, rank, int(store.get("size")))


def _store(host: str, port: int, token: str, listening: socket.socket | None = None) -> Any:
    """The store where a ring meets. Another ring's, which got the same port later, has another ``token``.

    ``TCPStore`` would listen on all addresses. It is given a socket that listens on one; for that it must do without
    libuv, which takes none in torch 2.6.
    """
    store = distributed.TCPStore(
        host, port, None, listening is not None, seconds(ANSWER_S), wait_for_workers=False, use_libuv=False,
        master_listen_fd=None if listening is None else listening.detach(),
    )  # fmt: skip
    return distributed.PrefixStore(token, store)


def seconds(number: float) -> datetime.timedelta:
    """As torch takes them."""
    return datetime.timedelta(seconds=number)


def first_line(error: BaseException) -> str:
    """What an error says, without where in torch it was raised."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
