"""Uploads: begin one, send files into it, see what has arrived, close or drop it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import orjson
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from cluster import errors
from cluster.roles import Role
from cluster.web import receive
from cluster.web.problems import Problem
from cluster.web.receive import Received, Sending
from cluster.web.routes import Action, Asked, Route, Stream, View
from cluster.web.senders import Turn
from cluster.web.spool import Spool, Unreadable
from cluster.web.spool_upload import Upload

__all__ = ["ROUTES", "Spool", "Upload", "own"]
MOST_SHOWN = 200


class BeginUpload(BaseModel):
    """What is to be sent, as far as that is known."""

    files: int | None = Field(None, ge=0)
    bytes: int | None = Field(None, ge=0)
    job: str = ""


class UploadArrived(BaseModel):
    """An upload: what is expected, and what has arrived."""

    upload: str
    user: str
    files: int
    files_expected: int | None
    size_bytes: int
    bytes_expected: int | None
    is_closed: bool
    runs: list[str]
    job: str
    names: list[str] = []
    """Of the last files that have arrived, up to 200."""


class FileAt(BaseModel):
    """How far a large file has come."""

    offset: int
    """How many bytes of it are here."""
    name: str
    """Under which it is kept; "" until it is whole."""


class OfFile(Sending):
    """A large file, as the address of its slices names it."""


def begin(asked: Asked) -> UploadArrived:
    """A new upload."""
    body: BeginUpload = asked.body
    return arrived(asked.web.spool.begin(asked.who.name, body.files, body.bytes, body.job))


def show(asked: Asked) -> UploadArrived:
    """What has arrived of an upload."""
    upload = own(asked)
    return arrived(upload).model_copy(update={"names": upload.names()[-MOST_SHOWN:]})


def close(asked: Asked) -> UploadArrived:
    """No more files come; runs that read the upload go on to their end."""
    upload = own(asked)
    upload.close()
    return arrived(upload)


def drop(asked: Asked) -> None:
    """Remove an upload that no run reads."""
    spool, client = asked.web.spool, asked.web.client
    try:
        upload = own(asked)
    except Unreadable:  # no run can read it either
        return spool.drop(asked.at["upload"])
    for run in upload.runs():
        with suppress(errors.UnknownRun):
            if client.run(run).status(failures=False).state == "running":
                raise Problem(409, f"the run {run} reads it: cancel that first")
    return spool.drop(upload.id)


def list_arrived(asked: Asked) -> Response:
    """Name, size and time of change of each file that has arrived: a JSON array a line."""
    entries = own(asked).entries()
    lines = (orjson.dumps([one.name, one.size_bytes, one.modified_ms]) + b"\n" for one in entries)
    return StreamingResponse(_joined(lines), media_type="application/jsonl")


async def take_bundle(asked: Asked) -> Received:
    """Take many files that come in one body: for each a line ``{"name", "size", "modified"}``, then its bytes."""
    upload = await run_in_threadpool(own, asked)
    length = int(asked.request.headers.get("content-length", "0"))
    with _receiving(asked) as turn:
        await run_in_threadpool(asked.web.spool.require_room, upload.head.user, length)
        bundle = receive.Bundle(upload)
        try:
            await receive.take(asked.request, receive.MAX_BUNDLE_BYTES, bundle, turn)
            return await run_in_threadpool(bundle.end)
        finally:
            await run_in_threadpool(bundle.keep)


async def take_slice(asked: Asked) -> FileAt:
    """Take a slice of a large file. The header ``Upload-Offset`` says where in the file it begins; answer 409 has the
    right one."""
    upload = await run_in_threadpool(own, asked)
    try:
        offset = int(asked.request.headers.get("upload-offset", "0"))
    except ValueError:
        raise Problem(422, "Upload-Offset must be a number of bytes") from None
    sending: Sending = asked.query
    with _receiving(asked) as turn:
        await run_in_threadpool(asked.web.spool.require_room, upload.head.user, sending.size - offset)
        if upload.known(sending.name, sending.size, sending.modified):
            return FileAt(offset=sending.size, name=sending.name)
        slice_ = await run_in_threadpool(receive.Slice, upload, sending, offset)
        try:
            await receive.take(asked.request, sending.size, slice_, turn)
        finally:
            at, name = await run_in_threadpool(slice_.end)
        return FileAt(offset=at, name=name)


def offset(asked: Asked) -> Response:
    """How many bytes of a large file are here."""
    at = receive.offset(own(asked), asked.query)
    return Response(orjson.dumps({"offset": at}), media_type="application/json")


def own(asked: Asked) -> Upload:
    """The upload that the address names.

    Raises:
        Problem: There is none, or it is another user's, and one is no operator (404).
        Unreadable: It is one's own, and cannot be understood (409).
    """
    return own_upload(asked, asked.at["upload"])


def own_upload(asked: Asked, id: str) -> Upload:
    """An upload of one's own by its id; raises as ``own``."""
    try:
        upload = asked.web.spool.upload(id)
    except Unreadable:
        _require_own(asked, id, asked.web.spool.about(id).user)
        raise
    _require_own(asked, id, upload.head.user)
    return upload


def _require_own(asked: Asked, id: str, user: str) -> None:
    if user != asked.who.name and not asked.who.may(Role.OPERATOR):
        raise Problem(404, f"there is no upload {id!r} here")


def arrived(upload: Upload) -> UploadArrived:
    """An upload in short."""
    return UploadArrived(
        upload=upload.id, user=upload.head.user, files=len(upload), files_expected=upload.head.files,
        size_bytes=upload.size_bytes, bytes_expected=upload.head.size_bytes, is_closed=upload.is_closed,
        runs=upload.runs(), job=upload.head.job,
    )  # fmt: skip


@contextmanager
def _receiving(asked: Asked) -> Iterator[Turn]:
    """Count a request that sends files, which has its turns by what this gives."""
    with asked.web.spool.senders.counted(asked.who.name) as turn:
        try:
            yield turn
        except FileNotFoundError:
            raise Problem(404, "this upload was dropped meanwhile: begin another one") from None


def _joined(lines: Iterator[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for line in lines:
        held += line
        if len(held) >= 2**16:
            yield bytes(held)
            held.clear()
    yield bytes(held)


ROUTES: tuple[Route, ...] = (
    Action("POST", "/api/uploads", begin, "Begin an upload.", Role.SUBMITTER, body=BeginUpload),
    View("/uploads/{upload}", show, "upload.html", "What has arrived of an upload.", Role.SUBMITTER),
    Stream(
        "/api/uploads/{upload}/files", list_arrived, "The files that have arrived: name, size and time of change of"
        " each as a JSON array a line.", "application/jsonl", Role.SUBMITTER,
    ),
    Action(
        "POST", "/api/uploads/{upload}/bundle", take_bundle, "Send many files: for each a line of JSON with name, size"
        " and modified, then its bytes.", Role.SUBMITTER, takes_bytes=True,
    ),
    Stream(
        "/api/uploads/{upload}/offset", offset, "How many bytes of a large file are here.", "application/json",
        Role.SUBMITTER, query=OfFile,
    ),
    Action(
        "PUT", "/api/uploads/{upload}/file", take_slice, "Send a slice of a large file; the header Upload-Offset says"
        " where in it the slice begins.", Role.SUBMITTER, query=OfFile, takes_bytes=True,
    ),
    Action("POST", "/api/uploads/{upload}/close", close, "Say that no more files come.", Role.SUBMITTER),
    Action("DELETE", "/api/uploads/{upload}", drop, "Remove an upload that no run reads.", Role.SUBMITTER),
)  # fmt: skip
