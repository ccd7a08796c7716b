"""The tokens with which other programs may ask the services of this cluster, in Redis for all gateways.

A token is a random secret with a name. Redis keeps the secret's sha256 alone: somebody who reads Redis can ask nothing
with it. A secret has 256 bits, so no salt and no slow hash are needed against guessing.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import errors, keys, names, redis_client
from cluster.redis_rows import TokenRow
from cluster.roles import Role

if TYPE_CHECKING:
    import redis

SECRET_BYTES, SECRET_CHARS = 32, 43
MAX_DAYS, DAY_S = 3650, 24 * 3600
NOTED_S = 60
"""When a token was used is noted once in so many seconds."""
MAX_SECRET_CHARS = 256
"""Characters of a secret that is looked at, at most; one that ``new`` made has 43."""


class Token(NamedTuple):
    """A token, as people see it."""

    name: str
    role: Role
    created_at: datetime
    """By Redis's clock, as the other moments."""
    expires_at: datetime | None
    """None: never."""
    used_at: datetime | None
    """When it was used last, to the minute; None: never."""


class TokenUser(NamedTuple):
    """A program that has a token."""

    name: str
    role: Role


class KnownTokens:
    """The tokens that there were when Redis was asked; checks secrets without asking it again.

    Args:
        rows: All rows, by the name of their token.
        now_s: When that was, since 1970 by Redis's clock: those that have expired are not known.
        least: Those with a lower role are not known.
    """

    def __init__(self, rows: Mapping[str, TokenRow] = {}, now_s: float = 0.0, least: Role = Role.VIEWER) -> None:
        known = {
            name: row for name, row in rows.items()
            if (not row.until_s or row.until_s > now_s) and _role(row) >= least
        }  # fmt: skip
        self.names = tuple(sorted(known))
        self.used: set[str] = set()
        """The names that were found; whoever notes them down takes them out."""
        self._by_start = {row.digest[:16]: (row.digest, name) for name, row in known.items()}

    def check(self, secret: str) -> str | None:
        """The name of a token, None where there is none with this secret. The time it takes tells nothing of either."""
        if len(secret) > MAX_SECRET_CHARS:
            return None
        digest = hashlib.sha256(secret.encode(errors="replace")).hexdigest()
        known, name = self._by_start.get(digest[:16], ("", ""))
        if not hmac.compare_digest(known, digest):
            return None
        self.used.add(name)
        return name


class Tokens:
    """The tokens of a cluster."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def new(self, name: str, role: Role = Role.SUBMITTER, days: int | None = None) -> str:
        """Make a token; gives its secret, which is kept nowhere and cannot be shown again.

        Args:
            name: Says whose it is, to revoke it some day.
            role: What it may do. Services are asked by submitters and higher.
            days: It expires after so many; None: never.

        Raises:
            errors.UsageError: The name is taken, or is no name for a token; or ``days`` is no number of days.
        """
        if not names.is_token(name):
            raise errors.UsageError(f"{name!r} cannot name a token; a name is of a-z, 0-9, '.', '_' and -, at most 64")
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise errors.UsageError(f"a token expires after 1 to {MAX_DAYS} days, not {days}")
        secret = secrets.token_urlsafe(SECRET_BYTES)
        now: Any = self._redis.time()
        until_s = 0 if days is None else int(now[0]) + days * DAY_S
        row = TokenRow(int(now[0]), hashlib.sha256(secret.encode()).hexdigest(), role.word, until_s)
        if not self._redis.hsetnx(keys.TOKENS, name, str(row)):
            raise errors.UsageError(
                f"there is a token {name} already; take another name, or `cluster token revoke {name}` ends that one"
            )
        self._redis.hdel(keys.TOKENS_USED, name)
        return secret

    def list(self) -> list[Token]:
        """Return all tokens, by name; also those that have expired, until they are revoked."""
        rows, _, used = self._read()
        return [
            Token(
                name, _role(row), _moment(row.made_s), _moment(row.until_s) if row.until_s else None,
                _moment(used[name]) if name in used else None,
            )
            for name, row in sorted(rows.items())
        ]  # fmt: skip

    def revoke(self, name: str) -> None:
        """End a token. Gateways refuse it within a second.

        Raises:
            errors.UsageError: There is none of that name.
        """
        if not self._redis.hdel(keys.TOKENS, name):
            there = ", ".join(token.name for token in self.list()) or "none"
            raise errors.UsageError(f"there is no token {name!r}; there are: {there}")
        self._redis.hdel(keys.TOKENS_USED, name)

    def known(self) -> KnownTokens:
        """All tokens as of now, to check many secrets."""
        rows, now_s, _ = self._read()
        return KnownTokens(rows, now_s)

    def check(self, secret: str) -> str | None:
        """The name of the token with this secret, None if there is none."""
        return self.known().check(secret)

    def who(self, secret: str) -> TokenUser | None:
        """What the token with this secret may do on the page; None if there is none. Notes that it was used."""
        rows, now_s, used = self._read()
        name = KnownTokens(rows, now_s).check(secret)
        if name is None:
            return None
        if now_s - used.get(name, 0) >= NOTED_S:
            self.note_used([name])
        return TokenUser(name, _role(rows[name]))

    def note_used(self, found: Sequence[str]) -> None:
        """Note that tokens were used now."""
        now: Any = self._redis.time()
        self._redis.hset(keys.TOKENS_USED, mapping=dict.fromkeys(found, int(now[0])))

    def _read(self) -> tuple[dict[str, TokenRow], float, dict[str, int]]:
        """The rows, Redis's clock, and when which was used last."""
        asked = self._redis.pipeline(transaction=False)
        asked.hgetall(keys.TOKENS)
        asked.time()
        asked.hgetall(keys.TOKENS_USED)
        rows, now, used = asked.execute()
        return read(rows), float(now[0]), {name.decode(): redis_client.number(at) for name, at in used.items()}


def read(found: Mapping[bytes, bytes]) -> dict[str, TokenRow]:
    """The rows at ``keys.TOKENS``, by name."""
    rows = {}
    for name, row in found.items():
        with contextlib.suppress(ValueError):  # somebody else wrote it
            rows[name.decode()] = TokenRow.parse(row.decode())
    return rows


def _role(row: TokenRow) -> Role:
    try:
        return Role.of(row.role)
    except ValueError:  # of a later version
        return Role.VIEWER


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
