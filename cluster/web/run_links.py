"""Links that let whoever has one see a run for some time: made and ended by those who may change the run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from cluster.roles import Role
from cluster.web import access, render
from cluster.web import doors as entering
from cluster.web.problems import Problem, ProblemBody
from cluster.web.routes import Action, Asked, Route, View
from cluster.web.runs import run_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from cluster.client.accounts import RunLink
    from cluster.web.context import Web

DOOR = "/shared"
Valid = Literal["1 hour", "1 day", "7 days"]
VALID_S: Mapping[Valid, int] = {"1 hour": 3600, "1 day": 24 * 3600, "7 days": 7 * 24 * 3600}
log = logging.getLogger(__name__)


class LinkOfRun(BaseModel):
    """A link as those see it who may end it."""

    id: str
    """Names the link, and does not open it."""
    by: str
    began_at: datetime
    until: datetime


class LinksOfRun(BaseModel):
    """The links of a run that have not ended, the latest first."""

    run: str
    links: list[LinkOfRun]
    valid: list[str] = list(VALID_S)
    """For how long one can be of use."""


class NewLink(BaseModel):
    """A link to make."""

    valid: Valid = "1 day"


class MadeLink(BaseModel):
    """A link that was made; its secret is told this once."""

    name: str
    """The run."""
    link: str
    valid: Valid


def show(asked: Asked) -> LinksOfRun:
    """The links of a run."""
    run = run_of(asked, to="change")
    found = asked.web.accounts.run_links.of_run(run.id)
    return LinksOfRun(
        run=run.id,
        links=[LinkOfRun(id=one.id, by=one.by, began_at=one.began_at, until=one.until) for one in found],
    )


def make(asked: Asked) -> MadeLink:
    """Make a link."""
    run, valid = run_of(asked, to="change"), asked.body.valid
    secret = asked.web.accounts.run_links.new(
        run.id, asked.who.name, VALID_S[valid], is_users=not asked.who.by_token
    )  # fmt: skip
    log.info("%s makes a link to %s for %s", asked.who.name, run.id, valid, extra={"event": "run-link", "run": run.id})
    return MadeLink(
        name=run.id, link=f"{access.own_address(asked.web, asked.request)}{DOOR}#{secret}", valid=valid
    )  # fmt: skip


def end(asked: Asked) -> None:
    """End a link: whoever has come by it sees nothing from their next request on."""
    asked.web.accounts.run_links.end(run_of(asked, to="change").id, asked.at["link"])


def closed(known: Mapping[str, RunLink | None], opened: str) -> list[str]:
    """The cookies that are dropped as a further link is opened: of links that have ended, and beyond
    ``access.MOST_LINKS`` of those that end first.
    """
    lasting = {name: link.until_s for name, link in known.items() if link and name != opened}
    kept = sorted(lasting, key=lambda name: -lasting[name])[: access.MOST_LINKS - 1]
    return [name for name in known if name != opened and name not in kept]


def doors(web: Web) -> Sequence[Path]:
    """Where a link is opened. Its secret stands in the fragment, which no browser sends; a script posts it."""

    async def show_door(request: Request) -> Response:
        return render.door(request, ProblemBody(status=200, detail=""), {}, "shared.html")

    async def open_link(request: Request) -> Response:
        access.require_type(request, access.JSON)
        address = access.address(request)
        web.failures.require_few(address)
        secret = await entering.secret_of(request)
        link = await run_in_threadpool(web.accounts.run_links.open, secret)
        if link is None:
            web.failures.note(address)
            raise Problem(410, access.ENDED)
        answer = JSONResponse({"to": f"/runs/{link.run}/results"})
        name = access.link_cookie_name(web, link.id)
        for one in closed(await run_in_threadpool(access.run_links, web, request), name):
            answer.delete_cookie(one, path="/", secure=web.is_tls, httponly=True, samesite="strict")
        answer.set_cookie(
            name, secret, max_age=int(link.until_s - link.began_s), path="/",
            secure=web.is_tls, httponly=True, samesite="strict",
        )  # fmt: skip
        return answer

    return Path(DOOR, show_door, methods=["GET"]), Path(DOOR, open_link, methods=["POST"])


ROUTES: tuple[Route, ...] = (
    View("/runs/{run}/links", show, "run_links.html", "The links by which others see a run.", Role.SUBMITTER),
    Action(
        "POST", "/api/runs/{run}/links", make, "Make a link that lets whoever has it see a run for some time.",
        Role.SUBMITTER, body=NewLink,
    ),
    Action("DELETE", "/api/runs/{run}/links/{link}", end, "End a link to a run.", Role.SUBMITTER),
)  # fmt: skip
