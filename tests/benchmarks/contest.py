"""The same work done by us and by others, in turns, each in processes of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import ROOT, Failed

PEERS = ROOT / ".venv-peers"
SCRIPTS = Path(__file__).with_name("peers")
TIMEOUT_S = 900.0
NOT_HANDED_ON = ("PYTHONDONTWRITEBYTECODE", "OMP_THREAD_LIMIT")
"""Installed programs keep their bytecode; and our OCR, which the true answer comes from, allows one thread only."""


class Timed(NamedTuple):
    """One go."""

    result_s: float
    """From the start of the program until the last byte of its result was on disk."""
    ready_s: float | None = None
    """From when it was started up and ready for work, where it tells."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Another way to do the work: a script in ``peers/`` that is told its arguments and where to write the result.

    It prints two JSON objects: ``{"ready": SECONDS}`` when it is ready for work, and ``{"done": SECONDS}`` when all is
    on disk, by ``time.time()``.
    """

    name: str
    script: str
    arguments: Sequence[str | Path] = ()
    goal: Goal | None = None
    note: str = ""
    own_environment: bool = True
    """It needs what `make bench-peers` installs; else it runs by this Python."""
    needs: str = ""
    """A program it cannot do without."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def why_not(self) -> str:
        """Why it cannot run here, or ""."""
        if self.own_environment and not (PEERS / ".installed").is_file():
            return "`make bench-peers` installs it"
        if self.needs and not shutil.which(self.needs):
            return f"there is no {self.needs}"
        return ""

    def run(self, output: Path) -> Timed:
        """Run it once.

        Raises:
            Failed: It ended badly, or not in time.
        """
        python = PEERS / "bin" / "python" if self.own_environment else sys.executable
        environment = {name: value for name, value in os.environ.items() if name not in NOT_HANDED_ON}
        environment |= {"PATH": f"{os.environ['PATH']}:{PEERS / 'bin'}", "PYTHONPATH": str(SCRIPTS), **self.environment}
        remove(output)
        started = time.time()
        process = subprocess.Popen(
            [str(python), str(SCRIPTS / self.script), *map(str, self.arguments), str(output)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            told, errors = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {TIMEOUT_S} s") from None
        finally:
            if process.poll() is None:  # its children with it
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            raise Failed(f"{self.name} ended with code {process.returncode}: {errors.strip()[-1500:]}")
        at: dict[str, float] = {}
        for line in told.splitlines():
            if line.startswith("{"):
                at |= json.loads(line)
        return Timed(at["done"] - started, at["done"] - at["ready"] if "ready" in at else None)


def race(
    work: str,
    ours: Callable[[Path], Timed],
    peers: Sequence[Peer],
    check: Callable[[Path], str],
    *,
    options: Options,
    folder: Path,
    amount: float | None = None,
    once_ready: bool = False,
) -> list[Row]:
    """Each once a round, in turns, ours first.

    Args:
        work: Its name and size.
        ours: Writes our result to the path it is given.
        peers: The others.
        check: Looks at a result; gives how it differs from the true one without being wrong, or "".
        options: How many rounds, and against whom.
        folder: Where results may be written.
        amount: Give what is done a second instead of seconds: so much is done in one go.
        once_ready: Compare with what the others take once they are ready, where they tell.

    Raises:
        Failed: Ours failed, or its answer is wrong. A peer's row then says so, without figures.
    """
    peers = [peer for peer in peers if not options.against or any(re.search(one, peer.name) for one in options.against)]
    out = {peer.name: peer.why_not() for peer in peers}
    notes = {peer.name: peer.note for peer in peers}
    our_goes: list[Timed] = []
    goes: defaultdict[str, list[Timed]] = defaultdict(list)
    for _ in range(options.repeat):
        our_goes.append(ours(folder / "ours"))
        check(folder / "ours")
        _tell(work, "ours", our_goes[-1])
        for peer in peers:
            if out[peer.name]:
                continue
            try:
                go = peer.run(folder / "theirs")
                difference = check(folder / "theirs")
            except Failed as error:
                out[peer.name] = str(error)
                goes.pop(peer.name, None)
                continue
            goes[peer.name].append(go)
            notes[peer.name] = "; ".join(filter(None, (peer.note, difference)))
            _tell(work, peer.name, go)

    def figure(seconds: float) -> float:
        return seconds if amount is None else amount / seconds

    return [
        Row(
            work=work,
            against=peer.name,
            ours=[figure(go.result_s) for go in our_goes],
            theirs=[figure((once_ready and go.ready_s) or go.result_s) for go in goes[peer.name]],
            theirs_ready=[figure(go.ready_s) for go in goes[peer.name] if go.ready_s and not once_ready],
            unit="s" if amount is None else "/s",
            more_is_better=amount is not None,
            goal=peer.goal,
            note=notes[peer.name],
            skipped=out[peer.name],
        )
        for peer in peers
    ]


def _tell(work: str, who: str, go: Timed) -> None:
    """A line for whoever waits."""
    ready = f", {go.ready_s:.2f} s once ready" if go.ready_s else ""
    print(f"{work}: {who}: {go.result_s:.2f} s{ready}", file=sys.stderr, flush=True)


def remove(output: Path) -> None:
    """A file or a folder, if it is there."""
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink(missing_ok=True)
