"""Invitations: secrets that each let one machine's owner see, once, the command by which a machine joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import keys
from cluster.accounts import secrets

if TYPE_CHECKING:
    import redis

VALID_S = 600
"""How long an invitation can be used, in seconds."""


class Invitations:
    """The invitations of a cluster's page."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def new(self, by: str) -> str:
        """A new secret, which can be used once within ``VALID_S`` seconds; ``by`` is who made it."""
        secret = secrets.new()
        self._redis.set(keys.invitation(secrets.digest(secret)), by, ex=VALID_S)
        return secret

    def take(self, secret: str) -> str | None:
        """Use up a secret; gives who made it. None: it was used, has expired, or never was one."""
        key = keys.invitation(secrets.digest(secret))
        taken = self._redis.pipeline()
        taken.get(key)
        taken.delete(key)
        by, _ = taken.execute()
        return None if by is None else by.decode(errors="replace")
