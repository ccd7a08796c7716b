"""Random secrets, of which Redis keeps the digest."""

from __future__ import annotations

import hashlib
import secrets

SECRET_BYTES = 32
MAX_SECRET_CHARS = 256
"""Characters of a secret that is looked at, at most; one of ours has 43."""


def new() -> str:
    """A new secret, of 43 characters that may stand in an address. It has 256 bits: no salt is needed."""
    return secrets.token_urlsafe(SECRET_BYTES)


def digest(secret: str) -> str:
    """The sha256 of a secret, in hexadecimal."""
    return hashlib.sha256(secret[:MAX_SECRET_CHARS].encode(errors="replace")).hexdigest()
