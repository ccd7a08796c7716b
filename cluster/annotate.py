"""Write labelled pictures: what a run found, drawn into the pictures of its input, in several processes."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing import connection, resource_tracker
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from aggregators import by_name
from splitters import files

Draw = Callable[[bytes, list[Any]], bytes]
"""(a picture's file, what was found in it) -> the labelled picture's file. A function of a module, not a lambda."""


class Task(NamedTuple):
    """One picture to draw."""

    found: files.Found
    result: list[Any]
    folder: Path
    """The output folder."""
    path: Path
    draft: Path
    """The file beside ``path`` that is written first. A process that ends its writer removes it."""
    since: float


def write(
    draw: Draw,
    found: Iterable[files.Found],
    results: Mapping[str, list[Any]],
    folder: Path,
    *,
    workers: int,
    since: float = math.inf,
) -> list[str]:
    """Draw every picture that has a result, into ``folder/<item name>``.

    Args:
        draw: Called in other processes, which import its module.
        found: The input, walked once more. Those without a result are passed over.
        results: Item name -> what was found in it.
        folder: Made where it is not there. A file is there whole or not at all; one that is there already is
            replaced, but never a picture of the input.
        workers: How many processes draw at a time, 1 or more. Each holds one picture, and is started when needed.
        since: When the run began to read its input, in seconds since 1970. What was changed later is not drawn:
            the boxes are those of another picture.

    Returns:
        What was not drawn and why, a sentence each.

    Where it is interrupted, its processes are ended and no half file stays. A program that calls it must be
    importable without side effects (``if __name__ == "__main__"``), as always with processes that are spawned.
    """
    problems: list[str] = []
    left = dict.fromkeys(results)
    with _Children(draw, max(1, workers)) as children:
        for number, one in enumerate(_walked(found, problems)):
            if one.name not in left:
                continue
            del left[one.name]
            try:
                path = by_name.path_below(folder, one.name)
            except ValueError as error:
                problems.append(str(error))
                continue
            draft = path.with_name(f".cluster-draft-{os.getpid()}-{number}.part")
            problems += children.give(Task(one, results[one.name], folder, path, draft, since))
        problems += children.finish()
    problems += (f"{name}: is no longer in the input" for name in left)
    return problems


def _walked(found: Iterable[files.Found], problems: list[str]) -> Iterator[files.Found]:
    try:
        yield from found
    except OSError as error:  # a folder that was given is gone; its pictures are told one by one
        problems.append(f"{error.filename}: {files.cannot_read(error)}")


class _Child:
    """A process that draws one picture at a time."""

    def __init__(self, draw: Draw) -> None:
        self.task: Task | None = None
        spawning = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self.pipe, theirs = spawning.Pipe()
        self.process = spawning.Process(target=_serve, args=(theirs, draw), daemon=True, name="annotate")
        resource_tracker.ensure_running()  # else it is started below, and lets interrupts through again
        with _no_interrupt():  # Ctrl-C reaches all processes of a terminal; ours are ended by their owner
            self.process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        self.task = task
        try:
            self.pipe.send(task)
        except OSError:
            return  # it is gone, which `answer` finds out

    def answer(self) -> str:
        """Wait until the task is done; return why it could not be, or "".

        Raises:
            EOFError: The process ended.
        """
        try:
            problem: str = self.pipe.recv()
        except OSError:
            raise EOFError from None
        self.task = None
        return problem

    def end(self) -> None:
        """Now, and without a trace of what it was doing."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        if self.task:
            with contextlib.suppress(OSError):
                self.task.draft.unlink()


class _Children:
    """Up to ``size`` children."""

    def __init__(self, draw: Draw, size: int) -> None:
        self._draw, self._size = draw, size
        self._children: list[_Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for child in self._children:
            child.end()

    def give(self, task: Task) -> list[str]:
        """Have it drawn, once a child is free; gives the problems of tasks that have ended."""
        problems = []
        if all(child.task for child in self._children) and len(self._children) == self._size:
            problems = self._wait()
        free = next((child for child in self._children if not child.task), None)
        if free is None:
            free = _Child(self._draw)
            self._children.append(free)
        free.give(task)
        return problems

    def finish(self) -> list[str]:
        """Wait for all that is being drawn; gives the problems."""
        problems = []
        while any(child.task for child in self._children):
            problems += self._wait()
        return problems

    def _wait(self) -> list[str]:
        busy = {child.pipe: child for child in self._children if child.task}
        problems = []
        for pipe in connection.wait(list(busy)):
            child = busy[pipe]  # type: ignore[index]
            name = child.task.found.name if child.task else ""
            try:
                problem = child.answer()
            except EOFError:  # killed, perhaps for want of memory, perhaps by a picture that crashes the decoder
                child.end()
                self._children.remove(child)
                problem = f"the process that drew it ended with {child.process.exitcode}"
            if problem:
                problems.append(f"{name}: {problem}")
        return problems


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold back Ctrl-C; a process started here never gets one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: connection.Connection, draw: Draw) -> None:
    """A child's life: it ends with its parent, whose end of the pipe closes."""
    while True:
        try:
            pipe.send(draw_one(draw, pipe.recv()))
        except (EOFError, OSError):
            return


def draw_one(draw: Draw, task: Task) -> str:
    """Read, draw and write one picture; gives what kept it from being done, or ""."""
    item = files.read(task.found)
    if item.problem:
        return item.problem
    try:
        # When its entry changed: the time of its bytes stays old where another file takes its place.
        with files.reached(task.found.path) as path:
            is_changed = path.stat().st_ctime > task.since
            is_input = task.path.exists() and task.path.samefile(path)
        if is_changed:
            return "was changed after the run had begun"
        if is_input:
            return "would be replaced by what is drawn; give another output folder"
    except OSError as error:
        return files.cannot_read(error)
    try:
        drawn = draw(item.data, task.result)
    except Exception as error:  # noqa: BLE001 - one picture's problem must not keep the others from being drawn
        return f"cannot be drawn: {error or type(error).__name__}"
    try:
        by_name.put(task.folder, task.path, task.draft, drawn)
    except OSError as error:
        return f"cannot be written: {error.strerror or error}"
    return ""
