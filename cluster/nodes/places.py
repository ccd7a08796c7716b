"""Where a cluster keeps its bytes and its models: the same for all its machines, so it stands once in Redis.

``keys.PLACES`` is a hash of two settings, ``blob_url`` and ``bundle_dir``. The first to come writes it: a node that
joins, or a submitter that opens a run. All that come later compare theirs with it. A node that has others takes no work
and says so; a submitter that has others opens no run.

An operator changes them by giving all machines the new settings and starting the workers again: what stands there is
replaced by the next one to come, once no node is there that does jobs and no run is going on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from cluster import errors, keys
from cluster.scripts import Scripts

if TYPE_CHECKING:
    from cluster.settings import Settings
    from cluster.stores import Stores

NOWHERE = keys.queue("-")
"""The queue of no job: that of a node which takes no work."""
FORGET_S = 24 * 3600
"""Seconds after which it is forgotten, counted from the last time that a node or a submitter compared it."""
SECRET = re.compile(r"//[^/@]*@")
"""The user and the password in a URL."""


class Places(NamedTuple):
    """Where the bytes of chunks and parts lie, and the models; each "" for the broker's Redis."""

    blob_url: str = ""
    """Without its user and password, which may differ."""
    bundle_dir: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the places that this machine's settings name."""
        folder = settings.bundle_dir
        return cls(
            SECRET.sub("//", (settings.blob_url or "").rstrip("/")),
            str(Path(folder).expanduser().absolute()) if folder else "",
        )

    def unlike(self, others: Places) -> str:
        """How these differ from the cluster's, in words; "" if they do not."""
        told = []
        for name, mine, theirs in zip(self._fields, self, others, strict=True):
            if mine != theirs:
                setting = f"CLUSTER_{name.upper()}"
                told.append(f"{setting} is {mine or 'not set'} here and {theirs or 'not set'} in this cluster")
        return "; ".join(told)


def disagreement(stores: Stores, settings: Settings) -> str:
    """Why this machine must not work on the cluster's runs, in words; "" if it may.

    Enters this machine's places where none are entered, or nobody works by those that are. Asked again, it changes
    nothing.

    Raises:
        redis.RedisError: Redis does not answer, or has no room to enter them.
    """
    mine = Places.of(settings)
    if (told := compare(stores, mine)) and not _is_in_use(stores):
        told = mine.unlike(_agreed(stores, mine, anew=True))
    return told


def require(stores: Stores, settings: Settings) -> None:
    """See that this machine may work on the cluster's runs, as ``disagreement`` does.

    Raises:
        errors.BadSetting: It keeps bytes or models elsewhere; the message names both places.
        redis.RedisError: As for ``disagreement``.
    """
    if told := disagreement(stores, settings):
        raise errors.BadSetting(f"this machine cannot work on the runs of this cluster: {told}")


def compare(stores: Stores, mine: Places) -> str:
    """How these places differ from the cluster's, in words; "" if they do not. Enters them where none are entered.

    Raises:
        redis.RedisError: Redis does not answer, or has no room to enter them.
    """
    return mine.unlike(_agreed(stores, mine))


def _agreed(stores: Stores, mine: Places, *, anew: bool = False) -> Places:
    script = Scripts(stores.redis, "cluster.nodes")
    found = script("agree", {"places": keys.PLACES}, **mine._asdict(), anew=int(anew), retention_s=FORGET_S)
    return Places(*(value.decode(errors="replace") for value in found))


def _is_in_use(stores: Stores) -> bool:
    """Whether a node is there that does jobs, or a run is going on."""
    works = any(node.jobs for node in stores.nodes.nodes() if node.state != "gone")
    return works or "running" in stores.ledger.runs.states(stores.ledger.runs.listed())
