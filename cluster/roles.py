"""What a person or a program may do on the page and by its API: a role allows what those below it allow."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """A role; the higher one may do all that a lower one may."""

    VIEWER = 1
    """See the runs that are shared with the cluster, nodes and models."""
    SUBMITTER = 2
    """Submit runs, see and cancel one's own, ask services."""
    OPERATOR = 3
    """See and cancel all runs; pause and stop nodes; push, pin and remove models; see how machines join."""
    ADMIN = 4
    """Manage users and tokens, see the broker's password."""

    @property
    def word(self) -> str:
        """As people write it: "viewer"."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Role:
        """The role of that name.

        Raises:
            ValueError: There is none.
        """
        try:
            return cls[word.upper()]
        except KeyError:
            raise ValueError(f"{word!r} is no role; it must be one of {', '.join(role.word for role in cls)}") from None
