"""Which command opened a run, so that the same command goes on with it after it was stopped."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from cluster import names
from splitters import files
from splitters.items import Chosen

if TYPE_CHECKING:
    from cluster.client.source import Given
    from cluster.client.submission import Submission
    from cluster.ledger.row import RunRow
    from cluster.ledger.runs import Runs

DIGEST_CHARS = 32


class Origin(NamedTuple):
    """A command, and the input that it found."""

    command: str
    """Digest of user, machine, job, version, options, paths of the input and of the output, and format."""
    seen: str
    """Digest of the names, sizes and times of the input's files."""


class Begun(NamedTuple):
    """A run that the same command opened and did not bring to its end."""

    run: str
    is_same_input: bool


def of(
    submission: Submission, source: Given, output: Path | None, format_name: str, *, kept: bool = False
) -> Origin | None:  # fmt: skip
    """The origin of a run that is about to be opened; None where its input is in memory, or it goes in rounds.

    Args:
        submission: Of the run.
        source: Files and folders that are there, or some files of these.
        output: Where its result goes; None: stdout.
        format_name: How it is written.
        kept: The result is added to what the output holds.
    """
    job = submission.job
    if job.rounds:
        return None
    if isinstance(source, Chosen):
        files_ = [(choice.path, choice.pages) for choice in source.files]
        places: list[object] = []
    elif isinstance(source, Sequence) and all(isinstance(one, str | Path) for one in source):
        roots = [Path(one) for one in source]
        try:
            files_ = [(found.path, None) for found in files.walk(roots)]
        except OSError:
            return None  # the splitter says so
        places = [os.fspath(root.absolute()) for root in roots]
    else:
        return None
    target = None if output is None else os.fspath(output.absolute())
    about = [
        os.geteuid(), socket.gethostname(), job.name, job.version, submission.options, places, target, format_name,
        kept,
    ]  # fmt: skip
    command = hashlib.sha256(orjson.dumps(about, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()[:DIGEST_CHARS]
    return Origin(command, _seen(files_, output))


def find(runs: Runs, origin: Origin) -> Begun | None:
    """The latest run of this origin that no living process reads the input of; None without one.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    for run, row in runs.begun_by(origin.command).items():
        if not _is_held(row):
            if row.state == "running" and row.coordinator and _is_dead(row.coordinator):
                runs.free(run)
            return Begun(run, row.seen == origin.seen)
    return None


def held(runs: Runs, origin: Origin) -> str:
    """The run of this origin that a living process reads the input of; "" without one.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    found = runs.begun_by(origin.command).items()
    return next((run for run, row in found if row.seen == origin.seen and _is_held(row)), "")


def _is_held(row: RunRow) -> bool:
    """Whether a living process has the run's input. A supervisor has not: it makes room."""
    return row.state == "running" and bool(row.coordinator) and row.role == "splitter" and not _is_dead(row.coordinator)


def _is_dead(process: str) -> bool:
    """Whether a coordinator was a process of this machine and has ended."""
    host, pid = names.parse_process(process)
    if host != socket.gethostname() or pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _seen(found: Iterable[tuple[Path, object]], output: Path | None) -> str:
    """What the input looks like, at the cost of a walk. What lies in the output is left out: the run writes there."""
    digest = hashlib.sha256()
    target = None if output is None else output.absolute()
    for path, pages in found:
        place = path.absolute()  # the same command may be typed in another folder
        if target is not None and place.is_relative_to(target):
            continue
        try:
            about = path.stat()
            told = f"{about.st_size} {about.st_mtime_ns} {pages}"
        except OSError as error:
            told = str(error.errno)
        digest.update(f"{place}\0{told}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:DIGEST_CHARS]
