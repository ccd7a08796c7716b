"""The registry of nodes: each node writes its own row in Redis every second, and any process can read them."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal, NamedTuple

import redis
from pydantic import BaseModel, Field

from cluster import keys, names, older, redis_client
from cluster.names import Capability
from cluster.redis_rows import DesiredState, IncarnationRow, NodeRow
from cluster.scripts import Scripts

LEAD_MS = 1000
HEARTBEAT_S = 1.0
SILENT_S = 4.0
"""Seconds without a heartbeat, by Redis's clock, after which a node shows as silent. The failure detector counts them
by its own clock, and calls the node lost."""
GONE_S = 12.0
LATE_S = 1.15
"""Seconds without a heartbeat after which those who look closely ask whether the node is connected at all."""
FORGET_S = 24 * 3600
PAUSED_S = 30 * 24 * 3600
"""Seconds that a pause outlasts the last heartbeat of a node that is paused: a laptop stays away over the holidays."""
MOST_NAME_CHARS = 100
"""Of the name of somebody who pauses a node."""

PENDING = "is being fetched or tried"
"""Stands for the reason while a node finds out whether it can serve a capability."""

State = Literal["online", "leaving", "silent", "gone"]
HERE = ("online", "leaving")
Desired = Literal["", "stop", "stop-now"]


class Links(BaseModel):
    """How fast bytes cross between a node and a store; None until it is measured."""

    up_bytes_s: float | None = Field(None, ge=0)
    """Bytes a second of one transfer to the store, as a moving mean."""
    down_bytes_s: float | None = Field(None, ge=0)
    """The same from the store."""
    rtt_s: float | None = Field(None, ge=0)
    """Seconds of a round trip."""


class NodeReport(BaseModel):
    """The report that a node sends with each heartbeat."""

    slots: int = Field(ge=1)
    slots_allowed: int | None = Field(None, ge=0)
    """How many of them it fills at most for now; None from a node that does not tell."""
    held_back: str = ""
    """Why not all of them: "in use", "on battery" or "memory low"; "by maria" where ``paused_by`` says so."""
    paused_by: str = ""
    """Who has paused it; "" for nobody. It fills no slot until somebody has it go on, also after a new start."""
    busy: int = Field(ge=0)
    """Slots that work on a message."""
    chunk_memory_bytes: int | None = Field(None, ge=0)
    """The memory that its chunks share; None from a node that does not tell."""
    chunk_memory_taken_bytes: int = Field(0, ge=0)
    """How much of it is planned for the chunks that it works on."""
    done: int = Field(ge=0)
    """Tasks it has ended since it was started, aggregates among them."""
    rejected: int = Field(0, ge=0)
    """Messages it has dropped since it was started, as they were not in order (``cluster.messaging.messages``)."""
    cores: int = Field(ge=1)
    memory_total_bytes: int = Field(ge=0)
    memory_available_bytes: int = Field(ge=0)
    load: float = Field(ge=0)
    """Processes that want a core, mean of the last minute."""
    jobs: list[str]
    """Capabilities of jobs that it serves: ``ocr``, ``ocr@deu``, ``faces@office:3``."""
    outdated: dict[str, str] = {}
    """Job -> why the worker goes on with an older one than is installed there."""
    known: list[str] | None = None
    """Capabilities of all jobs that are installed there, so known to it; None from a node that does not tell."""
    missing: dict[str, str] = {}
    """Capability -> why it does not serve it, of those it was asked for."""
    bundles: list[str] = []
    """Bundles that it holds, as ``office:3``."""
    site: str = ""
    """The place of the node; "" from a node that does not tell."""
    lan: str = ""
    """The address by which others of its site may reach it; "" where its owner does not allow that."""
    edge: str = ""
    """Digest of the address of its site's store (``names.edge``); "" without one."""
    devices: list[str] = []
    """Where it reckons: ``cpu x4``, ``cuda:0 24 GiB``."""
    links: Links = Links()
    """To the hub."""
    edge_links: Links = Links()
    """To its site's store."""
    versions: dict[str, str]


