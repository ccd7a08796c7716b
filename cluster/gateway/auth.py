"""Who may ask: a bearer token on every route but health."""

from __future__ import annotations

import asyncio
import contextlib

from cluster.gateway.problems import Problem
from cluster.services.tokens import SECRET_CHARS, KnownTokens

SCHEME = b"bearer "
MOST_SEEN = 1024
LOOKS = 2
"""A token may be newer than the last look, and than what a look under way has read."""
NEWS_S = 1.0
"""Seconds that these looks are waited for, at most."""
MISSING = Problem(401, "a token is needed: send the header `Authorization: Bearer TOKEN`")
WRONG = Problem(401, "this token is not known here, has expired, or is a viewer's; `cluster token new NAME` makes one")


class Auth:
    """Checks the header ``Authorization``. Tokens that were found right are not hashed again until the next look."""

    def __init__(self) -> None:
        self._tokens = KnownTokens()
        self._right: set[bytes] = set()
        self._news = asyncio.Event()

    def see(self, tokens: KnownTokens) -> None:
        """Take these tokens from now on."""
        self._tokens = tokens
        self._right = set()
        self._news.set()
        self._news = asyncio.Event()

    async def check(self, authorization: bytes) -> None:
        """See that a header has a token. One that looks like a token and is not known is looked for once more.

        Raises:
            Problem: It has none, or a wrong one (401).
        """
        if authorization in self._right:
            return
        if not authorization:
            raise MISSING
        if authorization[: len(SCHEME)].lower() != SCHEME:
            raise MISSING
        secret = authorization[len(SCHEME) :].strip().decode("latin-1")
        if self._tokens.check(secret) is None and not await self._is_new(secret):
            raise WRONG
        if len(self._right) < MOST_SEEN:
            self._right.add(authorization)

    async def _is_new(self, secret: str) -> bool:
        """Whether the next looks find a token with this secret."""
        if len(secret) != SECRET_CHARS:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NEWS_S):
                for _ in range(LOOKS):
                    await self._news.wait()
                    if self._tokens.check(secret) is not None:
                        return True
        return False
