"""The users of a cluster's page, their one-time links, and their sessions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import redis
from pydantic import BaseModel, ValidationError

from cluster import errors, keys, names
from cluster.accounts import secrets
from cluster.accounts.run_links import RunLinks
from cluster.roles import Role

LINK_S = 600
"""How long a one-time link can be used, in seconds."""
IDLE_S = 12 * 3600
"""A session that was not used for so long has ended, in seconds."""
MOST_S = 30 * 24 * 3600
"""A session ends so long after it was begun, in seconds."""
PAGE_S = 60
"""A page that was not heard of for so long does not run, in seconds."""
ID_CHARS = 16
MAX_BROWSER_CHARS = 200
Row = TypeVar("Row", bound=BaseModel)


class User(BaseModel):
    """A person who may use the page."""

    name: str
    role: str
    created_at: datetime
    valid_from_s: float = 0.0
    """Links and sessions of before are of no use: of a user of the same name, or "log out everywhere"."""


class Session(BaseModel):
    """A browser of a user, or a link that has not been used."""

    user: str
    began_s: float
    """Since 1970, by Redis's clock."""
    browser: str = ""
    """As it names itself."""
    address: str = ""


class Seen(BaseModel):
    """A session as its user sees it."""

    id: str
    """Names the session, and does not open it."""
    browser: str
    address: str
    began_at: datetime
    used_at: datetime


