"""The status of a run, as people and scripts see it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel

from cluster import names
from cluster.ledger.row import Publishes, RunRow, Share
from cluster.names import Capability

State = Literal["running", "done", "failed", "cancelled"]


class Failure(BaseModel):
    """An item that is missing from the result, and why."""

    item: str
    reason: str


class Event(BaseModel):
    """One change in a run's life."""

    id: str = ""
    """Of its entry in the ledger."""
    at: datetime
    event: str
    """The kind of event: "begun", "coordinator" (a process begins to coordinate the run), "first-part" (of a node);
    "failed", "killed", "lost" (how an attempt ended); "redelivered", "speculative-copy" (its node is slow),
    "dead-lettered", "item-by-item" (the chunk is done so from now on), "rejected", "input-read", "paused", "gone-on";
    and the state in which the run ended."""
    chunk: str = ""
    """The chunk, or "partial level:number"."""
    node: str = ""
    why: str = ""

    @classmethod
    def from_ledger(cls, entry: str, fields: Mapping[str, str]) -> Event:
        """From an entry of the stream; its id begins with milliseconds since 1970."""
        at = datetime.fromtimestamp(names.entered_ms(entry) / 1000, UTC)
        return cls.model_validate({**fields, "id": entry, "at": at})


class RoundsStatus(BaseModel):
    """How far the rounds of a run are. A round counts as an item of the run."""

    round: int
    """The last one that is closed, counted from 0; -1 before."""
    planned: int
    """How many rounds the run is to have."""
    row: dict[str, Any] | None
    """The last line of the curve, with ``round`` and ``late_chunks``; None before there is one."""
    late: int
    """Parts that were not there when their round was closed."""
    lost: int
    """Those of them that have not come since."""
    rejected: int
    """Parts that came and were not used."""
    kind: str = ""
    """What the open round is for, as the job calls it; "" where none is open, or shards go on apart."""
    came: int = 0
    """Shards whose turn in the open round is over."""
    shards: int = 0
    """Of the run."""


class Status(BaseModel):
    """One run at one moment. ``model_dump(mode="json")`` is what ``cluster status --json`` prints."""

    run: str
    job: str
    version: str
    """The job's version; nodes with another version do not do this run."""
    requirement: str
    """The capability that a node must serve to do it: ``Job.requirement`` of its options."""
    state: State
    items_total: int | None
    """None while the input is still being counted."""
    items_done: int
    items_failed: int
    failures: list[Failure]
    """In the order of their names; empty where they were not asked for."""
    passed_over: dict[str, int] = {}
    """Kind of file -> how many files of the input the job does not read; "others" sums up rare kinds. Known once the
    input was read to its end."""
    chunks_total: int | None
    """None while the input is still being split."""
    chunks_published: int
    chunks_settled: int
    chunks_running: int
    """Started on some node and not settled."""
    duplicates: int
    """Chunks that came a second time and were dropped."""
    retries: int
    nodes: dict[str, int]
    """Node -> chunks it committed."""
    rejections: dict[str, str]
    """Node -> why it does not take this run's chunks."""
    coordinator: str | None
    """The process that coordinates the run; None if there is none."""
    role: Literal["splitter", "supervisor"] | None
    """Whether the coordinator has the run's input and reads it."""
    options: dict[str, Any]
    submitter: str
    owner: str = ""
    """The user whose run it is; "" for nobody's, as one of the command line."""
    share: Share = "cluster"
    """Who sees it on the page besides its owner: nobody ("private"), or each user."""
    follows: str = ""
    """The run whose missing items this one does again; "" for none."""
    upload: str = ""
    """The upload that it reads, on the machine of the page; "" for none."""
    publishes: Publishes = "any"
    """Which version of a model it may publish: also the next one ("any"), or only the first one of a new name."""
    error: str | None
    """Why the run failed or who cancelled it."""
    paused: str | None = None
    """Why no chunk of it is begun until it is gone on with; None while it goes on."""
    started_at: datetime
    finished_at: datetime | None
    seconds: float
    """How long it has been running, or ran, by Redis's clock."""
    rounds: RoundsStatus | None = None
    """None of a run that does not go in rounds, or has not begun them."""

    @property
    def items_settled(self) -> int:
        """Done or failed."""
        return self.items_done + self.items_failed

    @property
    def why(self) -> str:
        """The error for a text that tells the state: "by maria" of "cancelled by maria"; "" for none."""
        return (self.error or "").removeprefix("cancelled ")


def from_ledger(
    run: str, row: RunRow, failures: Mapping[str, str], nodes: Mapping[str, int],
    rejections: Mapping[str, str], *, failed: int, running: int, now_s: float,
    curve_row: Mapping[str, Any] | None = None,
) -> Status:  # fmt: skip
    """Build it from the run's row and its neighbours (see ``keys``)."""

    def moment(seconds: float | None) -> datetime | None:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    held = row.lease_until_ms > now_s * 1000
    rounds = None if row.round is None else {
        "round": row.round, "planned": row.rounds_planned, "row": curve_row,
        "late": row.late, "lost": row.late - row.late_committed, "rejected": row.rejected, **_open(row),
    }  # fmt: skip
    return Status.model_validate(
        {
            "run": run,
            "job": row.job,
            "version": row.version,
            "requirement": row.requirement or str(Capability(row.job, row.version)),
            "state": row.state,
            "items_total": row.items_total,
            "items_done": max(0, row.items_settled - failed),
            "items_failed": failed,
            "failures": [Failure(item=item, reason=failures[item]) for item in sorted(failures)],
            "passed_over": row.passed_over,
            "chunks_total": row.chunks_total,
            "chunks_published": row.chunks_published,
            "chunks_settled": row.chunks_settled,
            "chunks_running": running,
            "duplicates": row.duplicates,
            "retries": row.retries,
            "nodes": dict(nodes),
            "rejections": dict(rejections),
            "coordinator": row.coordinator or None if held else None,
            "role": row.role or None if held else None,
            "options": row.options,
            "submitter": row.submitter,
            **row.belongs._asdict(),
            "error": row.error or None,
            "paused": row.paused or None,
            "started_at": moment(row.started_at),
            "finished_at": moment(row.finished_at),
            "seconds": max(0.0, (now_s if row.finished_at is None else row.finished_at) - (row.started_at or 0.0)),
            "rounds": rounds,
        }
    )


def _open(row: RunRow) -> dict[str, Any]:
    """How far the open round is, where all shards have a turn in it: no other round has turns that are not settled."""
    standing = row.model_state
    kind, shards = standing.get("kind"), standing.get("shards")
    if (
        not (kind and isinstance(kind, str))
        or not isinstance(shards, int)
        or standing.get("apart")
        or row.state != "running"
    ):
        return {}
    came = shards - (row.chunks_published - row.chunks_settled)
    return {"kind": kind, "shards": shards, "came": min(max(came, 0), shards)}
