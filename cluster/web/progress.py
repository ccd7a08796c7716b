"""How far a run is, in the figures and sentences that its page shows. No Redis, no request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic import BaseModel

from cluster import names
from cluster.client.nodes import Node
from cluster.client.run import Event, Line, Status
from cluster.texts import EVENTS
from cluster.web import node_rows, render

RATE_S = 60.0
"""The rate is that of the last minute: what happened before says little about the time left."""
SURE_S, SURE_SHARE = 20.0, 0.02
"""The time left is told once a run goes on for so many seconds, or that share of it is done."""
MOST_TOLD = 3


class Figures(BaseModel):
    """The figures of a run at one moment."""

    state: str
    """As people call it: "paused" beside the ledger's."""
    rate: float | None
    """Items a second, in the last minute; of a run that is over, in all its time."""
    left_s: float | None
    """Seconds until it ends at that rate; None where nobody can say."""
    done: float | None
    """The share of the items that is done, from 0 to 1; None while they are being counted."""
    missing: float
    """The share of those that are missing."""
    running: float
    """The share that nodes work on, by the number of chunks."""
    waiting: str = ""
    """Why nothing of it is done at the moment, for people."""
    held: dict[str, str] = {}
    """Node -> why it does less than it could, where it does."""


class Change(BaseModel):
    """A change in a run's life, in words."""

    id: str
    at: datetime
    time: str
    """The moment as it is shown."""
    event: str
    what: str
    about: str


def figures(status: Status, lines: Iterable[Line], now_ms: float, nodes: Sequence[Node] = ()) -> Figures:
    """The figures of a run.

    Args:
        status: Its status.
        lines: Of its timeline, those of the last minute at least.
        now_ms: The moment in milliseconds since 1970, by Redis's clock.
        nodes: All that the cluster has.
    """
    rate = _rate(status, lines, now_ms)
    total = status.items_total
    share = {name: number / total if total else 0.0 for name, number in (
        ("done", status.items_done), ("missing", status.items_failed), ("running", _items_running(status)),
    )}  # fmt: skip
    return Figures(
        state=state(status),
        rate=rate,
        left_s=_left_s(status, rate),
        done=min(1.0, share["done"]) if total else None,
        missing=min(1.0, share["missing"]),
        running=max(0.0, min(share["running"], 1 - share["done"] - share["missing"])),
        waiting=waiting(status, nodes),
        held=held(status, nodes),
    )


def state(status: Status) -> str:
    """The state of a run for people."""
    return "paused" if status.paused else status.state


def waiting(status: Status, nodes: Sequence[Node]) -> str:
    """Why nothing of a run is done at the moment; "" where something is, or where nobody knows."""
    if status.state != "running" or status.chunks_running:
        return ""
    if status.paused:
        return f"It is paused {status.paused}."
    online = [node for node in nodes if node.state == "online"]
    serving = [node for node in online if node.serves(status.requirement)]
    if serving and all(node.name in status.rejections for node in serving):
        return "Each node that can do it rejects it."
    if serving and not any(node.slots_to_fill for node in serving):
        return "Each node that can do it is paused."
    if not serving:
        why = [f"{node.name}: {told}" for node in online if (told := node.why_not(status.requirement))]
        more = f" and {len(why) - MOST_TOLD} more" if len(why) > MOST_TOLD else ""
        return f"No node can do {status.requirement}. {'; '.join(why[:MOST_TOLD])}{more}".strip()
    return ""


def held(status: Status, nodes: Iterable[Node]) -> dict[str, str]:
    """Node -> why it does less than it could, of those that have done some of a run or could."""
    found = {}
    for node in nodes:
        if node.name in status.nodes or status.requirement in node.jobs:
            word, why = node_rows.state(node)
            if word != "online":
                found[node.name] = f"{word}: {why}" if why else word
    return found


def changes(events: Iterable[Event]) -> list[Change]:
    """Changes in words."""
    return [
        Change(
            id=event.id, at=event.at, time=render.moment(event.at), event=event.event,
            what=EVENTS.get(event.event, event.event).rstrip(":"),
            about=" · ".join(word for word in (
                names.described(event.chunk) if event.chunk else "", event.node, event.why,
            ) if word),
        )
        for event in events
    ]  # fmt: skip


def _items_running(status: Status) -> float:
    """About how many items nodes work on: the ledger counts chunks."""
    return status.chunks_running * status.items_settled / status.chunks_settled if status.chunks_settled else 0.0


def _rate(status: Status, lines: Iterable[Line], now_ms: float) -> float | None:
    if status.state != "running" or status.rounds is not None:
        return status.items_settled / status.seconds if status.seconds > 0 else None
    window_s = min(RATE_S, status.seconds)
    if not status.items_settled or window_s <= 0:
        return None
    return sum(line.items for line in lines if line.until_ms > now_ms - window_s * 1000) / window_s


def _left_s(status: Status, rate: float | None) -> float | None:
    total = status.items_total
    if status.state != "running" or status.paused or not total or not rate:
        return None
    if status.seconds < SURE_S and status.items_settled < SURE_SHARE * total:
        return None
    return max(0.0, (total - status.items_settled) / rate)
