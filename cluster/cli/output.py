"""Write a result: to stdout, or to a file or folder that is there whole or not at all."""

from __future__ import annotations

import errno
import io
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import errors, logs
from cluster.cli import say, texts
from cluster.client import Run, result
from cluster.client.run import Status
from cluster.format import Format
from cluster.inputs import paths
from cluster.job import Job

if TYPE_CHECKING:
    from cluster.client.only_new import Keeper

CLOCKS_DIFFER_S = 60
"""A run begins by Redis's clock, pictures change by this machine's."""


LINES = "jsonl"
"""The format that `--follow` prints."""


class Tally:
    """How many files a writer has told of."""

    def __init__(self) -> None:
        self.files = 0

    def wrote(self, _: str, path: Path | None) -> None:
        """Count one."""
        self.files += path is not None


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
    """Time in seconds since 1970; a picture that changed later is not drawn: the run read another one."""
    report: Path | None = None
    """File for a table of all items."""
    reports_behind: bool = False
    """The table has rows of this command already, which stay."""
    keeper: Keeper | None = None
    """Adds the result to what is there; None: it takes the place of that."""
    name: str = "json"
    """Of the format."""
    passed_over: Mapping[str, int] = {}
    """Kind -> files that were left out before the run was begun."""
    tally: Tally | None = None
    """Of the files of a folder; None where its writer does not tell."""
    unwritten: list[str] | None = None
    """Gets what could not be written to a folder, a sentence each; without it that is an error."""

    def place(self) -> str:
        """Where the result is, for people, with the number of files in a folder; "" on stdout, or for no file."""
        if self.output is None or (self.tally and not self.tally.files):
            return ""
        name = logs.plain(str(self.output))
        return f"{name} ({texts.count(self.tally.files, 'file')})" if self.tally else name

    def write(self, run: Run, status: Status, *, is_written: bool = False) -> Sequence[str]:
        """Write the result of a run that is done; gives what could not be written or drawn, a sentence each.

        Of a run that trains it is the report about the model, which is published first. Where it ``is_written`` while
        the run went on, it is not written again.

        Raises:
            errors.ClusterError: It cannot be written, or makes no model.
        """
        if not is_written:
            self.write_parts(*run.rendered(self.chosen, status))
        if self.report is not None:
            from cluster.client import report

            report.write(run, status, self.report, behind=self.reports_behind)
        unwritten = tuple(self.unwritten or ())
        if self.drawn is None:
            return unwritten
        return (*unwritten, *run.draw(self.drawn, self.source, self.since))

    def write_parts(self, chosen: Format, parts: Iterable[Any]) -> None:
        """Write parts of the result in a format."""
        try:
            with self.keeper.writing() if self.keeper else nullcontext():
                write(chosen, parts, self.output)
        except errors.NotAllWritten as error:
            problems = getattr(error.__cause__, "problems", None)
            if self.unwritten is None or not problems:
                raise
            self.unwritten.extend(problems)


