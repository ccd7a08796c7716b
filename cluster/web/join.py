"""How another machine joins: the line to type there, the password for admins, and a page of its own by a QR code."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route as Path

from cluster.client.accounts import INVITED_S
from cluster.client.joining import Joining, is_loopback
from cluster.roles import Role
from cluster.web import access, render
from cluster.web import doors as entering
from cluster.web.problems import Problem, ProblemBody
from cluster.web.routes import Action, Asked, Route, View

if TYPE_CHECKING:
    from starlette.requests import Request

    from cluster.web.context import Web

QUIET = 4
"""Modules of white around a QR code, as its standard wants it."""
USED = "this invitation was used already, or is older than 10 minutes: ask for another one"
ONLY_HERE = "this page is reached from this machine alone: start it with `cluster web --host 0.0.0.0`"
log = logging.getLogger(__name__)


class Invitation(BaseModel):
    """An address that shows the line with the password to one who opens it, once."""

    address: str
    valid_s: int
    qr_size: int
    """Modules of the QR code of the address, in each direction, with the white around it."""
    qr_path: str
    """Its black modules as the path of an SVG of that size."""


def show(asked: Asked) -> Joining:
    """How machines join; without the password."""
    return asked.web.client.joining()


def show_password(asked: Asked) -> Joining:
    """The line with the password."""
    return asked.web.client.joining(with_password=True)


def invite(asked: Asked) -> Invitation:
    """Make an invitation for one machine."""
    found = asked.web.client.joining()
    if found.problem:
        raise Problem(409, found.problem)
    base = address_for_others(asked.web, asked.request)
    address = f"{base}/join#{asked.web.client.invite(asked.who.name)}"
    size, path = qr(address)
    return Invitation(address=address, valid_s=INVITED_S, qr_size=size, qr_path=path)


def address_for_others(web: Web, request: Request) -> str:
    """The page's own address as another machine may open it.

    Raises:
        Problem: There is none (409).
    """
    asked = urlsplit(f"//{request.headers['host']}")
    names = [asked.hostname or "", *sorted(web.hosts)]
    found = next((name for name in names if name not in ("", "0.0.0.0", "::") and not is_loopback(name)), None)  # noqa: S104
    if found is None:
        raise Problem(409, ONLY_HERE)
    host = f"[{found}]" if ":" in found else found
    return f"{'https' if web.is_tls else 'http'}://{host}{f':{asked.port}' if asked.port else ''}"


def qr(text: str) -> tuple[int, str]:
    """The QR code of a text: how many modules it is wide, and its black ones as the path of an SVG.

    Of width 0 on a machine where segno is not installed: the address is of use without it.
    """
    try:
        import segno
    except ImportError:
        return 0, ""
    rows = [list(row) for row in segno.make_qr(text, error="m").matrix]
    path = "".join(_bars(row, y) for y, row in enumerate(rows, QUIET))
    return len(rows) + 2 * QUIET, path


def _bars(row: Sequence[int], y: int) -> str:
    """The neighbouring black modules of a row as bars that are one module high."""
    found, begin = [], None
    for x, is_black in enumerate([*row, 0], QUIET):
        if is_black and begin is None:
            begin = x
        elif not is_black and begin is not None:
            found.append(f"M{begin} {y}h{x - begin}v1h-{x - begin}z")
            begin = None
    return "".join(found)


def doors(web: Web) -> Iterable[Path]:
    """Where an invitation is opened. Its secret stands in the fragment, which no browser sends; a script posts it."""

    async def show_door(request: Request) -> Response:
        return render.door(request, ProblemBody(status=200, detail=""), {}, "join.html")

    async def open_invitation(request: Request) -> Response:
        access.require_type(request, access.JSON)
        address = access.address(request)
        web.failures.require_few(address)
        found = await run_in_threadpool(web.client.accept, await entering.secret_of(request))
        if found is None:
            web.failures.note(address)
            raise Problem(410, USED)
        by, joining = found
        log.info("%s has opened an invitation by %s", address, by, extra={"event": "invitation-opened", "by": by})
        return Response(joining.model_dump_json(), media_type="application/json")

    return Path("/join", show_door, methods=["GET"]), Path("/join", open_invitation, methods=["POST"])


ROUTES: tuple[Route, ...] = (
    View("/nodes/join", show, "nodes_join.html", "How another machine joins, without the password.", Role.OPERATOR),
    Action("POST", "/api/join/password", show_password, "How another machine joins, with the password.", Role.ADMIN),
    Action("POST", "/api/join/invitations", invite, "Let one machine see how it joins, once.", Role.ADMIN),
)
