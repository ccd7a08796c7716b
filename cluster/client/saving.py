"""The folder of this machine into which a run in rounds writes its checkpoints while this machine coordinates it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import errors

if TYPE_CHECKING:
    from cluster.client.run import Status
    from cluster.job import Job

EVERY = 10
"""Rounds from one checkpoint to the next, where nobody says how many."""


def options(job: Job, given: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """The options of a run that is submitted with these, and is to write its checkpoints to ``folder``.

    Raises:
        errors.UsageError: There is one without the other, or as ``require``.
    """
    if folder is None:
        if job.rounds and job.rounds.checkpoint and given.get("checkpoint"):
            raise errors.UsageError("--checkpoint is for --save: name the folder for the checkpoints as well")
        return given
    require(job, folder)
    if given.get("checkpoint") == 0:
        raise errors.UsageError("--checkpoint 0 writes nothing to the folder of --save; give a number of rounds")
    return {"checkpoint": EVERY, **given}


def require(job: Job, folder: Path | None) -> Path | None:
    """See that checkpoints of the job can be written to ``folder``, which is made; gives its whole path.

    Raises:
        errors.UsageError: They cannot.
    """
    if folder is None:
        return None
    if job.rounds is None or job.rounds.checkpoint is None:
        raise errors.UsageError(f"--save is for jobs that train in rounds; {job.name} has no checkpoints")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise errors.UsageError(f"--save {folder}: {error.strerror}") from None
    return folder.absolute()


def left_out(job: Job, status: Status) -> str:
    """What to tell who goes on with a run without a folder for its checkpoints; "" where it has none."""
    if job.rounds is None or status.state != "running" or not status.options.get("checkpoint"):
        return ""
    return (
        f"{status.run}: no checkpoints are written from now on; --save FOLDER writes them to a folder of this machine"
    )
