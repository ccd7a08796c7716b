"""Do again what is missing from a run: its items as files and pages to read, and what it has of the same documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import errors
from cluster.client import history, result
from cluster.client.memory import Stamp
from cluster.client.only_new import Keeper, Wanted, like, walk
from splitters import PassedOver, page_names
from splitters.items import Choice

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.client import Client
    from cluster.client.memory import Memory
    from cluster.format import Format
    from cluster.inputs import Paths
    from cluster.job import Job

MOST_TOLD = 5


class Missing(NamedTuple):
    """A run that has ended with items missing."""

    run: str
    job: str
    options: Mapping[str, Any]
    items: Collection[str]
    """The names of what is missing."""
    is_kept: bool
    """Whether its result can still be read, so that pages are enough; else documents are read whole."""

    def with_options(self, job: Job, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options of the run, but for those that are given.

        Raises:
            errors.UsageError: It is a run of another job.
        """
        if job.name != self.job:
            raise errors.UsageError(f"{self.run} is a run of the job {self.job}: give --job {self.job}")
        own = {option.name for option in (*job.options, job.chunk_size)}
        return {name: value for name, value in {**self.options, **given}.items() if name in own and value is not None}


def of_run(client: Client, run: str) -> Missing:
    """What is missing from a run that is done: of this cluster, or a private one of this machine that is gone.

    Raises:
        errors.UnknownRun: Neither knows it.
        errors.RunFailed, errors.RunCancelled, errors.RunNotFinished: It has no result.
    """
    if past := history.find(client.config.cache_folder, run):
        return Missing(run, past.job, past.options, past.missing, is_kept=False)
    if client.is_private:
        raise errors.UnknownRun(
            f"no private run {run} was done on this machine lately; of a cluster that stays, give --broker URL"
        )
    status = client.run(run).status()
    result.require_done(status)
    return Missing(run, status.job, status.options, [failure.item for failure in status.failures], is_kept=True)


def select(job: Job, source: Paths, missing: Missing, *, whole: bool) -> list[Wanted]:
    """The files of the input that hold what is missing.

    Args:
        job: The run's.
        source: The input, as the run was submitted with.
        missing: Of the run.
        whole: Documents are read with all their pages.

    Raises:
        errors.UsageError: Some of it is not in this input, or the job reads files in pieces.
    """
    wanted = _pages_of(missing.items)
    files: dict[str, Wanted] = {}
    for found in walk(job, source, PassedOver()):
        name = found.name
        if name in wanted:
            pages = None if whole else wanted.pop(name)
            wanted.pop(name, None)
        elif inside := [document for document in wanted if document.startswith(f"{name}/")]:
            pages = None  # of an archive
            for document in inside:
                del wanted[document]
        else:
            continue
        files[name] = Wanted(Choice(name, found.path, pages, found.depth), Stamp.of(found.path))
    if wanted:
        told = ", ".join(list(wanted)[:MOST_TOLD])
        more = f" and {len(wanted) - MOST_TOLD} more" if len(wanted) > MOST_TOLD else ""
        raise errors.UsageError(
            f"not in this input: {told}{more}, which {missing.run} lacks; name the files and folders that it read"
        )
    return list(files.values())


def _pages_of(items: Iterable[str]) -> dict[str, tuple[int, ...] | None]:
    """Document -> the pages of it; None where it is one item."""
    pages: dict[str, set[int]] = {}
    whole = set()
    for item in items:
        document, number = page_names.parse(item)
        pages.setdefault(document, set())
        if number is None:
            whole.add(document)
        else:
            pages[document].add(number)
    return {document: None if document in whole else tuple(sorted(found)) for document, found in pages.items()}


def beside(earlier: Iterable[Any], fresh: Iterable[Any], documents: Collection[str]) -> Iterator[dict[str, Any]]:
    """All that two runs have of some documents, a part a document, its pages in order. Holds all of it.

    Args:
        earlier: Parts of the run that lacked something.
        fresh: Parts of the run that has read it again; they win.
        documents: The names of the documents that are written again.
    """
    found: dict[str, dict[str, Any]] = {}
    for part in chain(earlier, fresh):
        for item, value in part.items():
            document = page_names.parse(item)[0]
            if document in documents:
                pages = found.setdefault(document, {})
                if value is not None or item not in pages:
                    pages[item] = value
    for pages in found.values():
        yield {item: pages[item] for item in sorted(pages, key=lambda item: page_names.parse(item)[1] or 0)}


class Mender(Keeper):
    """Writes what was read again: items replace items, as the rest of their files was not read.

    Args:
        memory: Of the output; None where it has none.
        wanted: The files that are read.
        output: Where the result goes.
        missing: What they are read for.
        earlier: Gives the parts of the run that lacked it, for formats that write documents whole; None: these are read
            whole.
    """

    def __init__(
        self, memory: Memory | None, wanted: Iterable[Wanted], output: Path, missing: Missing,
        earlier: Callable[[], Iterable[Any]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(memory, wanted, output)
        self._documents = {page_names.parse(item)[0] for item in missing.items}
        self._earlier = earlier
        self._items: set[str] = set()

    def format(self, chosen: Format) -> Format:
        """The format that adds to what the output holds."""
        adding = super().format(chosen)
        if not chosen.folder or self._earlier is None:
            return adding
        earlier = self._earlier

        def write(parts: Any, out: Any, how: Mapping[str, Any]) -> None:
            told = {
                name: value for name, value in how.items() if name != "pages_of"
            }  # of the pages that are read again
            adding.write(beside(earlier(), parts, self._documents), out, **told)

        return adding._replace(write=like(adding.write, write))

    def is_replaced(self, item: str) -> bool:
        """Whether the item was read again."""
        return item in self._items

    def _note(self, item: str) -> None:
        super()._note(item)
        self._items.add(item)
