"""The hash ``cluster2:run:R``: one run's row.

| field | type | written by | meaning |
| --- | --- | --- | --- |
| job | str | create | its name |
| version | str | create | of the job; "" for a job without versions |
| requirement | str | create | what a node must serve to do the run |
| options | dict | create | all of the job's options, as JSON |
| submitter | str | create | the process that opened the run |
| started_at | float? | create | seconds since 1970 |
| soft_time_limit_s | int | create | policy: a message that is worked on for longer is interrupted |
| time_limit_s | int | create | policy: its process is ended |
| max_attempts | int | create | policy: a chunk may raise this often |
| retention_s | int | create | policy: its keys stay this long after it was last worked on |
| retry_delay_s | float | create | policy: the wait before a chunk's second attempt |
| max_part_bytes | int | create | policy: what a part may have before it is compressed |
| inline_bytes | int | create | policy: chunks and parts up to this size stand in the ledger |
| state | str | create, finish | "running", "done", "failed" or "cancelled" |
| error | str | finish | why it failed, or the person who cancelled it |
| finished_at | float? | finish | seconds since 1970; none while it is running |
| paused | str | pause, go_on, finish | why no chunk of it is begun now; "" while it goes on |
| origin | str | create, Runs.settle | the command that opened it (``client/origin.py``); "" once its result is there |
| seen | str | create | digest of the names, sizes and times of the input's files, as they were then |
| owner | str | create | the user whose run it is; "" for nobody's, as one of the command line |
| shown_to | str | create, share | of a run with an owner: "private" or "cluster", see ``Belongs`` |
| follows | str | create | the run whose missing items this one does again |
| followers | str | create | the runs that do again what is missing from this one, the earliest first, between spaces |
| upload | str | create | the upload on the page's machine that it reads |
| publishes | str | create | "first": it publishes no next version of a model, see ``Belongs``; "" any version |
| chunks_read | int | open_batch, begin_rounds | chunks that the splitter gave, readable or not |
| items_read | int | open_batch, begin_rounds | items of these chunks |
| chunks_published | int | create, open_batch, enter_turns, enter_joins | chunks that are entered |
| batches_published | int | create, open_batch, enter_turns | batches that are entered |
| bytes_published | int | open_batch, begin_rounds | input of the chunks that are entered |
| digest | str | open_batch, begin_rounds | of all that was read: tells whether an input is the same |
| items_total | int? | expect_items, end_split, expect_rounds, advance | counted ahead, then for certain; or rounds |
| chunks_total | int? | end_split, expect_rounds, advance | none while the input is being read |
| batches_total | int | end_split, expect_rounds, advance | 0 while the input is being read |
| passed_over | dict | end_split | kind of file -> files of the input that the job does not read, as JSON |
| items_settled | int | open_batch, end_split, settle, begin_rounds, advance | items that are done or missing |
| chunks_settled | int | settle, advance | chunks that are committed, given up or late |
| bytes_settled | int | settle | input of these chunks |
| batches_complete | int | settle, advance, enter_joins | batches whose chunks are all settled |
| batches_aggregated | int | commit_partial, advance | batches whose parts are joined |
| chunk_us | int | settle | microseconds that a chunk takes, the last ones count most |
| duplicates | int | claim, settle | chunks that came a second time and were dropped |
| retries | int | end_attempt | attempts that gave nothing |
| coordinator | str | take_lease, release_lease | the process that has the lease |
| role | str | take_lease, release_lease | "splitter" or "supervisor" |
| lease_until_ms | int | take_lease, release_lease | when the lease runs out, in ms since 1970 |
| leases | int | take_lease | leases taken so far |
| fence | str | take_lease | "leases coordinator", the fencing token |
| share | float | feed | slots that the run is to fill, of those that serve it |
| slots | int | feed | all slots that serve it |
| share_until_ms | int | feed | how long ``share`` holds, in ms since 1970 |
| due_ms | int | feed | when the next message may follow, with a share under one slot |
| report | dict? | Reports.enter | the model that the run has trained, as JSON |
| round | int? | begin_rounds, advance | the last round that is closed, -1 before; none of a run without rounds |
| rounds_planned | int | expect_rounds, advance | rounds that the run is to have |
| model_state | dict | begin_rounds, advance, enter_joins | where the state lies, what its driver needs, as JSON |
| views | list | begin_rounds, advance | what nodes read of the state: ``wire.View`` of each, as JSON |
| late | int | advance | chunks whose parts were not there when their round was closed |
| late_committed | int | settle | those of them that were committed since; the others are lost |
| rejected | int | advance | parts that the driver did not use |

``finish``, ``feed``, ``enter_turns`` and ``expect_rounds`` are functions of ``prelude.lua``; ``Reports.enter`` and
``Runs.settle`` are methods; the other writers are scripts of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import orjson

if TYPE_CHECKING:
    from cluster.settings import Settings

MOST_RETRY_DELAY_S = 60.0
Share = Literal["private", "cluster"]
"""Who sees a run besides its owner: nobody, or each user of the cluster."""
Publishes = Literal["any", "first"]
"""Which version of a model a training may publish: also the next one, or only the first one of a new name."""


class Belongs(NamedTuple):
    """The user whose run it is, and what the run comes from; of a run from the command line nothing of it is known.

    A run without an owner is seen by each user. The ledger keeps this and does not check it: whoever has the broker's
    password sees and changes each run.
    """

    owner: str = ""
    share: Share = "private"
    follows: str = ""
    """The run whose missing items this one does again; "" for none."""
    upload: str = ""
    """The upload that it reads, on the machine of the page; "" for none."""
    publishes: Publishes = "any"
    """What a training may publish; ``coordinator.publish_model`` heeds it."""

    def is_seen_by(self, user: str) -> bool:
        """Whether a user without a higher role sees it."""
        return not self.owner or self.owner == user or self.share == "cluster"

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the row that are to be written."""
        found = {"owner": self.owner, "follows": self.follows, "upload": self.upload}
        found["shown_to"] = self.share if self.owner else ""
        found["publishes"] = "" if self.publishes == "any" else self.publishes
        return {name: value for name, value in found.items() if value}


