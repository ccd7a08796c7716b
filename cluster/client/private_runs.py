"""The private runs of this machine that were stopped, for commands without a broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cluster import client, errors, settings
from cluster.client.run import Status
from cluster.embedded import private
from cluster.embedded.private import About
from cluster.ledger.row import RunPolicy


class PrivateRun(NamedTuple):
    """One of them."""

    about: About
    status: Status | None
    """None of one that a process works on, or that cannot be opened."""
    problem: str = ""
    """Why it cannot be opened."""

    @property
    def is_over(self) -> bool:
        """Whether all of it is done, or it cannot be gone on with."""
        return self.status is not None and self.status.state != "running"


def listed() -> list[PrivateRun]:
    """All of them, the latest first. Each is opened for a look, unless a process works on it."""
    config = settings.load()
    root = private.folder(config)
    private.sweep(root, RunPolicy.of(config).retention_s)
    return [_look(about) for about in private.listed(root)]


def _look(about: About) -> PrivateRun:
    if about.process is not None:
        return PrivateRun(about, None)
    try:
        with client.of_run(about.run) as c:
            return PrivateRun(about, c.run(about.run).status(failures=False))
    except errors.ClusterError as error:
        return PrivateRun(about, None, str(error))


def cancel(run: str) -> bool:
    """Remove a private run; False where this machine has none of that name.

    Raises:
        errors.RunBusy: A process works on it.
    """
    root = private.folder(settings.load())
    if private.find(root, run) is None:
        return False
    kept = private.reopen(root, run)
    kept.is_over = True
    kept.close()
    return True


def remove(runs: Sequence[PrivateRun]) -> list[PrivateRun]:
    """Remove runs that nobody works on; gives those it removed."""
    root = private.folder(settings.load())
    return [run for run in runs if private.remove(root, run.about.run)]
