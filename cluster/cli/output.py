"""Write a result: to stdout, or to a file or folder that is there whole or not at all."""

from __future__ import annotations

import errno
import io
import math
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cluster import annotate, errors, logs, nodes
from cluster.cli import say
from cluster.client import session
from cluster.job import Format, Job, paths
from cluster.nodes import capacity
from cluster.runs import Stores, parts, training
from cluster.runs.status import Status
from cluster.settings import Settings
from splitters import pictures

CLOCKS_DIFFER_S = 60
"""A run begins by Redis's clock, pictures change by this machine's."""


class Target(NamedTuple):
    """Where a run's result goes, and how."""

    chosen: Format
    output: Path | None = None
    """None: stdout."""
    drawn: Path | None = None
    """Folder for copies of the input's pictures with what was found drawn in."""
    source: Sequence[str] = ()
    """The input, for these."""
    since: float = math.inf
    """What was changed later, in seconds since 1970, is another picture by now."""

    def write(self, job: Job, status: Status, stores: Stores, config: Settings) -> list[str]:
        """Write the result of a run that is done; gives what could not be drawn, a sentence each.

        Of a run that trains it is the report about the model, which is published first.

        Raises:
            errors.ClusterError: It cannot be written, or makes no model.
        """
        if job.trains:
            report = training.publish(job, status, stores, config, session.whoami())
            told = orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            write(Format(lambda _, out: out.write(told)), [], self.output)
            return []
        write(self.chosen, parts.of_run(status.run, job, stores), self.output)
        if job.draw is None or self.drawn is None:
            return []
        # Drawn here, from the input: from the nodes they would cross the network twice, and fill Redis.
        found = job.run_aggregate(parts.of_run(status.run, job, stores), status.options)
        self.drawn.mkdir(exist_ok=True)
        walked = pictures.walk(paths(self.source))
        return annotate.write(job.draw, walked, found, self.drawn, workers=capacity.cores(), since=self.since)


def prepare(
    job: Job, name: str, options: Mapping[str, Any], given: str | Path | None,
    drawn: Path | None = None, source: Sequence[str] = (), begun: datetime | None = None,
) -> Target:  # fmt: skip
    """The target, once it is sure that it can be written to: before the work, not after.

    Args:
        job: The run's.
        name: Of the format.
        options: The run's.
        given: Where to; None: stdout. One that ends with a slash is a folder.
        drawn: See ``Target``.
        source: See ``Target``.
        begun: When the run began; None: it is about to.

    Raises:
        errors.UsageError: The job has no such format or draws nothing, or the output cannot be there.
    """
    chosen = job.writer(name, options)
    output = None if given is None else Path(given)
    if output is None:
        if chosen.folder:
            raise errors.UsageError(f"--format {name} writes a folder: give it with -o FOLDER")
    else:
        if chosen.folder and os.path.exists(output) and not os.path.isdir(output):  # noqa: PTH110, PTH112 - these raise nothing
            raise errors.UsageError(f"-o {output} is no folder")
        if not chosen.folder and str(given).endswith("/"):
            raise errors.UsageError(f"-o {given} names a folder, but --format {name} writes a file: leave out the /")
        if not chosen.folder and os.path.isdir(output):  # noqa: PTH112
            raise errors.UsageError(f"-o {output} is a folder; give the name of a file")
        if not chosen.folder and any(os.path.realpath(output) == os.path.realpath(root) for root in paths(source)):
            raise errors.UsageError(f"-o {output} would write over the input; name another file")
        _check_place("-o", output)
        if not chosen.folder and not _is_stream(output):
            _check_is_no_input(job, options, output, source)
    if drawn is not None:
        _check_drawing(job, drawn, source)
        if output is not None and output.resolve() == drawn.resolve():
            raise errors.UsageError(f"-o and --annotate are both {drawn}; the one is a file, the other a folder")
    since = time.time() if begun is None else begun.timestamp() + CLOCKS_DIFFER_S
    return Target(chosen, output, drawn, source, since)


def check_model_can_be_made(job: Job) -> None:
    """See that this machine can make the model of the parts, if the job trains one: before the work, not after.

    Raises:
        errors.JobUnavailable: It cannot; the message says what to type.
    """
    problem = job.why_unavailable() if job.trains else ""
    if problem:
        hint = nodes.how_to_add(job.name)
        raise errors.JobUnavailable(
            f"the model of {job.name} is made on the machine that submits, and this one cannot: {problem}"
            f"{f'; to add it: {hint}' if hint else ''}"
        )


def check_model_can_be_kept(job: Job, config: Settings) -> None:
    """See that a model that is trained without a broker can be kept on this machine: before the work, not after.

    Raises:
        errors.UsageError: Its folder cannot be written to.
    """
    if not job.trains or config.broker_url is not None:
        return
    try:
        config.models_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=config.models_folder):
            pass
    except OSError as error:
        raise errors.UsageError(
            f"the model is to be kept in {config.models_folder}: {error.strerror}; name another folder with"
            " CLUSTER_MODELS_DIR"
        ) from None


