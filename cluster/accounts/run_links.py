"""Run links: each lets whoever has it see one run, for some time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from cluster import errors, keys
from cluster.accounts import secrets

if TYPE_CHECKING:
    import redis

    from cluster.accounts.store import Accounts

MOST_LINKS = 20
"""Of a run at a time."""
MOST_LINK_S = 7 * 24 * 3600
"""How long one can be of use, in seconds."""
ID_CHARS = 16


class RunLink(BaseModel):
    """What a link lets see, until when, and who has made it."""

    id: str = ""
    """Names the link, and does not open it."""
    run: str
    by: str
    is_users: bool
    """Whether a user has made it, not a program with a token: it is of no use once that user's links are not."""
    began_s: float
    """Since 1970, by Redis's clock."""
    until_s: float

    @property
    def began_at(self) -> datetime:
        """When it was made."""
        return datetime.fromtimestamp(self.began_s, UTC)

    @property
    def until(self) -> datetime:
        """When it ends."""
        return datetime.fromtimestamp(self.until_s, UTC)


class RunLinks:
    """The run links of a cluster's page."""

    def __init__(self, client: redis.Redis, accounts: Accounts) -> None:
        self._redis, self._accounts = client, accounts

    def new(self, run: str, by: str, valid_s: int, *, is_users: bool = True) -> str:
        """A new secret, which lets see a run for ``valid_s`` seconds, at most ``MOST_LINK_S``.

        Raises:
            errors.UsageError: The run has ``MOST_LINKS`` links.
        """
        if len(self.of_run(run)) >= MOST_LINKS:
            raise errors.UsageError(f"the run {run} has {MOST_LINKS} links: end one first")
        secret, now_s = secrets.new(), self._accounts.now_s()
        valid_s = min(valid_s, MOST_LINK_S)
        row = RunLink(run=run, by=by, is_users=is_users, began_s=now_s, until_s=now_s + valid_s)
        digest = secrets.digest(secret)
        made = self._redis.pipeline()
        made.set(keys.run_link(digest), row.model_dump_json(exclude={"id"}), ex=valid_s)
        made.sadd(keys.run_links(run), digest)
        made.expire(keys.run_links(run), MOST_LINK_S)
        made.execute()
        return secret

    def open(self, secret: str) -> RunLink | None:
        """What a secret lets see; None: it has ended, or never was one. It may be opened again and again."""
        return self.open_all([secret])[0]

    def open_all(self, given: Sequence[str]) -> list[RunLink | None]:
        """What each of some secrets lets see."""
        digests = [secrets.digest(secret) for secret in given]
        rows: Any = self._redis.mget(map(keys.run_link, digests)) if digests else []
        return [self._read(digest, row) for digest, row in zip(digests, rows, strict=True)]

    def of_run(self, run: str) -> list[RunLink]:
        """The links of a run that have not ended, the latest first."""
        digests = self._digests(run)
        rows: Any = self._redis.mget(map(keys.run_link, digests)) if digests else []
        found = {digest: self._read(digest, row) for digest, row in zip(digests, rows, strict=True)}
        if over := [digest for digest, link in found.items() if link is None]:
            self._redis.srem(keys.run_links(run), *over)
        return sorted((link for link in found.values() if link), key=lambda link: -link.began_s)

    def end(self, run: str, id: str) -> None:
        """End a link of a run; one that has ended already stays so."""
        for digest in self._digests(run):
            if digest[:ID_CHARS] == id:
                self._redis.delete(keys.run_link(digest))
                self._redis.srem(keys.run_links(run), digest)

    def forget(self, run: str) -> None:
        """End all links of a run."""
        self._redis.delete(*map(keys.run_link, self._digests(run)), keys.run_links(run))

    def _digests(self, run: str) -> list[str]:
        found: Any = self._redis.smembers(keys.run_links(run))
        return [digest.decode() for digest in found]

    def _read(self, digest: str, row: Any) -> RunLink | None:
        if row is None:
            return None
        try:
            link = RunLink.model_validate_json(row)
        except ValidationError:  # somebody else wrote it
            return None
        if link.is_users and not self._accounts.counts(link.by, link.began_s):
            return None
        return link.model_copy(update={"id": digest[:ID_CHARS]})
