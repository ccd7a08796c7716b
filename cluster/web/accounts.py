"""One's own account; the users of the page, for admins."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field
from starlette.responses import Response

from cluster.client.accounts import LINK_S, Seen
from cluster.roles import Role
from cluster.web import access
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route, View


def _role(word: str) -> str:
    return Role.of(word).word


RoleWord = Annotated[str, AfterValidator(_role)]


class Account(BaseModel):
    """Who one is here, and the browsers in which one has entered."""

    name: str
    role: str
    by_token: bool
    sessions: list[Seen]
    this: str
    """The id of the session that asks; "" of a token."""


class OneUser(BaseModel):
    """A user, as admins see one."""

    name: str
    role: str
    created_at: datetime
    sessions: int
    used_at: datetime | None
    """When a session was used last; None where there is none."""


class Users(BaseModel):
    """All users of the page."""

    users: list[OneUser]


class NewUser(BaseModel):
    """A user to enter."""

    name: str = Field(max_length=64)
    role: RoleWord = Role.SUBMITTER.word


class NewRole(BaseModel):
    """Another role for a user."""

    role: RoleWord


class Link(BaseModel):
    """A link that lets a user in, once."""

    user: str
    link: str
    expires_in_s: int = LINK_S


def show(asked: Asked) -> Account:
    """One's own account."""
    session = _session(asked)
    return Account(
        name=asked.who.name, role=asked.who.role.word, by_token=asked.who.by_token,
        sessions=[] if asked.who.by_token else asked.web.accounts.sessions(asked.who.name),
        this=asked.web.accounts.id_of(session) if session and not asked.who.by_token else "",
    )  # fmt: skip


def leave(asked: Asked) -> Response:
    """End this browser's session."""
    if session := _session(asked):
        asked.web.accounts.leave(session)
    answer = Response(status_code=204)
    answer.delete_cookie(
        access.cookie_name(asked.web), path="/", secure=asked.web.is_tls, httponly=True, samesite="strict"
    )
    return answer


def leave_everywhere(asked: Asked) -> None:
    """End all sessions of this user."""
    _require_person(asked)
    asked.web.accounts.leave_everywhere(asked.who.name)


def end_session(asked: Asked) -> None:
    """End one of one's sessions."""
    _require_person(asked)
    asked.web.accounts.end(asked.who.name, asked.at["id"])


def show_users(asked: Asked) -> Users:
    """All users."""
    found = []
    for user in asked.web.accounts.users():
        sessions = asked.web.accounts.sessions(user.name)
        found.append(OneUser(
            name=user.name, role=user.role, created_at=user.created_at, sessions=len(sessions),
            used_at=sessions[0].used_at if sessions else None,
        ))  # fmt: skip
    return Users(users=found)


def add(asked: Asked) -> Link:
    """Enter a user; gives a link for them."""
    asked.web.accounts.add(asked.body.name, Role.of(asked.body.role))
    return _link(asked, asked.body.name)


def link(asked: Asked) -> Link:
    """Make a link for a user."""
    return _link(asked, asked.at["user"])


def set_role(asked: Asked) -> None:
    """Give a user another role."""
    asked.web.accounts.set_role(asked.at["user"], Role.of(asked.body.role))


def log_out(asked: Asked) -> None:
    """End all sessions of a user."""
    asked.web.accounts.leave_everywhere(asked.at["user"])


def remove(asked: Asked) -> None:
    """Remove a user."""
    asked.web.accounts.remove(asked.at["user"])


def _link(asked: Asked, user: str) -> Link:
    return Link(user=user, link=f"{access.own_address(asked.web, asked.request)}/enter#{asked.web.accounts.link(user)}")


def _session(asked: Asked) -> str | None:
    return asked.request.cookies.get(access.cookie_name(asked.web))


def _require_person(asked: Asked) -> None:
    """A token's name may be that of a user who is somebody else."""
    if asked.who.by_token:
        raise Problem(403, "this is about the sessions of a user; a token has none")


ROUTES: tuple[Route, ...] = (
    View("/account", show, "account.html", "Who one is here, and where one has entered."),
    Action("POST", "/api/leave", leave, "End this browser's session.", Role.VIEWER),
    Action("POST", "/api/account/leave-everywhere", leave_everywhere, "End all of one's sessions.", Role.VIEWER),
    Action("DELETE", "/api/account/sessions/{id}", end_session, "End one of one's sessions.", Role.VIEWER),
    View("/users", show_users, "users.html", "The users of the page, with their roles.", Role.ADMIN),
    Action("POST", "/api/users", add, "Enter a user; gives a link for them.", Role.ADMIN, NewUser),
    Action("POST", "/api/users/{user}/link", link, "Make a link that lets a user in, once.", Role.ADMIN),
    Action("PATCH", "/api/users/{user}", set_role, "Give a user another role, from now on.", Role.ADMIN, NewRole),
    Action("POST", "/api/users/{user}/leave-everywhere", log_out, "End all sessions of a user.", Role.ADMIN),
    Action("DELETE", "/api/users/{user}", remove, "Remove a user; their runs stay.", Role.ADMIN),
)
