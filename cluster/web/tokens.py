"""The tokens of programs, for admins."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from cluster.roles import Role
from cluster.web.accounts import RoleWord
from cluster.web.routes import Action, Asked, Route, View


class OneToken(BaseModel):
    """A token, without its secret."""

    name: str
    role: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


class AllTokens(BaseModel):
    """All tokens of the cluster."""

    tokens: list[OneToken]


class NewToken(BaseModel):
    """A token to make."""

    name: str = Field(max_length=64)
    """Whose it is, to revoke it some day."""
    role: RoleWord = Role.SUBMITTER.word
    days: int | None = None
    """It expires after so many; null: never."""


class Secret(BaseModel):
    """A token that was made. Its secret cannot be shown again."""

    name: str
    token: str


def show(asked: Asked) -> AllTokens:
    """All tokens."""
    found = asked.web.client.tokens.list()
    return AllTokens(
        tokens=[OneToken.model_validate({**token._asdict(), "role": token.role.word}) for token in found]
    )  # fmt: skip


def new(asked: Asked) -> Secret:
    """Make a token."""
    given: NewToken = asked.body
    return Secret(name=given.name, token=asked.web.client.tokens.new(given.name, Role.of(given.role), given.days))


def revoke(asked: Asked) -> None:
    """End a token."""
    asked.web.client.tokens.revoke(asked.at["token"])


ROUTES: tuple[Route, ...] = (
    View("/tokens", show, "tokens.html", "The tokens with which programs ask page and services.", Role.ADMIN),
    Action("POST", "/api/tokens", new, "Make a token; its secret is shown once.", Role.ADMIN, NewToken),
    Action("DELETE", "/api/tokens/{token}", revoke, "End a token, from now on.", Role.ADMIN),
)
