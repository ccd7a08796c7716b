"""What private clusters of this machine did last: a small file in the cache folder, as these end with their runs."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from cluster.client.run import Status

FILE = "private-runs.jsonl"
MOST_RUNS = 50
MOST_MISSING = 10_000
"""Names of missing items that are kept of a run."""


class Past(NamedTuple):
    """A private run that was done."""

    run: str
    job: str
    version: str
    requirement: str
    options: dict[str, Any]
    items: int
    """Done."""
    seconds: float
    slots: int
    missing: list[str]


def keep(cache: Path, status: Status, slots: int) -> None:
    """Write down a private run that is done; a cache that cannot be written to is no error."""
    past = Past(
        status.run, status.job, status.version, status.requirement, status.options, status.items_done, status.seconds,
        slots, [failure.item for failure in status.failures[:MOST_MISSING]],
    )  # fmt: skip
    lines = [orjson.dumps(one._asdict()) for one in [past, *read(cache)][:MOST_RUNS]]
    draft = cache / f".{FILE}-{secrets.token_hex(4)}.part"
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(b"\n".join(lines) + b"\n")
        draft.replace(cache / FILE)


def read(cache: Path) -> list[Past]:
    """The private runs that were done here, the latest first; lines of another version are left out."""
    try:
        lines = (cache / FILE).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(ValueError, TypeError):
            found.append(Past(**orjson.loads(line)))
    return found


def find(cache: Path, run: str) -> Past | None:
    """A private run by its id."""
    return next((past for past in read(cache) if past.run == run), None)
