"""The values of runs that did again what was missing from another one: they stand in that one's result.

A run that is begun by "try again" follows the run whose missing items it does. Once it is done, its values are shown
and downloaded with those of the run that it follows, which itself stays as it is.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cluster import errors
from cluster.client.run import Run, Status
from cluster.web import kept
from splitters import page_names

if TYPE_CHECKING:
    from cluster.client import Client


class Followers:
    """Which runs follow which. Any thread may use it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._seen: dict[str, list[str]] = {}
        self._done_again: kept.Kept[dict[str, str]] = kept.Kept(16)

    def of(self, run: str) -> list[Run]:
        """The runs that are done and follow a run, or one of these; the earliest first.

        What is kept of the run is made anew where there are others than before.
        """
        followers: dict[str, Status] = {}
        names = [run]
        for name in names:
            for status in self._done(self._client.run(name).followers):
                if status.run not in (run, *followers):
                    followers[status.run] = status
                    names.append(status.run)
        found = sorted(followers, key=lambda name: followers[name].started_at)
        with self._lock:
            if found != self._seen.get(run, []):
                self._seen[run] = found
                kept.drop(run)
        return [self._client.run(name) for name in found]

    def done_again(self, run: Run) -> Mapping[str, str]:
        """Item that is missing from a run that is done -> the run that has done it since, whose value is shown.

        Empty where the run's job joins its results otherwise than by name, or is not installed here.
        """
        try:
            followers = self.of(run.id) if run.job.joins_by_name else []
        except (errors.UnknownJob, errors.JobUnavailable):
            followers = []
        if not followers:
            return {}
        return self._done_again.get(run.id, lambda: {item: by for item, by, _ in _values(run, followers)})

    def _done(self, runs: Iterable[str]) -> Iterator[Status]:
        for run in runs:
            with suppress(errors.UnknownRun, errors.RunFailed):  # it is gone
                status = self._client.run(run).status(failures=False)
                if status.state == "done":
                    yield status


def values(run: Run, followers: Iterable[Run]) -> dict[str, Any]:
    """What the runs that follow a run have made of the items that are missing from it. Holds all of that."""
    return {item: value for item, _, value in _values(run, followers)}


def _values(run: Run, followers: Iterable[Run]) -> Iterator[tuple[str, str, Any]]:
    """Item that is missing from a run, the run that has done it, and its value; of an item twice the last one wins."""
    missing = run.failures
    for follower in followers:
        with suppress(errors.ClusterError):  # it is forgotten right now
            for part in follower.parts():
                for item, value in part.items():
                    if item in missing and value is not None:
                        yield item, follower.id, value


def parts(before: Iterable[Mapping[str, Any]], laid: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The parts of a run with these values in place of what is missing, each beside the pages of its document."""
    left = dict(laid)
    by_document: defaultdict[str, list[str]] = defaultdict(list)
    for name in laid:
        by_document[page_names.parse(name)[0]].append(name)
    for part in before:
        whole: dict[str, Any] = {}
        for name, value in part.items():
            if value is None and name in laid:
                continue
            whole[name] = left.pop(name, value)
            for other in by_document.pop(page_names.parse(name)[0], ()):
                if other in left:
                    whole[other] = left.pop(other)
        if whole:
            yield whole
    if left:
        yield left
