"""The values of runs that did again what was missing from another one: they stand in that one's result.

A run that is begun by "try again" follows the run whose missing items it does. Once it is done, its values are shown
and downloaded with those of the run that it follows, which itself stays as it is.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cluster import errors
from cluster.client.run import Run, Status, Which
from cluster.web import kept
from splitters import page_names

if TYPE_CHECKING:
    from cluster.client import Client

LOOK_S = 2.0
MOST_RUNS = 500
"""The latest runs, among which those that follow others are found."""


class Followers:
    """Which runs follow which, at most ``LOOK_S`` old. Any thread may use it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._looked_at = -LOOK_S
        self._of: dict[str, list[Status]] = {}
        self._seen: dict[str, list[str]] = {}

    def of(self, run: str) -> list[Run]:
        """The runs that are done and follow a run, or one of these; the earliest first.

        What is kept of the run is made anew where there are others than before.
        """
        with self._lock:
            if time.monotonic() - self._looked_at > LOOK_S:
                self._look()
            names, at = [run], 0
            while at < len(names):
                names += [one.run for one in self._of.get(names[at], ()) if one.run not in names]
                at += 1
            found = sorted(names[1:])
            if found != self._seen.get(run, []):
                self._seen[run] = found
                kept.drop(run)
            order = {one.run: one.started_at for some in self._of.values() for one in some}
        return [self._client.run(name) for name in sorted(found, key=lambda name: order[name])]

    def _look(self) -> None:
        found: defaultdict[str, list[Status]] = defaultdict(list)
        for status in self._client.runs_page(MOST_RUNS, "", Which(state="done")).runs:
            if status.follows:
                found[status.follows].append(status)
        self._of = dict(found)
        self._looked_at = time.monotonic()


def values(run: Run, followers: Iterable[Run]) -> dict[str, Any]:
    """What the runs that follow a run have made of the items that are missing from it. Holds all of that."""
    missing = run.failures
    found: dict[str, Any] = {}
    for follower in followers:
        try:
            for part in follower.parts():
                found |= {name: value for name, value in part.items() if name in missing and value is not None}
        except errors.ClusterError:  # it is forgotten right now
            continue
    return found


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
