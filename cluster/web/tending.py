"""Looks after the uploads: each open run of one has a process that reads it, and none lies here for ever."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cluster import errors, logs, names
from cluster.client import submission
from cluster.web import forgetting
from cluster.web.spool_upload import RUNS
from splitters.spool import ORDER

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import Popen

    from cluster.client.run import Status
    from cluster.web.context import Web
    from cluster.web.spool import About
    from cluster.web.spool_upload import Upload

LOOK_S = 10.0
LOOK_AT_ALL_S = 3600.0
"""Uploads that are closed, and whose runs are over, are looked at this often."""
IDLE_S = 24 * 3600.0
"""An open upload to which nothing was sent for this long is closed if a run reads it, and dropped if none does."""
START_S = 30.0
"""Seconds from the begin of a run, or of a process that has ended since, before its reader is missed."""
HANGS_S = 600.0
"""Seconds that a process of ours may live without reading, on a slow machine, before it is missed."""
MOST_STARTS = 5
"""Processes that are started for one run without having read on; one whose last has ended, too, fails."""
TOLD_LINES, TOLD_CHARACTERS = 3, 500
"""Of the log of such a process, in the reason of its run."""
log = logging.getLogger(__name__)


class Tending:
    """Looks after the uploads of a page from a thread of its own."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)
        self._started: Counter[str] = Counter()
        self._last: dict[str, tuple[float, Popen[bytes]]] = {}
        """Run -> when the last process was started, by the monotonic clock, and that process."""
        self._published: dict[str, int] = {}
        """Chunks of a run that had been published when nobody read its upload."""
        self._at_rest: dict[str, list[str]] = {}
        """Uploads that are closed, and their runs, which are all over."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the look that is under way."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(LOOK_S)

    def look(self) -> None:
        """Look after all uploads but those at rest."""
        for about in self._web.spool.listed():
            try:
                if not self._is_at_rest(about.id):
                    self._tend(about)
            except Exception as error:  # noqa: BLE001 - the other uploads are looked after
                log.warning("upload %s: %s", about.id, error, extra={"event": "upload", "upload": about.id})

    def _is_at_rest(self, upload: str) -> bool:
        known = self._at_rest.get(upload)
        return known is not None and known == (self._web.spool.folder / upload / RUNS).read_text().split()

    def _run(self) -> None:
        looked_at = time.monotonic()
        while True:
            try:
                self.look()
                forgetting.sweep(self._web)
            except Exception:  # a thread that ends looks after nothing any more
                log.exception("the uploads could not be looked after", extra={"event": "upload"})
            if self._over.wait(LOOK_S):
                return
            if time.monotonic() - looked_at > LOOK_AT_ALL_S:
                self._at_rest.clear()
                looked_at = time.monotonic()

    def _tend(self, about: About) -> None:
        if not about.is_readable:
            if time.time() - (self._web.spool.folder / about.id / ORDER).stat().st_mtime > IDLE_S:
                self._drop(about.id, "it cannot be read")
            return
        upload = self._web.spool.upload(about.id)
        found = {run: self._status(run) for run in upload.runs()}
        if any(found.values()):
            upload.is_known()
        running = [status for status in found.values() if status is not None and status.state == "running"]
        idle_s = time.time() - upload.touched_at
        for status in running:
            if status.chunks_total is None and not (status.coordinator and status.role == "splitter"):
                self._see_that_it_is_read(upload, status)
        if found and not any(found.values()):
            if upload.gone_for_s() > IDLE_S:  # not at once: this may be the Redis of another cluster
                self._drop(upload.id, "its runs are gone")
        elif not found and idle_s > IDLE_S:
            self._drop(upload.id, "no run has read it for a day")
        elif found and not upload.is_closed and idle_s > IDLE_S:
            log.warning(
                "upload %s: nothing came for a day; its runs go on with the %d files that have arrived", upload.id,
                len(upload), extra={"event": "upload-closed", "upload": upload.id},
            )  # fmt: skip
            upload.close()
        elif found and upload.is_closed and not running:
            self._at_rest[upload.id] = list(found)

    def _status(self, run: str) -> Status | None:
        try:
            return self._web.client.run(run).status(failures=False)
        except errors.UnknownRun:
            return None

    def _see_that_it_is_read(self, upload: Upload, status: Status) -> None:
        run = status.run
        age_s = (datetime.now(UTC) - status.started_at).total_seconds() if status.started_at else START_S
        if status.paused or age_s < START_S or self._is_coming(run):
            return
        if status.chunks_published > self._published.get(run, 0):  # a machine that is off at night ends one a day
            self._started[run], self._published[run] = 0, status.chunks_published
        if self._started[run] >= MOST_STARTS:
            self._give_up(upload, run)
            return
        self._started[run] += 1
        log.warning(
            "run %s: nobody reads its upload %s; a process begins to", run, upload.id,
            extra={"event": "upload-taken-up", "run": run, "upload": upload.id},
        )  # fmt: skip
        process = submission.leave_to_background(self._web.client, run, [names.upload(str(upload.folder.absolute()))])
        self._last[run] = time.monotonic(), process

    def _is_coming(self, run: str) -> bool:
        """Whether the process that was started last may still come to read."""
        if run not in self._last:
            return False
        at, process = self._last[run]
        return time.monotonic() - at < (HANGS_S if process.poll() is None else START_S)

    def _give_up(self, upload: Upload, run: str) -> None:
        log_file = submission.log_folder(self._web.client.config) / f"{run}.log"
        reason = f"what reads its files ended {MOST_STARTS} times: {_tail(log_file)}"
        log.error(
            "run %s: %s", run, reason, extra={"event": "upload-given-up", "run": run, "upload": upload.id}
        )  # fmt: skip
        self._web.client.session.fail(run, reason)

    def _drop(self, upload: str, why: str) -> None:
        log.info("upload %s: dropped: %s", upload, why, extra={"event": "upload-dropped", "upload": upload})
        self._web.spool.drop(upload)


def _tail(log_file: Path) -> str:
    """The last lines of the log of a process, in one."""
    try:
        with log_file.open("rb") as stream:
            stream.seek(-min(4 * TOLD_CHARACTERS, stream.seek(0, os.SEEK_END)), os.SEEK_END)
            lines = stream.read().decode(errors="replace").split("\n")
    except OSError as error:
        return f"its log cannot be read: {error.strerror}"
    told = "; ".join([logs.plain(line.strip()) for line in lines if line.strip()][-TOLD_LINES:])
    return told[-TOLD_CHARACTERS:] or "its log is empty"
