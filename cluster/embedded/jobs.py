"""Jobs that no distribution brings: their functions go to the worker of a private cluster in a file.

The file is a pickle. It lies in the private cluster's folder, which only this user can enter, and is written and read
by processes of this user alone; no pickle travels through Redis. Functions of modules that the worker can import are
kept by name, those of a script or a notebook by value.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import sys
from pathlib import Path

import cloudpickle

from cluster import catalog, errors
from cluster.job import Job

VERSION_CHARS = 12


def pack(job: Job) -> tuple[Job, bytes]:
    """The job under a version of its own, and what ``learn`` reads.

    The version is a digest of its functions: after a change the job is another one, which older workers do not know.

    Raises:
        errors.UsageError: A function of it cannot be handed to another process.
    """
    try:
        digest = hashlib.sha256(cloudpickle.dumps(job)).hexdigest()
        own = dataclasses.replace(job, version=digest[:VERSION_CHARS])
        return own, pickle.dumps((_search_path(), cloudpickle.dumps(own)))
    except (TypeError, ValueError, AttributeError, RecursionError, pickle.PicklingError) as error:
        raise errors.UsageError(f"the functions of the job {job.name} cannot go to a worker: {error}") from error


def learn(file: Path) -> None:
    """Have this process know the job in a file, and find modules where the process that wrote the file finds them."""
    paths, job = pickle.loads(file.read_bytes())  # noqa: S301 - the process that started this one wrote it
    # Before the job is read, whose functions may lie there. Last, so that they hide no module of ours.
    sys.path += [path for path in paths if path not in sys.path]
    catalog.installed.add(pickle.loads(job))  # noqa: S301


def _search_path() -> list[str]:
    """Where this process finds modules; "" is its working directory."""
    return [str(Path(path).absolute()) for path in sys.path]
