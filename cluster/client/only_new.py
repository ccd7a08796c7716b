"""Which files of an input an output lacks, and remembering those whose results are written."""

from __future__ import annotations

import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import errors
from cluster.client import memory as memories
from cluster.client import result
from cluster.client.memory import Begun, Memory, Stamp
from cluster.inputs import paths
from splitters import PassedOver, page_names
from splitters.items import Choice, Chosen

if TYPE_CHECKING:
    from cluster.format import Format
    from cluster.inputs import Paths
    from cluster.job import Job
    from splitters.files import Found


NO_FILES = "the job {job} makes one result of all its input, and nothing can be added to it: submit all of it"


class Wanted(NamedTuple):
    """A file of the input whose results the output lacks."""

    choice: Choice
    stamp: Stamp | None
    """None: it cannot be reached, and the splitter says why."""


class Selection(NamedTuple):
    """What an input has that an output lacks."""

    wanted: list[Wanted]
    known: int
    """How many files the output has the results of."""
    passed_over: Mapping[str, int]
    """Kind -> how many files the job does not read."""


def chosen(wanted: Iterable[Wanted], *, whole: bool = False) -> Chosen:
    """These files as splitters take them; ``whole`` with all their pages."""
    return Chosen([one.choice._replace(pages=None) if whole else one.choice for one in wanted])


def opened(job: Job, format: Format, name: str, options: Mapping[str, Any], output: Path, cache: Path) -> Memory:
    """The memory of an output.

    Args:
        job: The run's.
        format: In which the result is written.
        name: Of the format.
        options: That decided the results which it is to have.
        output: Where they are.
        cache: This machine's cache folder.

    Raises:
        errors.ClusterError: It is damaged.
    """
    file = memories.place(output, cache, is_folder=format.folder)
    kind = f"{job.name} {name}"
    return Memory(file, output, kind, memories.digest(job.version, options), is_folder=format.folder)


def require_possible(job: Job, name: str, output: Path | None) -> Path:
    """See that results in this format can be added to what the output holds; gives the output.

    Raises:
        errors.UsageError: They cannot.
    """
    able = job.formats_to_add_to
    if not able:
        raise errors.UsageError(NO_FILES.format(job=job.name))
    if name not in able:
        raise errors.UsageError(f"a result in the format {name} cannot be added to; give --format {' or '.join(able)}")
    if output is None or result.is_stream(output):
        raise errors.UsageError("new results are added to those that are there: name their file or folder with -o")
    return output


def walk(job: Job, source: Paths, passed_over: PassedOver) -> Iterator[Found]:
    """The files of the input that the job reads; counts those that it passes over.

    Raises:
        errors.UsageError: The input cannot be reached, or the job makes no difference between files.
    """
    if job.walk is None:
        raise errors.UsageError(NO_FILES.format(job=job.name))
    try:
        yield from job.walk(paths(source), passed_over=passed_over)
    except FileNotFoundError as error:
        raise errors.UsageError(f"no such file or folder: {error.filename}") from None
    except OSError as error:
        raise errors.UsageError(f"{error.filename}: {error.strerror}") from None


def select(job: Job, source: Paths, memory: Memory | None) -> Selection:
    """Walk the input, and leave out the files that the output has the results of; without a memory, none.

    Holds the names of the others.
    """
    passed_over, known = PassedOver(), 0
    wanted: list[Wanted] = []
    for found in walk(job, source, passed_over):
        stamp = Stamp.of(found.path)
        if memory is not None and memory.has(found.name, found.path, stamp):
            known += 1
        else:
            wanted.append(Wanted(Choice(found.name, found.path, None, found.depth), stamp))
    return Selection(wanted, known, passed_over.shown())


def begin(memory: Memory, wanted: Iterable[Wanted]) -> None:
    """Remember what a run is to read, until it has ended."""
    memory.begin(
        Begun(one.choice.name, os.fspath(one.choice.path.absolute()), one.choice.depth, *(one.stamp or (None, None)))
        for one in wanted
    )  # fmt: skip