def prepare(
    job: Job, name: str, options: Mapping[str, Any], given: str | Path | None,
    drawn: Path | None = None, source: Sequence[str] = (), begun: datetime | None = None,
    reported: Path | None = None,
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
        reported: See ``Target.report``.

    Raises:
        errors.UsageError: The job has no such format or draws nothing, or the output cannot be there.
    """
    chosen = job.writer(name, options)
    output = None if given is None else Path(given)
    if chosen.source:
        if not source:
            raise errors.UsageError(f"--format {name} writes copies of the input: name it, as it was submitted")
        chosen = result.with_source(chosen, paths(source))
    _check_output(job, name, chosen, options, output, source, is_folder=str(given).endswith("/"))
    if drawn is not None:
        _check_drawing(job, drawn, source)
        if output is not None and output.resolve() == drawn.resolve():
            raise errors.UsageError(f"-o and --annotate are both {drawn}; the one is a file, the other a folder")
    if reported is not None:
        _check_report(job, reported, output, source)
    since = time.time() if begun is None else begun.timestamp() + CLOCKS_DIFFER_S
    tally = Tally()
    told = result.telling(chosen, tally.wrote) if chosen.folder else chosen
    return Target(
        told, output, drawn, source, since, reported, name=name, tally=None if told is chosen else tally,
        unwritten=[] if chosen.folder else None,
    )  # fmt: skip


def _check_output(
    job: Job, name: str, chosen: Format, options: Mapping[str, Any], output: Path | None, source: Sequence[str], *,
    is_folder: bool,
) -> None:  # fmt: skip
    if output is None:
        if chosen.folder or chosen.file:
            kind = "folder" if chosen.folder else "file"
            raise errors.UsageError(f"--format {name} writes a {kind}: give it with -o {kind.upper()}")
        return
    if chosen.folder and os.path.exists(output) and not os.path.isdir(output):  # noqa: PTH110, PTH112 - these raise nothing
        raise errors.UsageError(f"-o {output} is no folder")
    if not chosen.folder and is_folder:
        raise errors.UsageError(f"-o {output}/ names a folder, but --format {name} writes a file: leave out the /")
    if not chosen.folder:
        _check_is_no_folder("-o", output)
    if chosen.folder and chosen.source:
        _check_lies_apart("-o", output, source)
    if chosen.file and result.is_stream(output):
        raise errors.UsageError(f"-o {output}: --format {name} writes a file, and no stream")
    if not chosen.folder and any(os.path.realpath(output) == os.path.realpath(root) for root in paths(source)):
        raise errors.UsageError(f"-o {output} would write over the input; name another file")
    _check_place("-o", output)
    if not chosen.folder and not result.is_stream(output):
        _check_is_no_input(job, options, output, source)
    if chosen.refuses and output.exists() and (why := chosen.refuses(output)):
        raise errors.UsageError(f"-o {output} {why}; name another file")


def _check_report(job: Job, file: Path, output: Path | None, source: Sequence[str]) -> None:
    from cluster.client import report

    report.require_items(job)
    check_file("--report", file)
    place = os.path.realpath(file)
    if output is not None and place == os.path.realpath(output):
        raise errors.UsageError(f"-o and --report are both {file}; name two files")
    if any(place == os.path.realpath(root) for root in paths(source)):
        raise errors.UsageError(f"--report {file} would write over the input; name another file")


def _check_drawing(job: Job, folder: Path, source: Sequence[str]) -> None:
    if job.draw is None:
        raise errors.UsageError(f"the job {job.name} finds nothing that could be drawn: leave out --annotate")
    if not source:
        raise errors.UsageError("--annotate draws into copies of the input: name it, as it was submitted")
    if folder.exists() and not folder.is_dir():
        raise errors.UsageError(f"--annotate {folder} is no folder")
    _check_lies_apart("--annotate", folder, source)
    _check_place("--annotate", folder)


def _check_lies_apart(flag: str, folder: Path, source: Sequence[str]) -> None:
    place = folder.resolve()
    for root in paths(source):
        if place == (root if root.is_dir() else root.parent).resolve():
            raise errors.UsageError(f"{flag} {folder} would write over the input {root}; name another folder")
        if place.is_relative_to(root.resolve()):
            raise errors.UsageError(
                f"{flag} {folder} lies in the input {root}: a next run would read what is written there; name a folder"
                " outside of it"
            )


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


def check_file(flag: str, output: Path) -> None:
    """See that a file can be written there.

    Raises:
        errors.UsageError: It cannot.
    """
    _check_is_no_folder(flag, output)
    _check_place(flag, output)


def _check_is_no_folder(flag: str, output: Path) -> None:
    if os.path.isdir(output):  # noqa: PTH112 - this raises nothing
        raise errors.UsageError(f"{flag} {output} is a folder; give the name of a file")


def _check_place(flag: str, output: Path) -> None:
    if result.is_link_of_another_user(output):
        raise errors.UsageError(f"{flag} {output} is a link of another user; name what it points to")
    if result.is_stream(output):
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


class Terminal(io.RawIOBase):
    """Stdout for a person: what could steer the terminal is written as in JSON, ``\\u001b``."""

    def writable(self) -> bool:
        """Return True: the stream takes writes."""
        return True

    def write(self, data: Any, /) -> int:
        """Write whole characters of UTF-8."""
        sys.stdout.buffer.write(logs.plain_json(bytes(data).decode(errors="replace")).encode())
        return len(data)


class Lines(io.RawIOBase):
    """Stdout for a program that reads each line as it comes."""

    def writable(self) -> bool:
        """Return True: the stream takes writes."""
        return True

    def write(self, data: Any, /) -> int:
        """Write, and let nothing wait."""
        stream = Terminal() if sys.stdout.isatty() else sys.stdout.buffer
        stream.write(data)
        sys.stdout.buffer.flush()
        return len(data)


def follow(chosen: Format, parts: Iterable[Any]) -> None:
    """Print parts as lines on stdout, as they come."""
    with result.naming_odd_parts():
        chosen.write(parts, Lines())


def write(chosen: Format, parts: Iterable[Any], output: Path | None) -> None:
    """Write the parts in the format to ``output``, or to stdout without one.

    Raises:
        errors.ClusterError: An item name points outside the output folder.
    """
    if output is not None:
        result.write(chosen, parts, output)
        return
    with result.naming_odd_parts():
        chosen.write(parts, Terminal() if sys.stdout.isatty() else sys.stdout.buffer)
        sys.stdout.buffer.flush()
