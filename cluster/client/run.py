"""One run, as the program sees it that submitted it or asks for it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import errors
from cluster.client import curve, result, settled
from cluster.ledger.listings import Line, MissingItem, MissingPage, News, Reason, RunsPage, Which, Working
from cluster.ledger.row import Belongs, Publishes, Share
from cluster.ledger.status import Event, Failure, RoundsStatus, Status

if TYPE_CHECKING:
    from cluster.client.nodes import Node
    from cluster.client.session import Input, Session
    from cluster.format import Format
    from cluster.inputs import Paths
    from cluster.job import Job
    from cluster.ledger.listings import Listings

__all__ = [
    "Belongs", "Event", "Failure", "Line", "MissingItem", "MissingPage", "News", "Publishes", "Reason", "RoundsStatus",
    "Run", "RunsPage", "Share", "Status", "Which", "Working",
]  # fmt: skip
POLL_S = 0.2


class Run:
    """One submission of a job. Every method may be called from any thread, and again.

    ``Client.submit`` and ``Client.run`` make it. Of a run that this process submitted, the waiting methods (``wait``,
    ``watch``, ``result``, ``parts``, ``write``) raise what its background thread ended with, as an input that cannot be
    read. Ctrl-C ends such a wait and nothing else: the run goes on.
    """

    def __init__(
        self, id: str, session: Session, find: Callable[[str, str], Job], job: Job | None = None, requirement: str = ""
    ) -> None:  # fmt: skip
        self.id = id
        self._session = session
        self.requirement = requirement
        """The capability that a node needs to do this run; "" for a run that was found by its id alone."""
        self._find = find
        self._job = job
        self._of: tuple[str, str] | None = None
        """Its job's name and version."""
        self._thread: threading.Thread | None = None
        self._reading: tuple[Input | None] | None = None
        """The input that is to be read by the thread that waits, where there is no other."""
        self._given: Input | None = None
        self._save: Path | None = None
        """The folder for its checkpoints."""
        self._over = threading.Event()
        """This process coordinates it no more."""
        self._leaving = threading.Event()
        self._error: BaseException | None = None
        self.error_is_told = False

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    @property
    def job(self) -> Job:
        """Its job, as it is installed on this machine.

        Raises:
            errors.UnknownJob: It is not.
            errors.JobUnavailable: It has another version.
        """
        if self._job is None:
            if self._of is None:
                self.status(failures=False)
            assert self._of is not None  # noqa: S101 - it is known by now
            self._job = self._find(*self._of)
        return self._job

    def status(self, *, failures: bool = True) -> Status:
        """How far it is: what ``cluster status --json`` prints. Without ``failures`` that list is empty, and not read.

        Raises:
            errors.UnknownRun: The cluster does not know it, or not any more.
        """
        found = self._session.stores.ledger.runs.status(self.id, failures=failures)
        self._of = found.job, found.version
        return found

    def nodes(self) -> list[Node]:
        """The machines of its cluster, as ``Client.nodes``; waits for a Redis that is away, if the run does."""
        return self._session.stores.nodes.nodes()

    def events(self, after: str = "") -> list[Event]:
        """Its history, the earliest change first: the last two thousand changes.

        Args:
            after: The ``id`` of the last event that is known; "" for none.
        """
        return self._session.stores.ledger.runs.events(self.id, after)

    def last_events(self, most: int) -> list[Event]:
        """The end of its history, the earliest change first."""
        return self._listings.last_events(self.id, most)

    def timeline(self, after: str = "", since_ms: int = 0) -> list[Line]:
        """Who did what: a line for each message whose chunks were settled together, the last 10,000 of them.

        Args:
            after: The ``id`` of the last line that is known; "" for none.
            since_ms: Those that were settled at this moment or later, in milliseconds since 1970.
        """
        return self._listings.timeline(self.id, after, since_ms)

    def working(self) -> tuple[int, list[Working]]:
        """The moment in milliseconds since 1970 by Redis's clock, and what nodes work on, by the time they began."""
        return self._listings.working(self.id)

    def news(self, line: str, event: str) -> News:
        """Its status, what nodes work on, and what is new in its timeline and history, in one round trip.

        Args:
            line: The id of the last line of the timeline that is known, or a moment as such an id.
            event: The id of the last event that is known.
        """
        return self._listings.news(self.id, line, event)

    def missing(self, after: int = 0, most: int = 100, reason: str = "") -> MissingPage:
        """Some of the items that are missing from its result, as known by now.

        Args:
            after: Of the page before; 0 for the first one.
            most: How many there should be; there may be some hundreds more.
            reason: Those that are missing for one of ``reasons``; "" for all.
        """
        return self._listings.missing(self.id, after, most, reason)

    def reasons(self) -> list[Reason]:
        """Why items are missing, the most frequent reason first. It looks at each of them."""
        return self._listings.reasons(self.id)

    @property
    def _listings(self) -> Listings:
        return self._session.stores.ledger.listings

    @property
    def failures(self) -> Mapping[str, str]:
        """Item -> why it is missing from the result; as known by now."""
        return {failure.item: failure.reason for failure in self.status().failures}

    @property
    def followers(self) -> list[str]:
        """The runs that were begun to do again what is missing from it, the earliest first; some may be gone."""
        row = self._session.stores.ledger.runs.row(self.id, "followers")
        return row.followers.split() if row else []

    @property
    def is_read(self) -> bool:
        """Whether its input is read to its end, so that it needs no submitter any more."""
        progress = self._session.stores.ledger.runs.progress(self.id)
        return progress.split_ended or progress.state != "running"

    def wait(self, timeout_s: float | None = None, *, on_wait: Callable[[], None] = lambda: None) -> Status:
        """Block until the run has ended, however it ended.

        Args:
            timeout_s: Seconds to wait at most; None: without limit.
            on_wait: Called some times a second.

        Raises:
            TimeoutError: It has not ended by then; it goes on. A run whose input the calling thread itself reads
                (``resume.take_up`` without ``background``) is waited for to its end.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        if self._reading is not None:
            self._coordinate(on_wait)
        elif self._thread is not None and not self._leaving.is_set():
            self._join(deadline, on_wait)
        else:
            self._follow(deadline, on_wait)
        return self.status()

    def watch(self, every_s: float = 1.0) -> Iterator[Status]:
        """The status at once, then every ``every_s`` seconds, and when the run has ended a last time."""
        while True:
            self._raise()
            found = self.status()
            if found.state != "running":
                self._settle()
                yield found
                return
            yield found
            try:
                self.wait(every_s)
            except TimeoutError:
                continue

    def curve(self, after: int = 0) -> list[dict[str, Any]]:
        """The rows of the rounds that are closed, without the first ``after`` of them.

        A row has ``round`` (counted from 0), ``kind``, ``at`` (seconds since the run began), ``wall_s``,
        ``deadline_s`` (None: it waited for all parts), ``parts``, ``late``, ``lost``, ``rejected`` (shard -> why),
        ``up_bytes`` and ``down_bytes`` of all shards, ``times`` (seconds of wait, fetch, compute, encode, push, join,
        read, step and write), and what the job tells: of ``train`` ``loss``, ``accuracy`` or ``rmse``, ``steps``,
        ``samples`` and others. Where sites have stores or peers it also has ``topology``, ``why`` that was taken, and
        ``site_bytes``, put into the stores of sites. The last 10,000 rows are kept; a run whose job does not go in
        rounds has none.

        Raises:
            errors.RunFailed: What Redis holds of the run is not what we write.
        """
        return [row for _, row in self.curve_since()][after:]

    def curve_since(self, known: str = "") -> list[tuple[str, dict[str, Any]]]:
        """The rows of ``curve``, each with its id, after the one of that id: to read a long curve piece by piece.

        Raises:
            errors.RunFailed: What Redis holds of the run is not what we write.
        """
        return curve.read(self._session.stores.ledger.rounds, self.id, known)

    def watch_curve(self, every_s: float = 0.5) -> Iterator[dict[str, Any]]:
        """Each row of ``curve``: those of closed rounds at once, the others as they come. It ends with the run."""
        known = ""
        for _ in self.watch(every_s):
            found = self.curve_since(known)
            yield from (row for _, row in found)
            known = found[-1][0] if found else known

    def parts(self, *, live: bool = False, on_wait: Callable[[], None] = lambda: None) -> Iterator[Any]:
        """The result piece by piece, in the order of the input, once the run has ended. Holds one piece at a time.

        What a piece is depends on the job: of ``ocr`` a mapping of some pages to what was read.

        Args:
            live: Give pieces as soon as they are done, while the run goes on: in no order, each item once, also those
                that failed where the job has a value for them (``Job.absent``). It ends with the run.
            on_wait: With ``live``, called some times a second while nothing is done.

        Raises:
            errors.RunCancelled, errors.RunFailed: It has no result.
            errors.UsageError: With ``live``: the parts of this job are no result before they are joined.
        """
        if live:

            def wait() -> None:
                self._raise()
                on_wait()

            return settled.follow(self.id, self.job, self._session.stores, wait)
        result.require_done(self.wait())
        return result.parts(self._session, self.job, self.id)

    def result(self, timeout_s: float | None = None) -> Any:
        """The whole result, once the run has ended. Items that are missing are in ``failures``.

        Of a job that trains a model it is the report about the model, which is published by this.

        Raises:
            errors.RunCancelled, errors.RunFailed: It has none.
            TimeoutError: It has not ended after ``timeout_s`` seconds; it goes on.
        """
        status = self.wait(timeout_s)
        result.require_done(status)
        if self.job.trains:
            return result.report(self._session, self.job, status)
        return self.job.result(self._parts_of_result(), status.options)

    def publish(self, publishes: Publishes | None = None) -> Mapping[str, Any]:
        """Make what the run has trained a version of its model, as ``result`` does; gives the report about it.

        Args:
            publishes: Which version, where that is another one than the run's ``Belongs`` says: whoever calls this
                knows that it may.

        Raises:
            errors.RunCancelled, errors.RunFailed, errors.RunNotFinished: It has no model to publish.
        """
        status = self.status()
        result.require_done(status)
        return result.report(self._session, self.job, status, publishes)

    @property
    def report(self) -> Mapping[str, Any] | None:
        """The report about the model that the run has trained; None as long as nobody has published it.

        ``result`` publishes it.
        """
        return self._session.stores.ledger.reports.of(self.id)

    def write(self, output: str | Path, format: str = "json", source: Paths | None = None) -> None:
        """Write the result, once the run has ended, to a file that is there whole or not at all, or into a folder.

        Args:
            output: The file; of a ``format`` that writes a folder, the folder, which is made.
            format: One of ``job.format_names``. Some need a run that was submitted for them, see ``Client.submit``.
            source: The files and folders that were submitted, for a ``format`` that writes copies of them.

        Raises:
            errors.UsageError: The job has no such format, the run was not submitted for it, or ``source`` is missing.
            errors.ClusterError: The run has no result, or it cannot be written.
            OSError: The file cannot be written.
        """
        status = self.wait()
        result.require_done(status)
        from cluster.inputs import paths

        chosen = self.job.writer(format, status.options)
        if chosen.source:
            if source is None:
                raise errors.UsageError(f"the format {format} writes copies of the input: give it as source")
            chosen = result.with_source(chosen, paths(source))
        result.write(*self.rendered(chosen, status), Path(output))

    def rendered(self, chosen: Format, status: Status) -> tuple[Format, Iterable[Any]]:
        """How the result of a run that is done is written, and the parts to write: see ``format.Format``.

        Of a job that trains a model it is the report about the model, which is published by this.

        Raises:
            errors.ClusterError: The run makes no model, or its parts are gone.
        """
        if self.job.trains:
            return result.of_report(result.report(self._session, self.job, status)), ()
        return chosen, self._parts_of_result()

    def _parts_of_result(self) -> Iterator[Any]:
        """All parts, then one that stands for items that failed, where the job's result has a place for them."""
        yield from result.parts(self._session, self.job, self.id)
        if self.job.absent and (failures := self.failures):
            yield self.job.absent(failures)

    def draw(self, folder: str | Path, source: Paths, since: float = math.inf) -> Sequence[str]:
        """Draw what was found into copies of the input's pictures, in a folder; gives what could not be drawn.

        Args:
            folder: Where to; it is made.
            source: The files and folders that were submitted.
            since: A picture that was changed later, in seconds since 1970, is another one by now.

        Raises:
            errors.UsageError: The job finds nothing that could be drawn.
            errors.RunCancelled, errors.RunFailed: The run has no result.
        """
        status = self.wait()
        result.require_done(status)
        return result.draw(self._session, self.job, self.id, status.options, source, Path(folder), since)

    @property
    def other_reader(self) -> str:
        """The process that reads this run's input instead of this one; "" if there is none."""
        from cluster.client.session import whoami

        found = self.status(failures=False)
        is_read_there = found.role == "splitter" and found.coordinator != whoami()
        return str(found.coordinator) if is_read_there else ""

    def cancel(self, reason: str = "cancelled by its client") -> None:
        """End the run now and drop its results. Does nothing if the run is already cancelled.

        Raises:
            errors.UnknownRun: The cluster does not know it.
            errors.RunFailed: It has ended already, another way.
        """
        did, state = self._session.cancel(self.id, reason)
        if state == "unknown":
            raise self._session.stores.ledger.runs.unknown(self.id)
        if not did and state != "cancelled":
            raise errors.RunFailed(f"the run {self.id} has ended already: {state}")

    def pause(self, why: str = "by its client") -> None:
        """Begin no more chunks of the run; what is being worked on is still counted. Nothing is lost; see ``go_on``.

        It stays as long as a run that is done, by default for a week. Paused again, nothing changes.

        Raises:
            errors.UnknownRun: The cluster does not know it.
            errors.RunOver: It has ended.
            errors.UsageError: Its job goes in rounds.
        """
        state = "in rounds" if self._goes_in_rounds() else self._session.pause(self.id, why)
        if state == "in rounds":
            raise errors.UsageError(
                f"the run {self.id} goes in rounds, in which all its shards are done together: it cannot be paused. To"
                " stop it: `cluster cancel`; with --save its model of the last rounds stays"
            )
        if state == "unknown":
            raise self._session.stores.ledger.runs.unknown(self.id)
        if state != "running":
            raise errors.RunOver(f"the run {self.id} has ended already: {state}")

    def go_on(self, by: str = "") -> bool:
        """Begin chunks of a paused run again; whether it was paused. ``Client.resume`` also reads its input.

        Args:
            by: Who does, for its history; "" for this process.
        """
        from cluster.client.session import whoami

        return self._session.stores.ledger.runs.go_on(self.id, by or whoami())

    @property
    def belongs(self) -> Belongs:
        """The user whose run it is, who sees it, and what it comes from.

        Raises:
            errors.UnknownRun: The cluster does not know it, or not any more.
        """
        return self._session.stores.ledger.runs.belongs(self.id)

    def share(self, share: Share) -> None:
        """Say who sees it on the page besides its owner: nobody ("private"), or each user ("cluster").

        Raises:
            errors.UnknownRun: The cluster does not know it.
            errors.UsageError: It has no owner, so that each user sees it.
        """
        if not self._session.stores.ledger.runs.share(self.id, share):
            self.status(failures=False)
            raise errors.UsageError(f"the run {self.id} is nobody's, so each user sees it")

    def settle(self) -> None:
        """Its result is written: the same command opens another run from now on."""
        self._session.stores.ledger.runs.settle(self.id)

    def pages_of(self, document: str) -> int | None:
        """How many pages of a document this process has read; None as long as it may read more, or if it reads none."""
        return None if self._given is None else self._given.pages_of(document)

    def _goes_in_rounds(self) -> bool:
        try:
            return self.job.rounds is not None
        except errors.ClusterError:  # its job is not installed here
            return False

    # How a run is brought to its end by this process: in the background, or by the thread that waits.

    def begin(self, given: Input | None, *, background: bool, save: Path | None = None) -> Run:
        """Read its input and see that nothing is lost: from now on, or in whichever thread waits for it first.

        Checkpoints of a run in rounds go to the folder ``save``.
        """
        self._save, self._given = save, given
        if background:
            self._reading = None
            self._thread = threading.Thread(target=self._drive, args=(given,), name=self.id, daemon=True)
            self._thread.start()
        else:
            self._reading = (given,)
        return self

    def wait_while_needed(self, *, to_its_end: bool) -> None:
        """Block while the background thread of this process must live for the run: until the input is read.

        Args:
            to_its_end: Block until the run has ended, as its cluster ends with this process.
        """
        if to_its_end and self.is_ours:
            self._over.wait()
        event = ""
        while self.is_ours and not self.is_read:
            event = self._session.stores.ledger.runs.await_event(self.id, event, POLL_S)

    def leave(self, most_s: float) -> None:
        """Leave the run to others, if this process coordinates it in the background; waits for that ``most_s``."""
        self._leaving.set()
        if self._thread is not None:
            self._thread.join(most_s)

    @property
    def is_ours(self) -> bool:
        """Whether a background thread of this process coordinates it."""
        return self._thread is not None and not self._over.is_set()

    @property
    def is_over(self) -> bool:
        """Whether this process, which has opened it, has done with it."""
        return self._over.is_set()

    @property
    def error(self) -> BaseException | None:
        """The error that ended the run's background thread; None if it ended without one, or goes on."""
        return self._error

    def _drive(self, given: Input | None) -> None:
        try:
            with self._session.explaining():
                self._session.coordinate(self.job, self.id, given, self._look_up, self._save)
        except _Left:
            pass
        except BaseException as error:  # noqa: BLE001 - `wait` raises it
            self._error = error
        finally:
            self._over.set()

    def _look_up(self) -> None:
        if self._leaving.is_set():
            raise _Left

    def _coordinate(self, on_wait: Callable[[], None]) -> None:
        assert self._reading is not None  # noqa: S101 - the caller looked
        [given] = self._reading
        self._reading = None
        try:
            with self._session.explaining():
                self._session.coordinate(self.job, self.id, given, on_wait, self._save)
        finally:
            self._over.set()

    def _join(self, deadline: float, on_wait: Callable[[], None]) -> None:
        while not self._over.wait(min(POLL_S, max(0, deadline - time.monotonic()))):
            on_wait()
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{self.id} is still running")
        self._raise()

    def _follow(self, deadline: float, on_wait: Callable[[], None]) -> None:
        ledger, event = self._session.stores.ledger, ""
        with self._session.explaining():
            while ledger.runs.progress(self.id).state == "running":
                on_wait()
                rest_s = deadline - time.monotonic()
                if rest_s <= 0:
                    raise TimeoutError(f"{self.id} is still running")
                event = ledger.runs.await_event(self.id, event, min(POLL_S, rest_s))

    def _raise(self) -> None:
        if self._error is not None:
            self.error_is_told = True
            raise self._error

    def _settle(self) -> None:
        """The run is over, and so is its thread in a moment."""
        if self._thread is not None:
            self._over.wait()
            self._raise()


class _Left(BaseException):
    """The client closes; what goes on is left to others. No ``Exception``: it does not fail the run."""