def begun(memory: Memory) -> list[Wanted]:
    """What the last run was to read, where it was stopped; nothing where one of these files is another one by now."""
    found = []
    for one in memory.begun():
        path = Path(one.path)
        stamp = None if one.size_bytes is None or one.mtime_ns is None else Stamp(one.size_bytes, one.mtime_ns)
        if Stamp.of(path) != stamp:
            return []
        found.append(Wanted(Choice(one.name, path, None, one.depth), stamp))
    return found


class Keeper:
    """Writes results beside those that an output has, and remembers which files they are of.

    Args:
        memory: Of the output; None where nothing is to be remembered.
        wanted: The files that are read.
        output: Where the result goes.
    """

    def __init__(self, memory: Memory | None, wanted: Iterable[Wanted], output: Path) -> None:
        self._memory = memory
        self._wanted = {one.choice.name: one for one in wanted}
        self._output = output
        self._seen: set[str] = set()  # files with a result
        self._kept: set[str] = set()  # those that are remembered
        self.changed: list[str] = []
        """Files that changed while they were read; they are read again the next time."""

    def format(self, chosen: Format) -> Format:
        """The format that adds to what the output holds."""
        write = result.telling(chosen, self.wrote).write
        if chosen.folder or chosen.file or chosen.merge is None:
            return chosen._replace(write=like(write, lambda parts, out, how: write(self._watch(parts), out, **how)))
        return chosen._replace(write=like(write, lambda parts, out, how: self._merge(chosen, parts, out, how)))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The body writes the result. Others who add to the same file wait meanwhile."""
        with nullcontext() if self._memory is None or self._output.is_dir() else self._memory.alone():
            yield
            for name in sorted(self._seen - self._kept):
                self._keep(name, name if (self._output / name).is_dir() else "")  # an archive has a folder

    def wrote(self, document: str, path: Path | None) -> None:
        """The file of a document is in place, or None of one that is left alone, as it would be the next time.

        One of which nothing could be read is tried again then.
        """
        if document in self._seen:
            self._keep(document, "" if path is None else path.relative_to(self._output).as_posix())

    def is_replaced(self, item: str) -> bool:
        """Whether what the output holds of an item gives way: its file was read again."""
        return self._file_of(item) in self._seen

    def _keep(self, name: str, output: str) -> None:
        self._kept.add(name)
        one = self._wanted[name]
        if self._memory is None:
            return
        if one.stamp is None or not self._memory.enter(name, one.choice.path, one.stamp, output):
            self.changed.append(name)

    def _watch(self, parts: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        for part in parts:
            for item, value in part.items():
                if value is not None:
                    self._note(item)
            yield part

    def _note(self, item: str) -> None:
        """The result has this item."""
        if name := self._file_of(item):
            self._seen.add(name)

    def _file_of(self, item: str) -> str:
        """The file that an item lies in: it, its document, or an archive that holds that; "" where none is read."""
        name = item if item in self._wanted else page_names.parse(item)[0]
        while name and name not in self._wanted:
            name = name.rpartition("/")[0]
        return name

    def _merge(self, chosen: Format, parts: Iterable[Mapping[str, Any]], out: Any, how: Mapping[str, Any]) -> None:
        assert chosen.merge is not None  # noqa: S101 - `format` looked
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / "fresh"
            with fresh.open("wb") as stream:
                chosen.write(self._watch(parts), stream, **how)
            if self._output.exists():
                chosen.merge(self._output, fresh, out, self.is_replaced)
                return
            with fresh.open("rb") as stream:
                shutil.copyfileobj(stream, out)


def like(write: Callable[..., None], act: Callable[[Any, Any, Mapping[str, Any]], None]) -> Callable[..., None]:
    """A writer that does ``act`` and takes what ``write`` takes."""

    def acting(parts: Any, out: Any, **how: Any) -> None:
        act(parts, out, how)

    acting.__signature__ = inspect.signature(write)  # type: ignore[attr-defined]
    return acting
