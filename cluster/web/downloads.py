"""The result of a run as a file to keep, written while it is sent: nothing of it is held, whatever its size."""

from __future__ import annotations

import os
import re
import tempfile
import threading
import weakref
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from aggregators import by_name
from cluster import errors
from cluster.client import result
from cluster.client.run import Run, Status
from cluster.web import laid_over
from cluster.web.problems import Problem
from cluster.web.routes import Asked, Route, Stream
from cluster.web.runs import run_of
from splitters.spool import Sent

if TYPE_CHECKING:
    from cluster.format import Format
    from cluster.web.context import Web

READ_BYTES = 2**16
NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]')
DEVICES = re.compile(r"(?i)con|prn|aux|nul|com\d|lpt\d")
DRAFT_BYTES = 2**20


class Kind(NamedTuple):
    """A kind of file."""

    title: str
    suffix: str
    media: str


KINDS: Mapping[str, Kind] = {
    "pdf": Kind("Searchable PDF", "-pdf.zip", "application/zip"),
    "text-folder": Kind("ZIP of texts", ".zip", "application/zip"),
    "json": Kind("JSON", ".json", "application/json"),
    "jsonl": Kind("JSON lines", ".jsonl", "application/jsonl"),
    "csv": Kind("CSV", ".csv", "text/csv; charset=utf-8"),
    "parquet": Kind("Parquet", ".parquet", "application/vnd.apache.parquet"),
    "npz": Kind("NumPy", ".npz", "application/zip"),
    "sqlite": Kind("SQLite", ".sqlite", "application/vnd.sqlite3"),
    "hocr": Kind("hOCR", "-hocr.zip", "application/zip"),
    "alto": Kind("ALTO", "-alto.zip", "application/zip"),
    "tsv": Kind("TSV", "-tsv.zip", "application/zip"),
}
"""Format of a job -> how it is offered, in this order; others are not."""


class Download(BaseModel):
    """A file that can be downloaded: ``/runs/{run}/download/{name}``."""

    name: str
    title: str
    """For people."""


class Query(BaseModel):
    """Which texts."""

    texts: Literal["corrected", "as-read"] = "corrected"
    """With the corrections that people made on the page; or as the run has read them, as ``cluster result`` has it."""


def of(run: Run, status: Status) -> list[Download]:
    """What can be downloaded of a run."""
    if status.state != "done":
        return []
    try:
        job = run.job
    except errors.ClusterError:  # it is not installed here
        return []
    if job.trains and run.report is None:
        return []
    found = []
    for name, kind in KINDS.items():
        if name not in job.format_names:
            continue
        try:
            chosen = job.writer(name, status.options)
        except errors.ClusterError:  # the run was begun without what it needs, or this machine lacks a package
            continue
        if status.upload or not chosen.source:
            found.append(Download(name=name, title=kind.title))
    return found


def give(asked: Asked) -> Any:
    """A download."""
    run, name = run_of(asked), asked.at["format"]
    status = run.status(failures=False)
    result.require_done(status)
    if name not in KINDS:
        raise Problem(404, f"there is no download {name[:40]!r}; there are: {', '.join(KINDS)}")
    chosen = run.job.writer(name, status.options)
    if chosen.source:
        chosen = result.with_source(chosen, _sent(asked.web, status))
    if run.job.trains:
        return _report(run)
    kind = KINDS[name]
    headers = {"Content-Disposition": f'attachment; filename="{run.id}{kind.suffix}"'}
    if asked.request.method == "HEAD":  # nothing of it is asked for
        return Response(headers=headers, media_type=kind.media)
    end = asked.web.downloading.begin(asked.who.name)
    try:
        sent = Sending(_writing(asked, run, status, chosen), run.id, end)
    except BaseException:
        end()
        raise
    return StreamingResponse(sent.pieces(), media_type=kind.media, headers=headers)


def _writing(asked: Asked, run: Run, status: Status, chosen: Format) -> Callable[[BinaryIO], None]:
    """What writes a download."""
    chosen, parts = run.rendered(chosen, status)
    if run.job.joins_by_name and (followers := asked.web.followers.of(run.id)):
        parts = laid_over.parts(parts, laid_over.values(run, followers))
    if asked.query.texts == "corrected" and status.job == "ocr":
        parts = _corrected(parts, asked.web.corrections.texts(status.owner))
    return lambda out: _write(chosen, parts, out)


def _report(run: Run) -> Response:
    """What a run has trained, once that is published; a download publishes nothing."""
    found = run.report
    if found is None:
        raise Problem(409, f"the model of {run.id} is not published yet, so there is no report: publish it first")
    headers = {"Content-Disposition": f'attachment; filename="{run.id}{KINDS["json"].suffix}"'}
    return Response(f"{result.readable_json(found)}\n", media_type=KINDS["json"].media, headers=headers)


