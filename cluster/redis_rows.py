"""Rows in Redis: built and read here, and nowhere else. ``names`` does the same for all other structured strings.

| row                                 | example                  | here |
| ----------------------------------- | ------------------------ | ---- |
| a capability that is wanted         | ``ocr@deu ocr-1a2b3c4d`` | ``WantedRow`` |
| a token                             | ``1700000000 9f86d0... submitter 0`` | ``TokenRow`` |
| a node, its incarnation, its orders | ``1a2b3c4d stop``        | ``NodeRow``, ``IncarnationRow``, ``DesiredState`` |
| a claim, a batch                    | ``0 32 chord``           | ``ClaimRow``, ``BatchRow`` |
| a message that is to wait           |                          | ``DelayedRow`` |
| numbers                             | ``3 3 0``                | ``numbers`` |

Other machines may have written anything. Lua scripts write and read some of them, too.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple, Self

from cluster import names

_NODE_ROW = re.compile(r"(\S+) ([0-9]{1,17}(?:\.[0-9]+)?) ([0-9]{1,17}(?:\.[0-9]+)?) (\S+) (.*)", re.DOTALL)
_TOKEN_ROW = re.compile(r"(\d{1,17}) ([0-9a-f]{64})(?: ([a-z]{1,20}) (\d{1,17}))?", re.ASCII)
_SUBMITTING = "?"
_OF_SERVICE = "service:"


class WantedRow(NamedTuple):
    """A capability that is wanted, and its holder: ``ocr@deu ocr-1a2b3c4d``."""

    requirement: str
    """The requirement in any form: another machine may have written nonsense."""
    holder: str
    """A run; before it is open, ``new_submission``; or a service, ``of_service``."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one; of another form it names no holder."""
        requirement, _, holder = text.rpartition(" ")
        return cls(requirement, holder)

    @staticmethod
    def new_submission() -> str:
        """Stands for a run that is about to be opened; no run is called so."""
        return f"{_SUBMITTING}{secrets.token_hex(4)}"

    @staticmethod
    def of_service(service: str) -> str:
        """Stands for a service; no run is called so."""
        return f"{_OF_SERVICE}{service}"

    @property
    def is_submission(self) -> bool:
        """Whether its run is only about to be opened."""
        return self.holder.startswith(_SUBMITTING)

    @property
    def service(self) -> str:
        """The service that wants it; "" where a run does."""
        return self.holder.removeprefix(_OF_SERVICE) if self.holder.startswith(_OF_SERVICE) else ""

    def __str__(self) -> str:
        return f"{self.requirement} {self.holder}"


class TokenRow(NamedTuple):
    """A token as the cluster keeps it, without its secret: ``made_s digest role until_s``."""

    made_s: int
    """Since 1970, by Redis's clock; so is ``until_s``."""
    digest: str
    """The sha256 of the secret, in hexadecimal."""
    role: str = "submitter"
    """Rows of before there were roles have none: these tokens could ask services, and can so now."""
    until_s: int = 0
    """When it expires; 0: never."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: ``text`` has another form.
        """
        found = _TOKEN_ROW.fullmatch(text)
        if found is None:
            raise ValueError("it is no row of a token")
        made_s, digest, role, until_s = found.groups()
        if role is None:
            return cls(names.milliseconds(made_s), digest)
        return cls(names.milliseconds(made_s), digest, role, names.milliseconds(until_s))

    def __str__(self) -> str:
        return f"{self.made_s} {self.digest} {self.role} {self.until_s}"


class NodeRow(NamedTuple):
    """A node's row, as ``heartbeat.lua`` writes it: ``incarnation joined seen phase report``."""

    incarnation: str
    joined_s: float
    """Since 1970, by Redis's clock; so is ``seen_s``."""
    seen_s: float
    phase: str
    """"here", "leaving" or "left"."""
    report: str
    """JSON."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: ``text`` has another form.
        """
        found = _NODE_ROW.fullmatch(text)
        if found is None:
            raise ValueError("it is no row of a node")
        return cls(found[1], float(found[2]), float(found[3]), found[4], found[5])


class IncarnationRow(NamedTuple):
    """The row of a node's incarnation, as ``heartbeat.lua`` writes it: ``seen phase node``."""

    seen: str
    """When it was heard of last, in seconds since 1970 by Redis's clock. A text: another one is another heartbeat."""
    phase: str
    node: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: ``text`` has another form.
        """
        seen, phase, node = text.split(" ", 2)
        return cls(seen, phase, node)


class DesiredState(NamedTuple):
    """The state that a person wants for an incarnation of a node: ``1a2b3c4d stop``. ``heartbeat.lua`` reads it."""

    incarnation: str
    state: str

    def __str__(self) -> str:
        return f"{self.incarnation} {self.state}"


class ClaimRow(NamedTuple):
    """Which node works on a unit, since when: ``since_ms incarnation node``, as Lua writes it."""

    since_ms: int
    """Since 1970, by Redis's clock."""
    incarnation: str
    node: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: ``text`` has another form.
        """
        since_ms, incarnation, node = text.split(" ", 2)
        return cls(names.milliseconds(since_ms), incarnation, node)


class BatchRow(NamedTuple):
    """A batch of neighbouring chunks: ``first size trigger``, as Lua writes it: ``0 32 chord``."""

    first: int
    size: int
    trigger: str
    """The trigger that starts joining the batch's parts: ``records.Trigger``."""

    @property
    def chunks(self) -> range:
        return range(self.first, self.first + self.size)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: ``text`` has another form.
        """
        row, _, trigger = text.rpartition(" ")
        first, size = numbers(row, 2)
        return cls(first, size, trigger)


class DelayedRow(NamedTuple):
    """A message and the queue where it belongs; ``release_delayed.lua`` reads it."""

    queue: str
    message: bytes

    @classmethod
    def parse(cls, row: bytes) -> Self:
        """Read one; of another form it has no message."""
        queue, _, message = row.partition(b"\n")
        return cls(queue.decode(errors="replace"), message)

    def __bytes__(self) -> bytes:
        return self.queue.encode() + b"\n" + self.message


def numbers(row: bytes | str, count: int) -> tuple[int, ...]:
    """Read a row of ``count`` numbers with a blank between them, as Lua writes it: ``3 3 0``.

    Raises:
        ValueError: It has another form.
    """
    text = row.decode("ascii") if isinstance(row, bytes) else row
    if re.fullmatch(" ".join([r"[0-9]{1,10}"] * count), text) is None:
        raise ValueError(f"{text!r} is no row of {count} numbers")
    return tuple(map(int, text.split(" ")))
