"""The users of a cluster's page, their one-time links, and their sessions."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from cluster import errors, keys
from cluster.accounts import secrets
from cluster.roles import Role

if TYPE_CHECKING:
    import redis

LINK_S = 600
"""How long a one-time link can be used, in seconds."""
IDLE_S = 12 * 3600
"""A session that was not used for so long has ended, in seconds."""
MOST_S = 30 * 24 * 3600
"""A session ends so long after it was begun, in seconds."""


class User(BaseModel):
    """A person who may use the page."""

    name: str
    role: str
    created_at: datetime


class Session(BaseModel):
    """A browser of a user."""

    user: str
    began_s: float
    """Since 1970, by Redis's clock."""


class Accounts:
    """The users of a cluster's page. A user who is removed, or gets another role, has so from the next request on."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    # Users.

    def add(self, name: str, role: Role) -> User:
        """Enter a user.

        Raises:
            errors.UsageError: The name is taken, or is no name.
        """
        _require_name(name)
        user = User(name=name, role=role.word, created_at=datetime.fromtimestamp(self._now_s(), UTC))
        if not self._redis.hsetnx(keys.USERS, name, user.model_dump_json()):
            raise errors.UsageError(f"there is a user {name} already; take another name")
        return user

    def user(self, name: str) -> User | None:
        """The user of that name; None where there is none."""
        return _user(self._redis.hget(keys.USERS, name))

    def users(self) -> list[User]:
        """All users, by name."""
        found: Any = self._redis.hgetall(keys.USERS)
        return sorted(filter(None, map(_user, found.values())), key=lambda user: user.name)

    # Links.

    def link(self, user: str) -> str:
        """A secret that begins one session of a user, within ``LINK_S`` seconds.

        Raises:
            errors.UsageError: There is no such user.
        """
        if self.user(user) is None:
            raise errors.UsageError(f"there is no user {user!r}")
        secret = secrets.new()
        self._redis.set(keys.link(secrets.digest(secret)), user, ex=LINK_S)
        return secret

    def enter(self, secret: str) -> str | None:
        """Begin a session by the secret of a link, which is of no use afterwards; gives the session's secret.

        None: the link was used, has expired, or never was one.
        """
        key = keys.link(secrets.digest(secret))
        taken = self._redis.pipeline()
        taken.get(key)
        taken.delete(key)
        user, _ = taken.execute()
        if user is None or self.user(user.decode()) is None:
            return None
        session = secrets.new()
        row = Session(user=user.decode(), began_s=self._now_s())
        self._redis.set(keys.session(secrets.digest(session)), row.model_dump_json(), ex=IDLE_S)
        return session

    # Sessions.

    def who(self, session: str) -> User | None:
        """The user of a session; None where it has ended. Asked for, it goes on for ``IDLE_S`` more seconds."""
        key = keys.session(secrets.digest(session))
        looked = self._redis.pipeline()
        looked.get(key)
        looked.expire(key, IDLE_S)
        found, _ = looked.execute()
        if found is None:
            return None
        with contextlib.suppress(ValidationError):
            row = Session.model_validate_json(found)
            if self._now_s() - row.began_s < MOST_S:
                return self.user(row.user)
        return None

    def leave(self, session: str) -> None:
        """End a session; one that has ended already stays so."""
        self._redis.delete(keys.session(secrets.digest(session)))

    def _now_s(self) -> float:
        now: Any = self._redis.time()
        return float(now[0] + now[1] / 1e6)


def _require_name(name: str) -> None:
    from cluster import names

    if not names.is_token(name):
        raise errors.UsageError(f"{name!r} cannot name a user; a name is of a-z, 0-9, '.', '_' and -, at most 64")


def _user(row: Any) -> User | None:
    if row is None:
        return None
    try:
        return User.model_validate_json(row)
    except ValidationError:  # somebody else wrote it
        return None
