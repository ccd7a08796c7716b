"""Run a peer's script while it tells how good it is, and kill one of its workers if asked to."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psutil

from tests.benchmarks.contest import SCRIPTS
from tests.benchmarks.measure import ROOT, Failed
from tests.benchmarks.training import rows
from tests.kit.programs import mark, marked

STALL_S = 90.0
"""A peer that tells nothing for so long hangs."""
ALONE = ("unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
"""In a network namespace of its own, whose loopback carries nothing else, so that its bytes can be counted."""


class Look(NamedTuple):
    """How good a net was."""

    share: float
    """Of the samples it is to learn from."""
    s: float
    """Seconds of training."""
    bytes: int | None
    """That passed; None where that could not be counted."""
    accuracy: float
    round: int | None = None


class Went(NamedTuple):
    """One go."""

    looks: Sequence[Look]
    wall_s: float
    code: int | None
    """The exit code; None where it hung and was ended."""
    said: str
    """The end of what it wrote to stderr."""
    anew: bool
    """It began again from the beginning."""

    @property
    def last(self) -> Look:
        """The end of a go that ended well.

        Raises:
            Failed: It did not.
        """
        if self.code or self.code is None or not self.looks or self.looks[-1].share < 1:
            raise Failed(f"a peer ended with code {self.code}: {self.said}")
        return self.looks[-1]


class Other(NamedTuple):
    """A way to train that is not ours: a script in ``peers/`` that is told its settings as JSON."""

    name: str
    script: str
    environment: str = ""
    """The folder of its own Python environment, which `make bench-peers` makes; "" for ours."""
    launcher: Sequence[str] = ()
    """Arguments of Python before the script."""
    rounds: int | None = None
    """Other than ours."""
    note: str = ""

    def why_not(self) -> str:
        """Why it cannot run here, or ""."""
        if self.environment and not (ROOT / self.environment / ".installed").is_file():
            return "`make bench-peers` installs it"
        return ""

    def go(self, settings: dict[str, Any], kill_at: float | None = None) -> Went:
        """Run it; once ``kill_at`` of the samples are learnt from, its last worker is killed by SIGKILL."""
        python = str(ROOT / self.environment / "bin" / "python") if self.environment else sys.executable
        if self.rounds:
            settings = settings | {"rounds": self.rounds}
        command = [*alone(), python, *self.launcher, str(SCRIPTS / self.script), json.dumps(settings)]
        unset = ("PYTHONDONTWRITEBYTECODE",)
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        ours = mark()
        environment |= {**ours, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        began = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            looks, errors, anew = _follow(process, kill_at)
            code = process.poll()
        finally:
            _end(process, ours)
        return Went(looks, time.monotonic() - began, code, errors.decode(errors="replace").strip()[-1500:], anew)


def alone() -> Sequence[str]:
    """``ALONE``, or nothing where there can be no namespace."""
    done = subprocess.run([*ALONE, "true"], capture_output=True, check=False)
    return () if done.returncode else ALONE


def _end(process: subprocess.Popen[bytes], ours: Mapping[str, str]) -> None:
    """It and all that it started: some lead sessions of their own, and some outlive their parents."""
    process.kill()
    process.wait()
    while left := marked(ours, SCRIPTS):
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def _follow(process: subprocess.Popen[bytes], kill_at: float | None) -> tuple[list[Look], bytes, bool]:
    """Read what it tells until it ends, or hangs."""
    assert process.stdout
    assert process.stderr
    looks: list[Look] = []
    workers: list[int] = []
    errors, rest, anew = b"", b"", False
    heard = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map():
            if time.monotonic() - heard > STALL_S:
                break
            for key, _ in selector.select(1.0):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    errors = (errors + data)[-20000:]
                else:
                    heard = time.monotonic()
                    *lines, rest = (rest + data).split(b"\n")
                    for told in (json.loads(line) for line in lines if line.startswith(b"{")):
                        if "worker" in told:
                            workers.append(told["worker"])
                            continue
                        look = Look(**told)
                        anew = anew or bool(looks and look.share <= looks[-1].share)
                        looks.append(look)
                        if kill_at is not None and look.share >= kill_at:
                            os.kill(workers[-1], signal.SIGKILL)
                            kill_at = None
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)
    return looks, errors, anew


SINGLE = Other("one process, one thread", "training_single.py")
DDP = Other(
    "DDP over gloo, 2 ranks",
    "training_ddp.py",
    launcher=("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "3"),
)
FLOWER = Other(
    "Flower, 2 SuperNodes",
    "training_flwr.py",
    environment=rows.PEERS,
    rounds=20,
    note="20 rounds of 400 steps a node: each of its rounds starts processes",
)
