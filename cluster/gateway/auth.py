"""Who may ask: a bearer token on every route but health."""

from __future__ import annotations

from cluster.gateway.problems import Problem
from cluster.services.tokens import KnownTokens

SCHEME = b"bearer "
MOST_SEEN = 1024
MISSING = Problem(401, "a token is needed: send the header `Authorization: Bearer TOKEN`")
WRONG = Problem(401, "this token is not known here; `cluster token new NAME` makes one")


class Auth:
    """Checks the header ``Authorization``. Tokens that were found right are not hashed again until the next look."""

    def __init__(self) -> None:
        self._tokens = KnownTokens()
        self._right: set[bytes] = set()

    def see(self, tokens: KnownTokens) -> None:
        """Take these tokens from now on."""
        self._tokens = tokens
        self._right = set()

    def check(self, authorization: bytes) -> None:
        """See that a header has a token.

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
        if self._tokens.check(secret) is None:
            raise WRONG
        if len(self._right) < MOST_SEEN:
            self._right.add(authorization)
