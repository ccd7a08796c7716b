"""The tokens with which other programs may ask the services of this cluster, in Redis for all gateways.

A token is a random secret with a name. Redis keeps the secret's sha256 alone: somebody who reads Redis can ask nothing
with it. A secret has 256 bits, so no salt and no slow hash are needed against guessing.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import errors, keys, names
from cluster.redis_rows import TokenRow
from cluster.roles import Role

if TYPE_CHECKING:
    import redis

SECRET_BYTES, SECRET_CHARS = 32, 43
MAX_SECRET_CHARS = 256
"""Characters of a secret that is looked at, at most; one that ``new`` made has 43."""


class Token(NamedTuple):
    """A token, as people see it."""

    name: str
    created_at: datetime
    """By Redis's clock."""


class TokenUser(NamedTuple):
    """A program that has a token."""

    name: str
    role: Role


class KnownTokens:
    """The tokens that there were when Redis was asked; checks secrets without asking it again."""

    def __init__(self, rows: Mapping[str, TokenRow] = {}) -> None:
        self.names = tuple(sorted(rows))
        self._by_start = {row.digest[:16]: (row.digest, name) for name, row in rows.items()}

    def check(self, secret: str) -> str | None:
        """The name of a token, None where there is none with this secret. The time it takes tells nothing of either."""
        if len(secret) > MAX_SECRET_CHARS:
            return None
        digest = hashlib.sha256(secret.encode(errors="replace")).hexdigest()
        known, name = self._by_start.get(digest[:16], ("", ""))
        return name if hmac.compare_digest(known, digest) else None


class Tokens:
    """The tokens of a cluster."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def new(self, name: str) -> str:
        """Make a token; gives its secret, which is kept nowhere and cannot be shown again.

        Raises:
            errors.UsageError: The name is taken, or is no name for a token.
        """
        if not names.is_token(name):
            raise errors.UsageError(f"{name!r} cannot name a token; a name is of a-z, 0-9, '.', '_' and -, at most 64")
        secret = secrets.token_urlsafe(SECRET_BYTES)
        now: Any = self._redis.time()
        row = TokenRow(int(now[0]), hashlib.sha256(secret.encode()).hexdigest())
        if not self._redis.hsetnx(keys.TOKENS, name, str(row)):
            raise errors.UsageError(
                f"there is a token {name} already; take another name, or `cluster token revoke {name}` ends that one"
            )
        return secret

    def list(self) -> list[Token]:
        """Return all tokens, by name."""
        return [Token(name, datetime.fromtimestamp(row.made_s, UTC)) for name, row in sorted(self._rows().items())]

    def revoke(self, name: str) -> None:
        """End a token. Gateways refuse it within a second.

        Raises:
            errors.UsageError: There is none of that name.
        """
        if not self._redis.hdel(keys.TOKENS, name):
            there = ", ".join(token.name for token in self.list()) or "none"
            raise errors.UsageError(f"there is no token {name!r}; there are: {there}")

    def known(self) -> KnownTokens:
        """All tokens as of now, to check many secrets."""
        return KnownTokens(self._rows())

    def check(self, secret: str) -> str | None:
        """The name of the token with this secret, None if there is none."""
        return self.known().check(secret)

    def who(self, secret: str) -> TokenUser | None:
        """What the token with this secret may do on the page; None if there is none."""
        name = self.check(secret)
        return None if name is None else TokenUser(name, Role.SUBMITTER)

    def _rows(self) -> dict[str, TokenRow]:
        found: Any = self._redis.hgetall(keys.TOKENS)
        return read(found)


def read(found: Mapping[bytes, bytes]) -> dict[str, TokenRow]:
    """The rows at ``keys.TOKENS``, by name."""
    rows = {}
    for name, row in found.items():
        with contextlib.suppress(ValueError):  # somebody else wrote it
            rows[name.decode()] = TokenRow.parse(row.decode())
    return rows