def _check_drawing(job: Job, folder: Path, source: Sequence[str]) -> None:
    if job.draw is None:
        raise errors.UsageError(f"the job {job.name} finds nothing that could be drawn: leave out --annotate")
    if not source:
        raise errors.UsageError("--annotate draws into copies of the input: name it, as it was submitted")
    if folder.exists() and not folder.is_dir():
        raise errors.UsageError(f"--annotate {folder} is no folder")
    place = folder.resolve()
    for root in paths(source):
        if place == (root if root.is_dir() else root.parent).resolve():
            raise errors.UsageError(f"--annotate {folder} would write over the input {root}; name another folder")
        if place.is_relative_to(root.resolve()):
            raise errors.UsageError(
                f"--annotate {folder} lies in the input {root}: a next run would take what is drawn for more pictures;"
                " name a folder outside of it"
            )
    _check_place("--annotate", folder)


def _check_is_no_input(job: Job, options: Mapping[str, Any], output: Path, source: Sequence[str]) -> None:
    place = Path(os.path.realpath(output))
    for root in paths(source):
        if (
            root.is_dir()
            and place.is_relative_to(root.resolve())
            and _would_be_read(job, options, place.relative_to(root.resolve()))
        ):
            if place.exists():
                raise errors.UsageError(
                    f"-o {output} lies in the input {root}, so it would be read, and written over; name another"
                )
            say(f"note: {output} lies in the input {root}; a next run would read it, too")


def _would_be_read(job: Job, options: Mapping[str, Any], path: Path) -> bool:
    """Whether the job takes a file at that place in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / path
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        try:
            return next(job.chunks(folder, options), None) is not None
        except Exception:  # noqa: BLE001 - whatever a splitter thinks of such a file, it is no reason not to begin
            return False


def _is_others_link(output: Path) -> bool:
    """Whether it is a link that another user put there, to have us write elsewhere."""
    try:
        found = output.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid())


def _check_place(flag: str, output: Path) -> None:
    if _is_others_link(output):
        raise errors.UsageError(f"{flag} {output} is a link of another user; name what it points to")
    if _is_stream(output):
        if not os.access(output, os.W_OK):
            raise errors.UsageError(f"{flag} {output}: {os.strerror(errno.EACCES)}")
        return
    if os.path.isfile(output) and not os.access(output, os.W_OK):  # noqa: PTH113 - it would be replaced
        raise errors.UsageError(f"{flag} {output} is write-protected")
    is_folder = os.path.isdir(output)  # noqa: PTH112
    place = output if is_folder else Path(os.path.realpath(output)).parent  # a link is written through
    try:
        if not place.is_dir():
            raise errors.UsageError(f"{flag} {output}: there is no folder {place}")
        with tempfile.TemporaryFile(dir=place):
            pass
        output.exists()
    except OSError as error:
        raise errors.UsageError(f"{flag} {output}: {error.strerror}") from None


def _is_stream(output: Path) -> bool:
    """/dev/null, /dev/stdout, a pipe: there is nothing to replace, and no draft to put beside it."""
    return os.path.exists(output) and not os.path.isfile(output) and not os.path.isdir(output)  # noqa: PTH110, PTH112, PTH113 - these raise nothing


class Terminal(io.RawIOBase):
    """Stdout for a person: what could steer the terminal is written as in JSON, ``\\u001b``."""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any, /) -> int:
        """Write whole characters of UTF-8."""
        sys.stdout.buffer.write(logs.plain_json(bytes(data).decode(errors="replace")).encode())
        return len(data)


def write(chosen: Format, parts: Iterable[Any], output: Path | None) -> None:
    """Write the parts in the format to ``output``, or to stdout without one.

    Raises:
        errors.ClusterError: An item name points outside the output folder.
    """
    try:
        if output is None:
            chosen.write(parts, Terminal() if sys.stdout.isatty() else sys.stdout.buffer)
            sys.stdout.buffer.flush()
        elif chosen.folder:
            output.mkdir(exist_ok=True)
            chosen.write(parts, output)
        else:
            _write_file(chosen, parts, output)
    except ValueError as error:
        raise errors.ClusterError(f"the result cannot be written: {error}") from error
    except (TypeError, LookupError, AttributeError, ArithmeticError) as error:  # of an odd part
        raise errors.ClusterError(f"the result cannot be written: {type(error).__name__}: {error}") from error


def _write_file(chosen: Format, parts: Iterable[Any], output: Path) -> None:
    if _is_stream(output):
        with output.open("wb") as stream:
            chosen.write(parts, stream)
        return
    if _is_others_link(output):
        raise OSError(errno.ELOOP, "it is a link of another user, which is not followed", str(output))
    output = output.resolve()  # what a link points to is replaced, not the link
    handle, draft = tempfile.mkstemp(prefix=".cluster-", suffix=".part", dir=output.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            chosen.write(parts, stream)
        umask = os.umask(0)
        os.umask(umask)
        # mkstemp gives the owner alone a right to read
        Path(draft).chmod(output.stat().st_mode & 0o777 if output.exists() else 0o666 & ~umask)
        Path(draft).replace(output)
    except BaseException as error:
        Path(draft).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = error.filename or str(output)
        raise