class Accounts:
    """The users of a cluster's page. A user who is removed, or gets another role, has so from the next request on."""

    link_s = LINK_S

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self.run_links = RunLinks(client, self)
        """The links to runs that users have made."""

    # Users.

    def add(self, name: str, role: Role) -> User:
        """Enter a user.

        Raises:
            errors.UsageError: The name is taken, or is no name.
        """
        if not names.is_token(name):
            raise errors.UsageError(f"{name!r} cannot name a user; a name is of a-z, 0-9, '.', '_' and -, at most 64")
        now_s = self.now_s()
        user = User(name=name, role=role.word, created_at=datetime.fromtimestamp(now_s, UTC), valid_from_s=now_s)
        if not self._redis.hsetnx(keys.USERS, name, user.model_dump_json()):
            raise errors.UsageError(f"there is a user {name} already; take another name")
        return user

    def user(self, name: str) -> User | None:
        """The user of that name; None where there is none."""
        return _read(User, self._redis.hget(keys.USERS, name))

    def users(self) -> list[User]:
        """All users, by name."""
        found: Any = self._redis.hgetall(keys.USERS)
        read = (_read(User, row) for row in found.values())
        return sorted((user for user in read if user is not None), key=lambda user: user.name)

    def set_role(self, name: str, role: Role) -> None:
        """Give a user another role.

        Raises:
            errors.UsageError: There is no such user, or no admin would be left.
        """
        self._change(name, {"role": role.word})

    def leave_everywhere(self, name: str) -> None:
        """End all sessions of a user, and have links that were not used be of no use.

        Raises:
            errors.UsageError: There is no such user.
        """
        self._change(name, {"valid_from_s": self.now_s()})
        self._redis.delete(keys.sessions(name))

    def remove(self, name: str) -> None:
        """Remove a user; the runs of a user stay.

        Raises:
            errors.UsageError: There is no such user, or no admin would be left.
        """
        self._change(name, None)
        self._redis.delete(keys.sessions(name))

    # Links.

    def link(self, user: str) -> str:
        """A secret that begins one session of a user, within ``LINK_S`` seconds.

        Raises:
            errors.UsageError: There is no such user.
        """
        if self.user(user) is None:
            raise self._unknown(user)
        secret = secrets.new()
        row = Session(user=user, began_s=self.now_s())
        self._redis.set(keys.link(secrets.digest(secret)), row.model_dump_json(), ex=LINK_S)
        return secret

    def enter(self, secret: str, browser: str = "", address: str = "") -> str | None:
        """Begin a session by the secret of a link, which is of no use afterwards; gives the session's secret.

        None: the link was used, has expired, or never was one.
        """
        key = keys.link(secrets.digest(secret))
        taken = self._redis.pipeline()
        taken.get(key)
        taken.delete(key)
        found, _ = taken.execute()
        link = _read(Session, found)
        user = self._of(link)
        if user is None:
            return None
        session = secrets.new()
        digest = secrets.digest(session)
        row = Session(
            user=user.name, began_s=self.now_s(), browser=browser[:MAX_BROWSER_CHARS], address=address
        )  # fmt: skip
        begun = self._redis.pipeline()
        begun.set(keys.session(digest), row.model_dump_json(), ex=IDLE_S)
        begun.sadd(keys.sessions(user.name), digest)
        begun.expire(keys.sessions(user.name), MOST_S)
        begun.execute()
        return session

    # Sessions.

    def who(self, session: str) -> User | None:
        """The user of a session; None where it has ended. Asked for, it goes on for ``IDLE_S`` more seconds."""
        key = keys.session(secrets.digest(session))
        looked = self._redis.pipeline()
        looked.get(key)
        looked.expire(key, IDLE_S)
        looked.time()
        found, _, now = looked.execute()
        row = _read(Session, found)
        if row is None or now[0] - row.began_s > MOST_S:
            return None
        return self._of(row)

    def sessions(self, user: str) -> list[Seen]:
        """The sessions of a user that have not ended, the last used first."""
        digests = self._digests(user)
        asked = self._redis.pipeline()
        for digest in digests:
            asked.get(keys.session(digest))
            asked.pttl(keys.session(digest))
        asked.time()
        *answers, now = asked.execute()
        seen, over = [], []
        for digest, found, left_ms in zip(digests, answers[::2], answers[1::2], strict=True):
            row = _read(Session, found)
            if row is None:
                over.append(digest)
                continue
            used_s = max(row.began_s, now[0] + now[1] / 1e6 - (IDLE_S - left_ms / 1000))
            seen.append(Seen(
                id=digest[:ID_CHARS], browser=row.browser, address=row.address,
                began_at=datetime.fromtimestamp(row.began_s, UTC), used_at=datetime.fromtimestamp(used_s, UTC),
            ))  # fmt: skip
        if over:
            self._redis.srem(keys.sessions(user), *over)
        return sorted(seen, key=lambda one: one.used_at, reverse=True)

    def id_of(self, session: str) -> str:
        """How ``sessions`` names the session of this secret."""
        return secrets.digest(session)[:ID_CHARS]

    def leave(self, session: str) -> None:
        """End a session; one that has ended already stays so."""
        self._redis.delete(keys.session(secrets.digest(session)))

    def end(self, user: str, id: str) -> None:
        """End one of the ``sessions`` of a user; one that has ended already stays so."""
        for digest in self._digests(user):
            if digest[:ID_CHARS] == id:
                self._redis.delete(keys.session(digest))
                self._redis.srem(keys.sessions(user), digest)

    # The page.

    def tell_page(self, url: str) -> None:
        """Say where the page is; said again every ``PAGE_S`` seconds as long as it runs."""
        self._redis.set(keys.PAGE, url, ex=PAGE_S)

    def page(self) -> str | None:
        """The address of the page that was told last; None where none runs."""
        found: Any = self._redis.get(keys.PAGE)
        return None if found is None else str(found.decode(errors="replace"))

    def _digests(self, user: str) -> list[str]:
        found: Any = self._redis.smembers(keys.sessions(user))
        return [digest.decode() for digest in found]

    def _of(self, row: Session | None) -> User | None:
        """The user of a session or a link; None where it was begun before it counts."""
        return self.counts(row.user, row.began_s) if row is not None else None

    def counts(self, name: str, at_s: float) -> User | None:
        """The user of that name, where what they began then is still of use; None where it is not."""
        user = self.user(name)
        return user if user is not None and at_s >= user.valid_from_s else None

    def now_s(self) -> float:
        """Seconds since 1970, by Redis's clock."""
        now: Any = self._redis.time()
        return float(now[0] + now[1] / 1e6)

    def _change(self, name: str, change: dict[str, Any] | None) -> None:
        """Change a user, or remove one; whole or not at all. One who is removed meanwhile does not come back."""
        asked: Any  # redis-py says of `watch` no types
        with self._redis.pipeline() as asked:
            while True:
                with contextlib.suppress(redis.WatchError):  # somebody else changed a user: look again
                    asked.watch(keys.USERS)
                    rows: Any = asked.hgetall(keys.USERS)
                    changed = self._changed(name, change, rows.values())
                    asked.multi()
                    if changed is None:
                        asked.hdel(keys.USERS, name)
                    else:
                        asked.hset(keys.USERS, name, changed.model_dump_json())
                    asked.execute()
                    return

    def _changed(self, name: str, change: dict[str, Any] | None, rows: Iterable[Any]) -> User | None:
        users = {user.name: user for row in rows if (user := _read(User, row))}
        if name not in users:
            raise self._unknown(name)
        changed = None if change is None else users[name].model_copy(update=change)
        left = {**users, name: changed}.values()
        admin = Role.ADMIN.word
        if users[name].role == admin and not any(user and user.role == admin for user in left):
            raise errors.UsageError(f"{name} is the last admin: make somebody else one first")
        return changed

    def _unknown(self, name: str) -> errors.UsageError:
        there = ", ".join(user.name for user in self.users()) or "none"
        return errors.UsageError(f"there is no user {name!r}; there are: {there}")


def _read(kind: type[Row], row: Any) -> Row | None:
    if row is not None:
        with contextlib.suppress(ValidationError):  # somebody else wrote it
            return kind.model_validate_json(row)
    return None
