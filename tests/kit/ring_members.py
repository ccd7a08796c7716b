"""A member of a ring as a process of its own, that may stop or end in the middle of a turn."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import msgpack
import psutil

from tasks import Seat, Turn, train
from tasks.train import learner, meeting, ring
from tests.kit import training
from tests.kit.waiting import wait_until

HOST = "127.0.0.1"


class Interrupted(Exception):
    """The time limit has passed."""


class Member(NamedTuple):
    """What a process is to do."""

    folder: Path
    """Where the seats meet, and where each leaves the values of its turns."""
    number: int
    """Of its seat, and of its shard."""
    view: bytes
    """float32."""
    seats: int = 2
    host: str = HOST
    rounds: tuple[int, ...] = (0,)
    base: str = "base"
    seconds: float | None = None
    fault: tuple[int, int] | None = None
    """Before the gradients of this step it sends itself this signal; 0 is none."""
    join_s: float = 5.0
    dead_s: float = 10.0
    limit_s: float = 0.0
    """A signal interrupts it after this time, as the time limit of a message does; 0: none does."""
    options: Mapping[str, Any] = {}

    def start(self) -> BaseProcess:
        """Begin."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        process = context.Process(target=_do, args=(self,), daemon=True)
        process.start()
        return process

    def start_in(self, network: str) -> subprocess.Popen[bytes]:
        """Begin in a network namespace."""
        what = {**self._asdict(), "folder": str(self.folder)}
        command = ["ip", "netns", "exec", network, sys.executable, "-m", __name__]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert process.stdin is not None
        with process.stdin as pipe:
            pipe.write(msgpack.packb(what))
        return process

    def told(self, round_: int = 0) -> dict[str, Any]:
        """What came of a turn that is over: its value, None where it was interrupted; "took" seconds; and the addresses
        on which its process listened before, meanwhile and after."""
        path = self.folder / f"value {self.number} {round_}"
        told: dict[str, Any] = msgpack.unpackb(wait_until(f"{path.name} is written", lambda: _read(path)))
        return told


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _write(path: Path, data: bytes) -> None:
    new = path.with_name(f"{path.name} {os.getpid()}")
    new.write_bytes(data)
    new.replace(path)


def _do(member: Member) -> None:
    import numpy as np

    meeting.JOIN_S, ring.DEAD_S = member.join_s, member.dead_s
    listened: list[list[str]] = []
    _count_steps(member.folder, member.fault, listened)
    data, kept = training.blobs(), dict[str, Any]()
    view = np.frombuffer(member.view, np.float32)
    for round_ in member.rounds:
        listened.clear()
        ring_told: list[Any] = []
        seat = _seat(member, member.folder / f"board {round_}", ring_told)
        turn = Turn(
            round_, member.number, len(data.shards), "train", member.seconds, view, member.base, data.about,
            functools.partial(data.shards.__getitem__, member.number), kept, {}, seat=seat,
        )  # fmt: skip
        before, began = listening(), time.monotonic()
        value: dict[str, Any] | None = None
        signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, member.limit_s)
        with contextlib.suppress(Interrupted):
            value = train.train(turn, **{"net": "mlp:8", "steps": 6, "batch_size": 16, "bits": 32, **member.options})
        took = time.monotonic() - began
        if value is None:
            _write(member.folder / f"value {member.number} {round_}", msgpack.packb({"took": took, "value": value}))
            return
        wait_until("no port is open any more", functools.partial(_is_as_before, before))
        ports = {"before": before, "meanwhile": listened[-1], "after": listening()}
        told = {"ring": ring_told, "value": value, "took": took, **ports}
        _write(member.folder / f"value {member.number} {round_}", msgpack.packb(told))


def _seat(member: Member, board: Path, told: list[Any]) -> Seat:
    def tell(text: str) -> None:
        _write(board, text.encode())

    return Seat(
        member.number,
        tuple(range(member.seats)),
        member.host,
        tell,
        lambda: _read(board).decode(),
        lambda *what: told.extend(what),
    )


def _is_as_before(before: list[str]) -> bool:
    return listening() == before


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


def _count_steps(folder: Path, fault: tuple[int, int] | None, listened: list[list[str]]) -> None:
    look, steps = learner.Learner.look, 0

    @functools.wraps(look)
    def count(*arguments: Any) -> float:
        nonlocal steps
        if fault is not None and steps == fault[0]:
            (folder / f"reached {os.getpid()}").touch()
            os.kill(os.getpid(), fault[1])
        steps += 1
        listened.append(listening())
        return look(*arguments)

    learner.Learner.look = count  # type: ignore


def listening() -> list[str]:
    """The addresses on which this process listens."""
    found = psutil.Process().net_connections("inet")
    return sorted(each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN)


if __name__ == "__main__":
    given = msgpack.unpackb(sys.stdin.buffer.read())
    _do(Member(**{**given, "folder": Path(given["folder"])}))