def _sent(web: Web, status: Status) -> Sent:
    if not status.upload:
        raise Problem(404, "this needs the files that were read, which are not on this page's machine")
    return Sent(web.spool.upload(status.upload).folder)


def _corrected(parts: Iterable[Any], texts: Mapping[str, str]) -> Iterable[Any]:
    if not texts:
        return parts
    return ({name: _with_text(record, texts) for name, record in part.items()} for part in parts)


def _with_text(record: Any, texts: Mapping[str, str]) -> Any:
    text = None if record is None else texts.get(record["digest"])
    return record if text is None else {**record, "text": text}


def _write(chosen: Format, parts: Iterable[Any], out: BinaryIO) -> None:
    with result.naming_odd_parts():
        if chosen.folder:
            _write_folder(chosen, parts, out)
        elif chosen.file:
            _write_draft(chosen, parts, out)
        else:
            chosen.write(parts, out)


def _write_draft(chosen: Format, parts: Iterable[Any], out: BinaryIO) -> None:
    with tempfile.NamedTemporaryFile(prefix="cluster-download-") as draft:
        chosen.write(parts, Path(draft.name))
        while piece := draft.read(DRAFT_BYTES):
            out.write(piece)


def _write_folder(chosen: Format, parts: Iterable[Any], out: BinaryIO) -> None:
    """Write the files of a folder into an archive, each as soon as it is there; it is then removed."""
    with (
        tempfile.TemporaryDirectory(prefix="cluster-download-") as held,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        folder = Path(held)

        taken: set[str] = set()

        def keep(_: str, path: Path | None) -> None:
            if path is None:  # of a document that is left alone, which is among the problems
                return
            archive.write(path, named(path.relative_to(folder).as_posix(), taken))
            path.unlink()

        problems: list[str] = []
        try:
            result.telling(chosen, keep).write(parts, folder)
        except by_name.NotAllWritten as error:
            problems += error.problems
        for path in sorted(folder.rglob("*")):  # of a writer that does not tell
            if path.is_file():
                keep("", path)
        if problems:
            archive.writestr("MISSING.txt", "".join(f"{problem}\n" for problem in problems))


def named(name: str, taken: set[str]) -> str:
    """The name of a file in an archive, which each system can unpack; none comes twice, whatever the case."""
    parts = [_unpackable(part) for part in name.split("/")]
    stem, dot, suffix = parts[-1].partition(".")
    found, number = "/".join(parts), 1
    while found.casefold() in taken:
        number += 1
        found = "/".join([*parts[:-1], f"{stem}~{number}{dot}{suffix}"])
    taken.add(found.casefold())
    return found


def _unpackable(part: str) -> str:
    """A file's name without what Windows has in none, nor one of its devices."""
    part = NOT_ON_WINDOWS.sub("_", part)
    part = part.rstrip(". ") or "_"
    return f"_{part}" if DEVICES.fullmatch(part.partition(".")[0].rstrip()) else part


class Sending:
    """What a writer writes, as it is sent. The writer works in a thread, and waits where it is faster than the reader.

    Args:
        write: Writes to a stream that cannot be sought.
        name: For the log.
        on_end: Called once no more of it is sent, whole or not; it may be called twice.

    Raises:
        Exception: What ``write`` raises before it has written anything.
    """

    def __init__(
        self, write: Callable[[BinaryIO], None], name: str, on_end: Callable[[], None] = lambda: None
    ) -> None:  # fmt: skip
        self._reading, writing = os.pipe()
        self._close = weakref.finalize(self, _close, self._reading, on_end)  # what is closed so ends the writer
        self._errors: list[BaseException] = []
        self._writer = threading.Thread(
            target=_run, args=(write, writing, self._errors), name=f"download {name}", daemon=True
        )
        self._writer.start()
        self._first = os.read(self._reading, READ_BYTES)
        if not self._first:
            self._see_end()

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it. Where the writer fails, so does this: what reads it sees that it is not whole."""
        try:
            piece = self._first
            while piece:
                yield piece
                piece = await run_in_threadpool(os.read, self._reading, READ_BYTES)
            await run_in_threadpool(self._see_end)
        finally:
            self._close()

    def _see_end(self) -> None:
        self._writer.join()
        if self._errors:
            raise self._errors[0]


def _close(reading: int, on_end: Callable[[], None]) -> None:
    os.close(reading)
    on_end()


def _run(write: Callable[[BinaryIO], None], writing: int, problems: list[BaseException]) -> None:
    try:
        with os.fdopen(writing, "wb") as out:
            write(out)
    except BrokenPipeError:
        pass  # nobody reads it any more
    except BaseException as error:  # noqa: BLE001 - `Sending` raises it
        problems.append(error)


ROUTES: tuple[Route, ...] = (
    Stream(
        "/runs/{run}/download/{format}",
        give,
        "The result of a run that is done, as a file.",
        "application/octet-stream",
        query=Query,
        by_link=True,
    ),
)
