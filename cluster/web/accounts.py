"""Entering by a one-time link, leaving, and one's own account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route as Path

from cluster.client.accounts import IDLE_S
from cluster.roles import Role
from cluster.web import access, render
from cluster.web.problems import Problem, ProblemBody
from cluster.web.routes import Action, Asked, Route, View

if TYPE_CHECKING:
    from starlette.requests import Request

    from cluster.web.context import Web

MAX_ENTER_BYTES = 4096


class Account(BaseModel):
    """Who one is here."""

    name: str
    role: str


class Entry(BaseModel):
    """The secret of a one-time link."""

    secret: str


def show(asked: Asked) -> Account:
    """One's own account."""
    return Account(name=asked.who.name, role=asked.who.role.word)


def leave(asked: Asked) -> Response:
    """End this browser's session."""
    name = access.cookie_name(asked.web)
    if session := asked.request.cookies.get(name):
        asked.web.accounts.leave(session)
    answer = Response(status_code=204)
    answer.delete_cookie(name, path="/", secure=asked.web.is_tls, httponly=True, samesite="strict")
    return answer


def doors(web: Web) -> Sequence[Path]:
    """Where one comes in. The secret stands in the link's fragment, which browsers send nobody; the page posts it."""

    async def show_door(request: Request) -> Response:
        return render.door(request, ProblemBody(status=200, detail=""), {})

    async def enter(request: Request) -> Response:
        access.require_type(request, access.JSON)
        try:
            body = await request.body()
            given = Entry.model_validate(orjson.loads(body[:MAX_ENTER_BYTES]))
        except (ValidationError, orjson.JSONDecodeError):
            raise Problem(422, "the secret of a link is needed") from None
        session = await run_in_threadpool(web.accounts.enter, given.secret)
        if session is None:
            raise Problem(401, "this link was used already, or is older than 10 minutes: `cluster web link` makes one")
        answer = Response(status_code=204)
        answer.set_cookie(
            access.cookie_name(web), session, max_age=IDLE_S, path="/", secure=web.is_tls, httponly=True,
            samesite="strict",
        )  # fmt: skip
        return answer

    return Path("/enter", show_door, methods=["GET"]), Path("/enter", enter, methods=["POST"])


ROUTES: tuple[Route, ...] = (
    View("/account", show, "account.html", "Who one is here."),
    Action("POST", "/api/leave", leave, "End this browser's session.", Role.VIEWER),
)
