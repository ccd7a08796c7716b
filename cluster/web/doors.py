"""Where one comes in: by a one-time link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route as Path

from cluster.client.accounts import MOST_S
from cluster.web import access, render
from cluster.web.problems import Problem, ProblemBody

if TYPE_CHECKING:
    from starlette.requests import Request

    from cluster.web.context import Web

MAX_ENTER_BYTES = 4096


class Entry(BaseModel):
    """The secret of a one-time link."""

    secret: str


def paths(web: Web) -> Sequence[Path]:
    """The page for entering. The secret stands in the link's fragment, which browsers send nobody: it is posted."""

    async def show(request: Request) -> Response:
        return render.door(request, ProblemBody(status=200, detail=""), {})

    async def enter(request: Request) -> Response:
        access.require_type(request, access.JSON)
        address = access.address(request)
        web.failures.require_few(address)
        secret = await secret_of(request)
        browser = request.headers.get("user-agent", "")
        session = await run_in_threadpool(web.accounts.enter, secret, browser, address)
        if session is None:
            web.failures.note(address)
            raise Problem(401, "this link was used already, or is older than 10 minutes: `cluster web link` makes one")
        answer = Response(status_code=204)
        answer.set_cookie(
            access.cookie_name(web), session, max_age=MOST_S, path="/", secure=web.is_tls, httponly=True,
            samesite="strict",
        )  # fmt: skip
        return answer

    return Path("/enter", show, methods=["GET"]), Path("/enter", enter, methods=["POST"])


async def secret_of(request: Request) -> str:
    """The secret that a page for entering, or for an invitation, has posted.

    Raises:
        Problem: There is none (422), or the body is too long (413).
    """
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_ENTER_BYTES:
            raise Problem(413, f"the body has more than {MAX_ENTER_BYTES} bytes")
    try:
        return Entry.model_validate(orjson.loads(bytes(data))).secret
    except (ValidationError, orjson.JSONDecodeError):
        raise Problem(422, "the secret of a link is needed") from None