class Limits(NamedTuple):
    """How long a message of a run may be worked on, in seconds."""

    soft_time_limit: int
    """Then it is interrupted."""
    time_limit: int
    """Then its process is ended."""


class RunPolicy(NamedTuple):
    """The limits that a run's submitter has set. They stand in the run's row and hold on every machine.

    A machine's own limits stay the machine's: its node leaves to others what is over them.
    """

    soft_time_limit_s: int = 600
    """A message that is worked on for longer is interrupted; that attempt has failed."""
    time_limit_s: int = 630
    """Then its process is ended, and the chunk is given up."""
    max_attempts: int = 4
    """A chunk that raised this often is given up."""
    retention_s: int = 7 * 24 * 3600
    """The run is kept this long after it was last worked on."""
    retry_delay_s: float = 1.0
    """The wait before a chunk's second attempt; doubled for each further one, up to ``MOST_RETRY_DELAY_S``."""
    max_part_bytes: int = 256 * 2**20
    """Limit of a part in bytes, before it is compressed."""
    inline_bytes: int = 64 * 1024
    """A chunk's input, and parts, up to this size stand in the ledger; larger ones in the blob store."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the policy from a submitter's settings."""
        return cls(
            settings.chunk_time_limit_s, settings.chunk_s, settings.max_attempts, settings.retention_s,
            settings.retry_delay_s, settings.max_part_bytes, settings.inline_bytes,
        )  # fmt: skip

    @classmethod
    def read(cls, values: Sequence[bytes | str | Literal[False] | None]) -> Self:
        """Read the row's fields, in this class's order; a field that is missing or unreadable gets its default."""
        standard = cls()
        return cls(*(_read(value, type(known), known) for value, known in zip(values, standard, strict=True)))

    @property
    def limits(self) -> Limits:
        """The time limits of the run's messages."""
        return Limits(self.soft_time_limit_s, self.time_limit_s)

    def delay_s(self, failed: int) -> float:
        """The wait after this many failed attempts."""
        return min(MOST_RETRY_DELAY_S, self.retry_delay_s * 2.0 ** min(max(0, failed - 1), 64))


@dataclass(frozen=True)
class RunRow:
    """A run's row, or the fields of it that were read; see the table above. The other fields have their defaults."""

    job: str = ""
    version: str = ""
    requirement: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    submitter: str = ""
    started_at: float | None = None
    policy: RunPolicy = field(default_factory=RunPolicy)
    state: str = ""
    error: str = ""
    finished_at: float | None = None
    paused: str = ""
    origin: str = ""
    seen: str = ""
    owner: str = ""
    shown_to: str = ""
    follows: str = ""
    followers: str = ""
    upload: str = ""
    publishes: str = ""
    chunks_read: int = 0
    items_read: int = 0
    chunks_published: int = 0
    batches_published: int = 0
    bytes_published: int = 0
    digest: str = ""
    items_total: int | None = None
    chunks_total: int | None = None
    batches_total: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    items_settled: int = 0
    chunks_settled: int = 0
    bytes_settled: int = 0
    batches_complete: int = 0
    batches_aggregated: int = 0
    chunk_us: int = 0
    duplicates: int = 0
    retries: int = 0
    coordinator: str = ""
    role: str = ""
    lease_until_ms: int = 0
    leases: int = 0
    fence: str = ""
    share: float = 0.0
    slots: int = 0
    share_until_ms: int = 0
    due_ms: int = 0
    report: dict[str, Any] | None = None
    round: int | None = None
    rounds_planned: int = 0
    model_state: dict[str, Any] = field(default_factory=dict)
    views: list[Any] = field(default_factory=list)
    late: int = 0
    late_committed: int = 0
    rejected: int = 0

    @property
    def belongs(self) -> Belongs:
        """Whose it is; a run without an owner is shown to each user."""
        share: Share = "private" if self.owner and self.shown_to != "cluster" else "cluster"
        publishes: Publishes = "first" if self.publishes else "any"
        return Belongs(self.owner, share, self.follows, self.upload, publishes)

    @classmethod
    def read(cls, given: Mapping[str, bytes | None]) -> Self:
        """From fields of the hash.

        Raises:
            ValueError: One of them is not what we write. In the policy such a field has its default.
        """
        found: dict[str, Any] = {
            name: _parse(value, kind)
            for name, value in given.items()
            if value is not None and (kind := KINDS.get(name)) is not None
        }
        if any(name in given for name in RunPolicy._fields):
            found["policy"] = RunPolicy.read([given.get(name) for name in RunPolicy._fields])
        return cls(**found)


KINDS = {one.name: re.findall(r"\w+", str(one.type))[0] for one in fields(RunRow) if one.name != "policy"}
"""Field -> "str", "int", "float", "dict" or "list"."""


def _parse(value: bytes, kind: str) -> Any:
    if wanted := {"dict": dict, "list": list}.get(kind):
        found = orjson.loads(value)
        if not isinstance(found, wanted):
            raise ValueError(f"{value[:50]!r} is no {'table' if wanted is dict else 'list'}")
        return found
    text = value.decode(errors="replace")
    return {"int": int, "float": float, "str": str}[kind](text)


def _read(value: bytes | str | Literal[False] | None, kind: type[Any], standard: Any) -> Any:
    try:
        return kind(value) if value else standard
    except ValueError:
        return standard
