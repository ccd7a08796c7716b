"""Write what is settled while a run goes on: files of a folder, JSON lines on stdout."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import redis

from cluster import errors
from cluster.cli import output as outputs
from cluster.cli.output import Target
from cluster.client import Run
from cluster.format import Format
from cluster.functions import parameters

LEAVE_S = 5.0
"""How long a writer may take to let go of the file that it writes, when the run is left."""


class Failed(BaseException):
    """A writer cannot go on. No ``Exception``: what waits for the run would fail it, and the run is only paused."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Live:
    """The writers of one run, each in a thread. Use it in a ``with``; leaving it ends them, wherever they are.

    Args:
        run: Its parts are written as they come.
        to: Where the result goes; a folder is filled while the run goes on if its format can do that.
        follow: Print a JSON line on stdout for each item as well.

    Raises:
        errors.UsageError: The job has no format of JSON lines.
    """

    def __init__(self, run: Run, to: Target, *, follow: bool = False) -> None:
        self._run = run
        self._stopping = threading.Event()
        self._errors: list[BaseException] = []
        writers: list[Callable[[Iterator[Any]], None]] = []
        self.writes_result = is_live(to) or (follow and to.output is None)
        """Whether the result needs not be written once more at the end."""
        if is_live(to):
            writers.append(functools.partial(self._write, to))
        if follow:
            writers.append(self._follow)
        self._threads = [threading.Thread(target=self._drive, args=(one,), daemon=True) for one in writers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(LEAVE_S)

    def check(self) -> None:
        """See that all of them write.

        Raises:
            Failed: One cannot.
        """
        for error in self._errors:
            if not isinstance(error, errors.RunError | redis.RedisError):  # who waits for the run tells these
                raise Failed(error)

    def finish(self) -> None:
        """Wait until all that the run gave is written; it is done.

        Raises:
            BaseException: It cannot be written.
        """
        for thread in self._threads:
            thread.join()
        for error in self._errors:
            raise error

    def _drive(self, write: Callable[[Iterator[Any]], None]) -> None:
        try:
            write(self._parts())
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - `check` raises it where the run is waited for
            if not self._stopping.is_set():
                self._errors.append(error)

    def _parts(self) -> Iterator[Any]:
        """Its parts, until this is left: then the writer gets an error, so that it takes nothing for whole."""
        for part in self._run.parts(live=True, on_wait=self._look):
            self._look()
            yield part

    def _look(self) -> None:
        if self._stopping.is_set():
            raise _Stopped

    def _write(self, to: Target, parts: Iterator[Any]) -> None:
        to.write_parts(with_pages(to.chosen, self._run), parts)

    def _follow(self, parts: Iterator[Any]) -> None:
        status = self._run.status(failures=False)
        outputs.follow(with_pages(self._run.job.writer(outputs.LINES, status.options), self._run), parts)


class _Stopped(BaseException):
    """The run is left."""


def is_live(to: Target) -> bool:
    """Whether a result is written while the run goes on."""
    return to.chosen.live and to.chosen.folder and to.output is not None


def with_pages(chosen: Format, run: Run) -> Format:
    """The format, told how many pages each document has, where its writer takes that."""
    if "pages_of" not in parameters(chosen.write):
        return chosen
    return chosen._replace(write=functools.partial(chosen.write, pages_of=run.pages_of))


def require_lines(job: Any) -> None:
    """See that the parts of a job can be printed as JSON lines.

    Raises:
        errors.UsageError: They cannot.
    """
    if outputs.LINES not in job.format_names or not job.joins_by_name:
        raise errors.UsageError(f"--follow prints JSON lines, and the job {job.name} has no format {outputs.LINES}")
