"""How a page, an action and a stream of bytes are declared. App, access rules and the API's document read these.

A handler is a plain function of an ``Asked``; it runs in a thread, so it may wait for Redis. One that is ``async`` runs
in the event loop and must not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from cluster.roles import Role

if TYPE_CHECKING:
    from starlette.requests import Request

    from cluster.web.context import Web

Method = Literal["POST", "PUT", "PATCH", "DELETE"]


class NoQuery(BaseModel):
    """No parameters."""


@dataclass(frozen=True)
class Who:
    """Who asks: a user of the page, or a program with a token."""

    name: str
    role: Role
    by_token: bool = False
    shown_runs: tuple[str, ...] = ()
    """The runs that links let this one see, whoever's they are; that of the latest link first."""
    by_link: bool = False
    """Whether this is no user of the page, but somebody who has links to ``shown_runs`` and sees these alone."""

    def may(self, role: Role) -> bool:
        """Whether this one has that role, or a higher one."""
        return self.role >= role


@dataclass(frozen=True)
class Asked:
    """One request, as its handler sees it."""

    web: Web
    who: Who
    at: Mapping[str, str]
    """The parts of the address, as ``run`` of ``/runs/{run}``."""
    query: Any
    """What stands behind the ``?``, as the route's ``query`` model."""
    body: Any
    """The JSON that was sent, as the route's ``body`` model; None of a route without one."""
    request: Request = field(repr=False)


@dataclass(frozen=True)
class View:
    """A page: ``show`` gives what it shows. People get it as HTML at ``path``, programs as JSON at ``path`` + ".json".

    ``show`` has a return annotation, a pydantic model: the API's document is made from it. The template finds the model
    as ``it``, beside ``who``, ``cluster`` (the name and figures of the top line) and ``role`` (the roles by name).
    """

    path: str
    show: Callable[[Asked], BaseModel]
    template: str
    about: str
    """One sentence, for the document."""
    role: Role = Role.VIEWER
    query: type[BaseModel] = NoQuery
    by_link: bool = False
    """Whether somebody who has a link to the run of the address may see it; ``run_of`` lets them see no other."""


@dataclass(frozen=True)
class Action:
    """Something that changes the cluster. ``path`` begins with ``/api/``; ``do`` gives a pydantic model, or None."""

    method: Method
    path: str
    do: Callable[[Asked], Any]
    about: str
    role: Role
    body: type[BaseModel] | None = None
    """What is to be sent as JSON; None: nothing, or bytes that ``do`` itself reads from ``asked.request``."""
    query: type[BaseModel] = NoQuery
    takes_bytes: bool = False
    """It takes ``application/octet-stream``; ``do`` reads it itself."""
    takes_form: bool = False
    """It takes ``multipart/form-data``, of a form without JavaScript; ``do`` reads it itself."""


@dataclass(frozen=True)
class Stream:
    """Bytes to read: a download, a picture, events. ``give`` gives a Starlette response."""

    path: str
    give: Callable[[Asked], Any]
    about: str
    media: str
    """The media type, as ``text/event-stream``."""
    role: Role = Role.VIEWER
    query: type[BaseModel] = NoQuery
    by_link: bool = False
    """As of a ``View``."""


Route = View | Action | Stream
