"""Make the result of a finished run: read its parts, publish its model, write its format, draw its pictures."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from aggregators import by_name
from cluster import errors, functions, logs

if TYPE_CHECKING:
    from cluster.client.run import Publishes, Status
    from cluster.client.session import Session
    from cluster.format import Format
    from cluster.inputs import Paths
    from cluster.job import Job, Options
    from splitters.items import Items


def require_done(status: Status) -> None:
    """See that a run has a result.

    Raises:
        errors.RunCancelled, errors.RunFailed: It was given up.
        errors.RunNotFinished: It goes on.
    """
    why = logs.plain(status.why)
    if status.state == "cancelled":
        raise errors.RunCancelled(f"the run {status.run} was cancelled: {why}")
    if status.state == "failed":
        raise errors.RunFailed(f"the run {status.run} failed: {why}")
    if status.state == "running":
        raise errors.RunNotFinished(f"the run {status.run} is still going on")


def parts(session: Session, job: Job, run: str) -> Iterator[Any]:
    """The parts that together are the result of a finished run, one at a time, in the order of its input.

    Raises:
        errors.RunFailed: Some are gone, or are not what the job gives.
        errors.BlobError: The bytes of one are gone or wrong.
    """
    from cluster.ledger import parts as stored

    if job.rounds:
        from cluster.coordinator import standing

        return iter([standing.result(run, job, session.stores)])
    return stored.of_run(run, job, session.stores)


def report(
    session: Session, job: Job, status: Status, publishes: Publishes | None = None
) -> Mapping[str, Any]:  # fmt: skip
    """Publish what a run has trained; gives what it has become. Done twice it changes nothing.

    Raises:
        errors.ClusterError: It makes no model, or not on this machine.
    """
    from cluster.client.session import whoami
    from cluster.coordinator import publish_model

    return publish_model.publish(job, status, session.stores, session.config, whoami(), publishes=publishes)


def of_report(report: Mapping[str, Any]) -> Format:
    """The format that writes a report about a model, whatever the parts."""
    from cluster.format import Format

    told = f"{readable_json(report)}\n".encode()
    return Format(lambda _, out: out.write(told))


def readable_json(value: Any, pad: str = "") -> str:
    """JSON with a line for each name, and for each row of a table; a list of numbers or texts stands in one line.

    Args:
        value: Only JSON types.
        pad: Stands before each line but the first.
    """
    inner = f"{pad}  "
    if isinstance(value, Mapping) and value:
        begin, end = "{}"
        lines = [f"{_json(name)}: {readable_json(one, inner)}" for name, one in value.items()]
    elif isinstance(value, list) and any(isinstance(one, list | Mapping) for one in value):
        begin, end = "[]"
        lines = [_json(one) for one in value]
    else:
        return _json(value)
    return "\n".join([begin, ",\n".join(f"{inner}{line}" for line in lines), f"{pad}{end}"])


def _json(value: Any) -> str:
    """In one line."""
    return f"[{', '.join(map(_json, value))}]" if isinstance(value, list) else orjson.dumps(value).decode()


def with_source(chosen: Format, source: Sequence[Path] | Items) -> Format:
    """The format with the input that its writer reads once more: see ``Format.source``."""
    return chosen._replace(write=functools.partial(chosen.write, source=source)) if chosen.source else chosen


def telling(chosen: Format, wrote: Callable[[str, Path | None], None]) -> Format:
    """The format whose writer tells of each file that is in place, if it can: see ``Format``."""
    if "wrote" not in functions.parameters(chosen.write):
        return chosen
    before = getattr(chosen.write, "keywords", {}).get("wrote")

    def tell(document: str, path: Path | None) -> None:
        if before is not None:
            before(document, path)
        wrote(document, path)

    return chosen._replace(write=functools.partial(chosen.write, wrote=tell))


def write(chosen: Format, parts: Iterable[Any], output: Path) -> None:
    """Write parts to a file, which is there whole or not at all, or into a folder, which is made.

    Raises:
        errors.ClusterError: An item's name points outside of the folder, or a part is odd.
        OSError: It cannot be written there.
    """
    with naming_odd_parts():
        if chosen.folder:
            output.mkdir(exist_ok=True)
            chosen.write(parts, output)
        else:
            _write_file(chosen, parts, output)


@contextmanager
def naming_odd_parts() -> Iterator[None]:
    """Turn what a writer raises of an odd part into ``errors.ClusterError``."""
    try:
        yield
    except by_name.NotAllWritten as error:
        raise errors.NotAllWritten(f"the result cannot be written: {error}") from error
    except ValueError as error:
        raise errors.ClusterError(f"the result cannot be written: {error}") from error
    except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise errors.ClusterError(f"the result cannot be written: {type(error).__name__}: {error}") from error


def draw(
    session: Session, job: Job, run: str, options: Options, source: Paths, folder: Path, since: float
) -> list[str]:  # fmt: skip
    """Draw what was found into copies of the input's pictures; gives what could not be drawn, a sentence each.

    Here, from the input: from the nodes the pictures would cross the network twice, and fill Redis.

    Args:
        session: Where the run is.
        job: The run's.
        run: Its id.
        options: The run's.
        source: Files and folders, as they were submitted.
        folder: Where to; it is made.
        since: A picture that was changed later, in seconds since 1970, is another one by now.
    """
    if job.draw is None:
        raise errors.UsageError(f"the job {job.name} finds nothing that could be drawn")
    from cluster import annotate
    from cluster.inputs import paths
    from cluster.worker import capacity
    from splitters import pictures

    found = job.run_aggregate(parts(session, job, run), options)
    folder.mkdir(exist_ok=True)
    walked = pictures.walk(paths(source))
    return annotate.write(job.draw, walked, found, folder, workers=capacity.cores(), since=since)


def is_stream(output: Path) -> bool:
    """/dev/null, /dev/stdout, a pipe: there is nothing to replace, and no draft to put beside it."""
    return os.path.exists(output) and not os.path.isfile(output) and not os.path.isdir(output)  # noqa: PTH110, PTH112, PTH113 - these raise nothing


def is_link_of_another_user(output: Path) -> bool:
    """Whether the output is a link that another user put there, so that we would write elsewhere."""
    try:
        found = output.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid())


def _write_file(chosen: Format, parts: Iterable[Any], output: Path) -> None:
    if is_stream(output):
        with output.open("wb") as stream:
            chosen.write(parts, stream)
        return
    if is_link_of_another_user(output):
        raise OSError(errno.ELOOP, "it is a link of another user, which is not followed", str(output))
    output = output.resolve()  # what a link points to is replaced, not the link
    before = _stamp(output)
    handle, draft = tempfile.mkstemp(prefix=".cluster-", suffix=".part", dir=output.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            if not chosen.file:
                chosen.write(parts, stream)
            elif output.exists():
                with output.open("rb") as earlier:
                    shutil.copyfileobj(earlier, stream)
        if chosen.file:
            chosen.write(parts, Path(draft))
            if _stamp(output) != before:
                raise errors.ClusterError(f"{output} was changed while the result was added to it: write it again")
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


def _stamp(file: Path) -> tuple[int, ...]:
    """Another one for a file that was changed."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns
