"""What people look at, by pages: runs, missing items, history and timeline, however long they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from cluster import keys, names
from cluster.ledger import runs
from cluster.ledger.status import Event, Status
from cluster.ledger.steps import decoded
from cluster.redis_rows import ClaimRow

if TYPE_CHECKING:
    import redis

    from cluster.ledger.row import RunRow
    from cluster.ledger.runs import Runs

STEP = 200
"""Runs, or missing items, that are read from Redis at a time."""
MOST_OWNERS = 20_000
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
MOST_GROUPS = 100


class Which(NamedTuple):
    """The runs that are looked for: those for which all of this holds."""

    seen_by: str | None = None
    """This user sees them, see ``Belongs``; None: all runs."""
    owner: str | None = None
    """They are this user's; of "" nobody's."""
    without: str | None = None
    """They are another user's, or nobody's."""
    state: str = ""
    """"paused" or a state of the ledger, in which those that are paused are running."""
    job: str = ""
    text: str = ""
    """Stands in their id."""

    def may_hold(self, owner: str | None) -> bool:
        """Whether it may hold of a run of this user; None: of one whose owner is not known."""
        return owner is None or (self.owner in (None, owner) and self.without != owner)

    def holds(self, run: str, row: RunRow) -> bool:
        """Whether all of it holds of a run."""
        belongs = row.belongs
        return (
            (self.seen_by is None or belongs.is_seen_by(self.seen_by))
            and self.may_hold(belongs.owner)
            and (not self.state or self.state == row.state or (self.state == "paused" and bool(row.paused)))
            and (not self.job or self.job == row.job)
            and self.text.lower() in run.lower()
        )


class RunsPage(NamedTuple):
    """Some runs, the latest first."""

    runs: list[Status]
    before: str
    """The last one of them, if there are earlier ones; else ""."""


class MissingItem(BaseModel):
    """An item that is missing from the result."""

    item: str
    reason: str
    node: str = ""
    """Where its chunk was done; "" for an item that was not sent, as it cannot be read."""


class MissingPage(NamedTuple):
    """Some missing items, in the order of their names; the pages have no order."""

    items: list[MissingItem]
    after: int
    """Where the next page begins; 0 behind the last one."""


class Reason(BaseModel):
    """Why items are missing."""

    reason: str
    """With "…" in place of its numbers."""
    items: int


class Line(NamedTuple):
    """A line of the timeline: a message whose chunks were settled together."""

    id: str
    """Of its entry in the ledger."""
    node: str
    since_ms: int
    """When the node claimed the chunks, in milliseconds since 1970 by Redis's clock, as is the next."""
    until_ms: int
    """When they were settled."""
    first: int
    last: int
    """Its lowest and highest chunk."""
    items: int
    missing: int
    """How many of the items are missing from the result."""


class Working(NamedTuple):
    """What a slot of a node works on now, or did until its node was lost."""

    node: str
    since_ms: int
    units: tuple[str, ...]
    """Chunks, or partials as "partial level:number"."""


class News(NamedTuple):
    """What is known of a run at one moment, and what is new in its timeline and history."""

    status: Status
    """Without its failures."""
    now_ms: int
    """The moment by Redis's clock, in milliseconds since 1970."""
    working: list[Working]
    lines: list[Line]
    events: list[Event]


class Listings:
    """What the ledger holds of runs, by pages."""

    def __init__(self, client: redis.Redis, runs: Runs) -> None:
        self._redis = client
        self._runs = runs
        self._owners: dict[str, str] = {}
        """Run -> its user, who stays the same: runs of others need not be read again."""

    def runs(self, most: int, before: str = "", which: Which = Which()) -> RunsPage:  # noqa: B008 - a tuple
        """Some of the runs, the latest first.

        Args:
            most: How many at most.
            before: The last run of the page before; "" for the first page. Nothing comes before a run that is gone.
            which: The runs that are looked for.
        """
        found: list[str] = []
        for run in self._chosen(before, which):
            if len(found) == most:
                return RunsPage(self._runs.statuses(found), found[-1])
            found.append(run)
        return RunsPage(self._runs.statuses(found), "")

    def missing(self, run: str, after: int = 0, most: int = 100, reason: str = "") -> MissingPage:
        """Some of the items that are missing from a run, as known by now.

        Args:
            run: Its id.
            after: Of the page before; 0 for the first page.
            most: How many there should be; Redis may give some hundreds more.
            reason: Those whose reason is of this kind, see ``reasons``; "" for all.
        """
        found: dict[str, str] = {}
        while True:
            answer: Any = self._redis.hscan(keys.run(run, "failures"), after, count=most)
            after, told = int(answer[0]), decoded(answer[1])
            found |= {item: why for item, why in told.items() if not reason or kind_of(why) == reason}
            if not after or len(found) >= most:
                break
        where: Any = self._redis.hmget(keys.run(run, "where"), list(found)) if found else []
        items = [
            MissingItem(item=item, reason=why, node=(node or b"").decode(errors="replace"))
            for (item, why), node in zip(found.items(), where, strict=True)
        ]
        return MissingPage(sorted(items, key=lambda one: one.item), after)

    def reasons(self, run: str) -> list[Reason]:
        """Why items of a run are missing, the most frequent reason first. One walk over them."""
        counted: Counter[str] = Counter()
        reasons: Any = self._redis.hvals(keys.run(run, "failures"))
        for why in reasons:
            counted[kind_of(why.decode(errors="replace"))] += 1
        return [Reason(reason=reason, items=items) for reason, items in counted.most_common(MOST_GROUPS)]

    def last_events(self, run: str, most: int) -> list[Event]:
        """The end of a run's history, the earliest change first."""
        found: Any = self._redis.xrevrange(keys.run(run, "events"), count=most)
        return [Event.from_ledger(at.decode(), decoded(fields)) for at, fields in reversed(found)]

    def timeline(self, run: str, after: str = "", since_ms: int = 0, most: int = 20_000) -> list[Line]:
        """Lines of the timeline of a run, in the order in which they were settled: the last 10,000 are kept.

        Args:
            run: Its id.
            after: The id of the last line that is known; "" for none.
            since_ms: Those that were settled at this moment or later, in milliseconds since 1970 by Redis's clock.
            most: How many at most.
        """
        begin = f"({after}" if after else str(max(0, since_ms))
        found: Any = self._redis.xrange(keys.run(run, "timeline"), begin, count=most)
        return _lines(found)

    def working(self, run: str) -> tuple[int, list[Working]]:
        """The moment by Redis's clock in milliseconds since 1970, and what nodes work on, by the time they began."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(keys.run(run, "claims"))
            now, claims = pipe.execute()
        return _ms(now), _working(claims)

    def news(self, run: str, line: str, event: str) -> News:
        """All that a page about a run needs that goes on, in one round trip.

        Args:
            run: Its id.
            line: The id of the last line of its timeline that is known, or a moment as such an id.
            event: The id of the last event that is known.

        Raises:
            errors.UnknownRun, errors.RunFailed: As ``Runs.status``.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            runs.ask(pipe, run)
            pipe.hgetall(keys.run(run, "claims"))
            pipe.xrange(keys.run(run, "timeline"), f"({line}")
            pipe.xrange(keys.run(run, "events"), f"({event}")
            *answers, claims, lines, events = pipe.execute()
        if b"state" not in answers[0]:
            raise self._runs.unknown(run)
        return News(
            runs.told(run, answers), _ms(answers[1]), _working(claims), _lines(lines),
            [Event.from_ledger(at.decode(), decoded(fields)) for at, fields in events],
        )  # fmt: skip

    def _chosen(self, before: str, which: Which) -> Iterator[str]:
        """Yield the runs for which ``which`` holds, without those that have expired."""
        at = 0
        if before:
            rank: Any = self._redis.zrevrank(keys.RUNS, before)
            if rank is None:
                return
            at = rank + 1
        known = {before}  # a run that is opened meanwhile moves all others by one
        while listed := self._runs.latest_names(at, STEP):
            at += len(listed)
            wanted = [run for name in listed if which.may_hold(self._owners.get(run := name.decode(errors="replace")))]
            for run, row in self._read(wanted):
                if run not in known and which.holds(run, row):
                    known.add(run)
                    yield run

    def _read(self, runs: Sequence[str]) -> Iterator[tuple[str, RunRow]]:
        """Read these runs, without those that have expired, and learn whose they are."""
        if not runs:
            return
        if len(self._owners) > MOST_OWNERS:
            self._owners.clear()
        _, rows = self._runs.rows(runs, "owner", "shown_to", "paused")
        for run, row in rows.items():
            if row is not None:
                self._owners[run] = row.belongs.owner
                yield run, row


def kind_of(reason: str) -> str:
    """A reason without its numbers, which differ from item to item."""
    return NUMBER.sub("…", reason)


def _ms(now: Any) -> int:
    seconds, micros = now
    return int(seconds * 1000 + micros // 1000)


def _working(claims: Any) -> list[Working]:
    held: dict[tuple[int, str], list[str]] = {}
    for unit, row in decoded(claims).items():
        try:
            claim = ClaimRow.parse(row)
        except ValueError:  # what no node of ours wrote
            continue
        held.setdefault((claim.since_ms, claim.node), []).append(unit)
    return [Working(node, since, tuple(sorted(units))) for (since, node), units in sorted(held.items())]


def _lines(found: Any) -> list[Line]:
    return [line for entry, fields in found if (line := _line(entry.decode(), fields))]


def _line(entry: str, fields: dict[bytes, bytes]) -> Line | None:
    """A line of the timeline; None for one that is not ours."""
    try:
        until_ms = names.entered_ms(entry)
        since = fields[b"since_ms"]
        numbers = (int(fields[name]) for name in (b"first", b"last", b"items", b"missing"))
        node = fields[b"node"].decode(errors="replace")
        return Line(entry, node, int(since) if since else until_ms, until_ms, *numbers)
    except (ValueError, KeyError):
        return None