class Node(NodeReport):
    """A node as others see it. ``model_dump(mode="json")`` is what ``cluster nodes --json`` prints."""

    name: str
    state: State
    joined_at: datetime
    last_seen_at: datetime
    incarnation: str = Field(exclude=True)
    """The random id of this life of its worker."""
    phase: str = Field(exclude=True)
    """The phase in the node's last heartbeat: "here", "leaving" or "left"."""

    @property
    def slots_to_fill(self) -> int:
        """How many slots it fills at most for now; all of them where it does not tell."""
        return self.slots if self.slots_allowed is None else self.slots_allowed

    def fitting(self, slots: int, chunk_bytes: int | None) -> int:
        """How many of ``slots`` chunks its memory has place for at once, where each takes this much; None: a slot's."""
        if self.chunk_memory_bytes is None or not chunk_bytes:
            return slots
        return min(slots, max(1, self.chunk_memory_bytes // chunk_bytes))

    def free_for(self, chunk_bytes: int | None) -> int:
        """How many more chunks, of which each takes this much, it can begin now."""
        free = self.slots_to_fill - self.busy
        if self.busy and chunk_bytes and self.chunk_memory_bytes is not None:
            free = min(free, (self.chunk_memory_bytes - self.chunk_memory_taken_bytes) // chunk_bytes)
        return max(0, self.fitting(free, chunk_bytes))

    def serves(self, capability: str) -> bool:
        """Whether it is online and takes messages for a capability."""
        return self.state == "online" and capability in self.jobs

    def has_answered(self, capability: str) -> bool:
        """Whether the node has answered if it serves a capability, or will never try to."""
        job = names.plain(capability)
        looks = self.known is None or job in self.jobs or job in self.missing
        return capability in self.jobs or capability in self.missing or not looks

    def why_not(self, capability: str) -> str:
        """Why it does not serve a capability, and what helps; "" if it does, or has not said."""
        plain = names.plain(capability)
        if capability in self.jobs:
            return ""
        if why := self.missing.get(capability) or self.missing.get(plain):
            return why
        try:
            wanted = Capability.parse(capability)
        except ValueError as error:
            return str(error)
        known = names.capabilities(self.jobs if self.known is None else self.known)
        version = {one.job: one.version for one in known}.get(wanted.job)
        if version not in (None, wanted.version):
            why = f"has another version of the job: {version or 'none'}; the run needs {wanted.version or 'none'}"
        elif self.known is None or plain in self.jobs:
            return ""
        elif plain in self.known:
            return "its worker was started for other jobs (-Q)"
        else:
            return f"does not have the job {wanted.job}; install its package there, its worker then finds it"
        stop = f"cluster shutdown --node {shlex.quote(self.name)}"
        return f"{why}; install its package there, then start its worker again (`{stop}` stops it)"


class Heard(NamedTuple):
    """The answer to a heartbeat."""

    desired: Desired
    """The state that people want of this incarnation."""
    revision: int
    paused_by: str
    """Who has paused the node; "" for nobody."""


class Incarnation(NamedTuple):
    """One life of a node's worker, of which something may be left in Redis."""

    id: str
    node: str
    seen: str
    """The moment of its last heartbeat, by Redis's clock."""
    phase: str

    def age_s(self, now_s: float) -> float:
        """How long ago that heartbeat was; 0 where the row tells no moment."""
        try:
            return max(0.0, now_s - float(self.seen))
        except ValueError:
            return 0.0


class Registry:
    """All nodes of one cluster."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._scripts = Scripts(client, "cluster.nodes")

    def heartbeat(
        self, name: str, incarnation: str, phase: Literal["here", "leaving", "left"], report: NodeReport
    ) -> Heard:
        """Write a node's row; gives what people want of it."""
        touched = {
            "nodes": keys.NODES, "desired": keys.DESIRED, "paused": keys.PAUSED, "incarnations": keys.INCARNATIONS,
            "revision": keys.REVISION, "names": keys.NAMES,
        }  # fmt: skip
        desired, revision, paused = self._scripts(
            "heartbeat",
            touched,
            node=name,
            incarnation=incarnation,
            phase=phase,
            report=report.model_dump_json(),
            retention_s=FORGET_S,
            paused_s=PAUSED_S,
        )
        word = desired.decode(errors="replace")
        return Heard(
            word if word in ("stop", "stop-now") else "",
            redis_client.number(revision),
            paused.decode(errors="replace")[:MOST_NAME_CHARS],
        )

    def take_name(self, wanted: str, incarnation: str) -> str:
        """The name that an incarnation has from now on: the one it wants, or ``worker@pc~2`` where another one of that
        name is connected. It must be connected itself by then, so that others see it.
        """
        for number in count(1):
            name = names.renamed(wanted, number)
            gone = ""
            while holder := self._scripts(
                "take_name", {"names": keys.NAMES}, name=name, incarnation=incarnation, gone=gone, retention_s=FORGET_S
            ).decode(errors="replace"):
                lives = self._lives(holder)
                if lives is None:
                    return wanted  # we may not ask
                if lives:
                    break
                gone = holder
            else:
                return name
        raise AssertionError("count() does not end")

    def _lives(self, incarnation: str) -> bool | None:
        """Whether an incarnation is connected, and sends heartbeats if it ever did; None where we may not ask.

        The connection of a machine without power stands for minutes.
        """
        connected = self.connected()
        if connected is None:
            return None
        now: Any = self._redis.time()
        heartbeats = {found.id: float(found.seen) for found in self.incarnations()}
        return incarnation in connected and now[0] - heartbeats.get(incarnation, now[0]) < GONE_S

    def nodes(self, *, closely: bool = False) -> list[Node]:
        """All nodes heard of within a day, by name; the others are forgotten. Rows that cannot be read are left out.

        Args:
            closely: Ask Redis which nodes are connected where a heartbeat is late: one that was killed shows as silent
                within two seconds. Without it a node shows as silent after ``SILENT_S``.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(keys.NODES)
            (seconds, micros), rows = pipe.execute()
        now = seconds + micros / 1e6
        read = (_node(name.decode(errors="replace"), row, now) for name, row in rows.items())
        found = [node for node in read if node is not None]
        if old := [node.name for node in found if now - node.last_seen_at.timestamp() > FORGET_S]:
            with self._redis.pipeline(transaction=False) as pipe:
                for key in (keys.NODES, keys.NAMES, keys.DESIRED):
                    pipe.hdel(key, *old)
                pipe.execute()
        if closely:
            found = self._looked_closely(found, now)
        return sorted((node for node in found if node.name not in old), key=lambda node: node.name)

    def _looked_closely(self, found: Sequence[Node], now: float) -> list[Node]:
        is_late = [node.state in HERE and now - node.last_seen_at.timestamp() > LATE_S for node in found]
        connected = self.connected() if any(is_late) else None
        return [
            node.model_copy(update={"state": "silent"})
            if late and connected is not None and node.incarnation not in connected
            else node
            for node, late in zip(found, is_late, strict=True)
        ]

    def node(self, name: str) -> Node | None:
        """The last report of one node; None where there is none that can be read."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hget(keys.NODES, name)
            (seconds, micros), row = pipe.execute()
        return _node(name, row, seconds + micros / 1e6) if row else None

    def older(self) -> dict[str, str]:
        """The nodes of the version before that are there, by name -> what is to be done about them, for people."""
        return older.nodes(self._redis)

    # For the failure detectors

    def lead(self, detector: str) -> bool:
        """Try to become the failure detector that acts for the next ``LEAD_MS``; return whether ``detector`` is."""
        return bool(self._scripts("lead", {"detector": keys.DETECTOR}, detector=detector, lead_ms=LEAD_MS))

    def incarnations(self) -> list[Incarnation]:
        """All incarnations of nodes that are not forgotten."""
        found: Any = self._redis.hgetall(keys.INCARNATIONS)
        incarnations = []
        for incarnation, raw in found.items():
            with contextlib.suppress(ValueError):  # of no node of ours
                row = IncarnationRow.parse(raw.decode(errors="replace"))
                incarnations.append(Incarnation(incarnation.decode(errors="replace"), row.node, row.seen, row.phase))
        return incarnations

    def uptime_s(self) -> int:
        """How long Redis has been up."""
        return int(self._redis.info("server")["uptime_in_seconds"])

    def connected(self) -> set[str] | None:
        """The incarnations that have a connection to Redis; None where we may not ask."""
        try:
            clients = redis_client.connected(self._redis)
        except redis.ResponseError:
            return None
        return {incarnation for client in clients if (incarnation := names.incarnation_of(client))}

    def held(self, incarnation: str) -> list[bytes]:
        """The messages that an incarnation of a node holds."""
        found: Any = self._redis.hvals(keys.unacked(incarnation))
        return list(found)

    def forget(self, incarnation: str) -> None:
        """Nothing is left of an incarnation of a node."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hdel(keys.INCARNATIONS, incarnation)
            pipe.unlink(*(keys.unacked(incarnation) + end for end in ("", ":index", ":mutex")))
            pipe.execute()

    def count_loss(self) -> None:
        """Tell all coordinators that a node was lost."""
        self._redis.incr(keys.LOSSES)

    def losses(self) -> int:
        """How often a node was lost."""
        found: Any = self._redis.get(keys.LOSSES)
        return redis_client.number(found)

    def set_desired_state(self, nodes: Sequence[Node], state: Literal["stop", "stop-now"]) -> None:
        """Tell nodes, in their incarnations of now, to stop; they hear it with their next heartbeat."""
        if nodes:
            desired: dict[Any, Any] = {node.name: str(DesiredState(node.incarnation, state)) for node in nodes}
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(keys.DESIRED, mapping=desired)
                pipe.expire(keys.DESIRED, FORGET_S)
                pipe.execute()

    def pause(self, names: Iterable[str], by: str) -> None:
        """Have nodes fill no slots until ``go_on``, also in later incarnations; they hear it with their next heartbeat.

        One that is paused already stays paused by the one who did it first.
        """
        with self._redis.pipeline(transaction=True) as pipe:
            for name in names:
                pipe.hsetnx(keys.PAUSED, name, by[:MOST_NAME_CHARS])
            pipe.expire(keys.PAUSED, PAUSED_S)
            pipe.execute()

    def go_on(self, names: Sequence[str]) -> None:
        """Have nodes fill slots again, whoever has paused them; changes nothing for those that are not paused."""
        if names:
            self._redis.hdel(keys.PAUSED, *names)


def _node(name: str, row: bytes, now: float) -> Node | None:
    """A row as ``heartbeat.lua`` wrote it; None for what a node of ours did not write."""
    try:
        found = NodeRow.parse(row.decode())
        age_s = now - found.seen_s
        known = NodeReport.model_validate_json(found.report)
        moments = [datetime.fromtimestamp(moment, UTC) for moment in (found.joined_s, found.seen_s)]
    except (ValueError, OverflowError):
        return None
    state: State = "leaving" if found.phase == "leaving" else "online"
    if found.phase == "left" or age_s > GONE_S:
        state = "gone"
    elif age_s > SILENT_S:
        state = "silent"
    return Node(
        **known.model_dump(),
        name=name,
        state=state,
        joined_at=moments[0],
        last_seen_at=moments[1],
        incarnation=found.incarnation,
        phase=found.phase,
    )
