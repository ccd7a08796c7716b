"""A run that is about to be opened: what can be found out before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cluster import errors, placement
from cluster.bundles.trial import UNUSABLE
from cluster.client import session, source
from cluster.client.nodes import PENDING, Node
from cluster.client.run import Belongs, Run
from cluster.nodes import wanted

if TYPE_CHECKING:
    from cluster.client import Client
    from cluster.client.origin import Origin
    from cluster.job import Job
    from cluster.settings import Settings

__all__ = ["ANSWER_S", "UNUSABLE", "Answer", "Submission"]
ANSWER_S = 5.0
"""How long nodes may take to say whether they can serve what they were not asked for before."""
USUAL_SHARDS, MOST_SHARDS = 8, 32
"""Shards of a run in rounds, where the cluster has few slots; and where it has many."""
NO_BROKER = "--detach needs a cluster that stays: start one with `cluster up`, or give --broker URL"


class Answer(NamedTuple):
    """Whether the nodes that are online can do a run."""

    online: Sequence[Node]
    can: bool


class Submission:
    """A job with checked options, and the version of the model that the run is to have. Use it in a ``with``.

    What it asks of the nodes ends once the run is open, or given up.
    """

    def __init__(
        self, client: Client, job: Job, options: dict[str, Any], packed: bytes = b"", save: Path | None = None,
        belongs: Belongs | None = None,
    ) -> None:  # fmt: skip
        self.client = client
        self.job = job
        self.options = options
        self.requirement = job.requirement(options)
        self._packed = packed
        self._save = save
        self._belongs = belongs
        self.origin: Origin | None = None
        """The command that opens the run, where the same command is to go on with it."""
        self._asking = ExitStack()
        self._asked: wanted.Asked | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._asking.close()

    def look_for_nodes(self, on_pending: Callable[[Sequence[str]], None], *, to_the_end: bool) -> Answer | None:
        """Whether the nodes of the cluster can do the run; None where some are still fetching what it needs.

        Args:
            on_pending: Told the names of those, before they are waited for.
            to_the_end: Wait for them, however long it takes.
        """
        if self._asked is None:
            self._asked = self._asking.enter_context(wanted.Asked(self.client.stores.redis, self.requirement))
        online = self._online()
        if self.requirement != self.job.capability and online and not self._can(online):
            online = self._ask(self._asked)
        if pending := self._pending(online):
            on_pending(pending)
            if not to_the_end:
                return None
            online = self._ask(self._asked, to_the_end=True)
        return Answer(online, self._can(online))

    def read(self, given: source.Given) -> session.Input:
        """The input; of files the first chunk is read now.

        Raises:
            errors.UsageError: It is missing or empty.
        """
        if self.job.rounds:
            self.options = self._with_shards()
        return session.Input(self.job, source.read(given), self.options)

    def _with_shards(self) -> dict[str, Any]:
        """The options, with a shard for each slot of a large cluster where nobody says how many.

        Of a small one the splitter chooses, so that runs on one machine give the same shards everywhere.
        """
        name = self.job.rounds.shards if self.job.rounds else ""
        if self.options.get(name) != 0 or self.client.is_private:
            return self.options
        slots = sum(node.slots for node in self._online() if self.requirement in node.jobs)
        return {**self.options, name: min(slots, MOST_SHARDS)} if slots > USUAL_SHARDS else self.options

    def start(self, given: session.Input, *, background: bool) -> Run:
        """Open the run; its input is read in the background, or by the thread that waits for it first.

        Raises:
            errors.UnknownBundle: The model it was to have was removed meanwhile.
        """
        return self._opened().begin(given, background=background, save=self._save)

    def detach(
        self, inputs: Sequence[str], arguments: Sequence[str] = ("--output", os.devnull), *, begun: str = "",
        on_open: Callable[[str], None] = lambda _: None,
    ) -> tuple[Run, Path]:  # fmt: skip
        """Open the run and leave it to a process in the background; gives where that one writes its log.

        Args:
            inputs: Files and folders, or an upload: see ``source.typed``.
            arguments: For ``cluster resume``, which that process is.
            begun: The run to go on with, in place of a new one.
            on_open: Told the run before its input is read; what it raises fails the run.

        Raises:
            errors.UsageError: The cluster is a private one, which ends with this process.
        """
        config = self.client.config
        self.require_it_stays()
        self.read(source.typed(inputs))
        folder = log_folder(config)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.ClusterError(
                f"the log of a run in the background is to lie in {folder}: {error.strerror}; name another folder with"
                " CLUSTER_CACHE_DIR"
            ) from None
        if self._save is not None:
            arguments = [*arguments, "--save", str(self._save)]
        run = self.client.run(begun) if begun else self._opened()
        log = log_folder(config) / f"{run.id}.log"
        try:
            on_open(run.id)
            spawn(config, run.id, inputs, log, arguments)
        except BaseException:
            if not begun:
                self.client.session.fail(run.id, "it could not be left to the background")
            raise
        return run, log

    def require_it_stays(self) -> None:
        """Raise ``errors.UsageError`` where the cluster is a private one, which ends with this process."""
        if self.client.is_private:
            raise errors.UsageError(NO_BROKER)

    def _opened(self) -> Run:
        run = self.client.open(self.job, self.options, self._packed, self.origin, self._belongs)
        self._asking.close()
        return run

    def _online(self) -> list[Node]:
        return [node for node in self.client.stores.nodes.nodes() if node.state == "online"]

    def _can(self, nodes: Iterable[Node]) -> bool:
        return any(self.requirement in node.jobs for node in nodes)

    def _pending(self, nodes: Sequence[Node]) -> list[str]:
        """Return the nodes that still fetch the model of the run; none if a node can do the run already."""
        return (
            [] if self._can(nodes) else [node.name for node in nodes if node.missing.get(self.requirement) == PENDING]
        )

    def _ask(self, asked: wanted.Asked, *, to_the_end: bool = False) -> list[Node]:
        """Have the nodes find out whether they can; those online, once all have said so or time is up.

        ``to_the_end`` waits, however long it takes, for those that are still fetching what they need.
        """
        deadline = time.monotonic() + ANSWER_S
        while True:
            asked.enter()
            online = self._online()
            answered = all(node.has_answered(self.requirement) for node in online)
            over = answered or self._can(online) or time.monotonic() > deadline
            if over and not (to_the_end and self._pending(online)):
                return online
            time.sleep(0.1)


def log_folder(config: Settings) -> Path:
    """The folder with a file RUN.log of each run that went on in the background."""
    return config.cache_folder / "runs"


def drop_log(config: Settings, run: str) -> None:
    """Remove what was written here of a run in the background; without that, it does nothing."""
    (log_folder(config) / f"{run}.log").unlink(missing_ok=True)


def leave_to_background(client: Client, run: str, inputs: Sequence[str]) -> subprocess.Popen[bytes]:
    """Have a process of its own go on with a run whose splitter is gone; its result stays in the cluster."""
    folder = log_folder(client.config)
    folder.mkdir(parents=True, exist_ok=True)
    return spawn(client.config, run, inputs, folder / f"{run}.log", ["--output", os.devnull])


def spawn(
    config: Settings, run: str, inputs: Sequence[str], log: Path, arguments: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Start a process that goes on with a run when this one has ended."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "cluster", "resume", run, *arguments, "--", *inputs],
            env=placement.environment(CLUSTER_BROKER_URL=config.given_broker()),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # else it would stay a zombie as long as we live
    return process
