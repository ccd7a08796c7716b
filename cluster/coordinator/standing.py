"""Where a run in rounds stands, and the blobs of its state and its views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from aggregators import Step
from cluster import blobs, errors, keys
from cluster.blobs import Ref
from cluster.job import Job
from cluster.rounds import Bound
from cluster.stores import Stores
from cluster.wire import Ring, View

PIECE_BYTES = 8 * 2**20
"""A state is kept in pieces of this size."""


class Join(NamedTuple):
    """A chunk that joins parts which lie in the store of a site."""

    edge: str
    """Of the store, see ``names.edge``."""
    shards: tuple[int, ...]
    """Whose parts."""


class Shape(NamedTuple):
    """How the parts of a round travel."""

    name: str = ""
    """"star", "tree" or "ring"; "" where nobody asked, which is a star."""
    why: str = ""
    edges: tuple[str, ...] = ()
    """The stores of the sites where parts are joined, see ``names.edge``."""
    sites: tuple[str, ...] = ()
    """The sites where it holds; the others go by a star."""
    rings: tuple[Ring, ...] = ()
    """Shards that nodes of a site do together."""
    join_s: float = 0.0
    """Predicted seconds of the slowest join."""

    def ring_of(self, shard: int) -> Ring | None:
        """The shards with which this one is done together."""
        return next((ring for ring in self.rings if shard in ring.shards), None)

    @classmethod
    def unpack(cls, row: Sequence[Any]) -> Self:
        """Back from the ledger."""
        name, why, edges, sites, rings, join_s = row
        found = tuple(Ring(site, list(shards)) for site, shards in rings)
        return cls(name, why, tuple(edges), tuple(sites), found, join_s)


STAR = Shape()


class Open(NamedTuple):
    """A batch whose parts are waited for."""

    batch: int
    first: int
    """Its first chunk."""
    shards: tuple[int, ...]
    version: int
    """Of the view that its shards work on."""
    view_bytes: int
    """Bytes of the views that each of its shards reads, having read those of its turn before."""
    opened_ms: int
    """When it was entered, by Redis's clock, in ms since 1970."""
    shape: Shape = STAR
    joins: tuple[Join, ...] = ()
    """Its second half, once that is entered."""
    joined_ms: int = 0
    """When that was entered."""

    @property
    def chunks(self) -> range:
        """The chunks of its shards, in their order."""
        return range(self.first, self.first + len(self.shards))

    @property
    def join_chunks(self) -> range:
        """The chunks of ``joins``, in their order."""
        return range(self.chunks.stop, self.chunks.stop + len(self.joins))

    @property
    def all_chunks(self) -> range:
        """Those of both halves."""
        return range(self.first, self.join_chunks.stop)

    def packed(self) -> list[Any]:
        """As kept in the ledger."""
        joins = [list(join) for join in self.joins]
        return [*self[:6], list(self.shape), joins, self.joined_ms]

    @classmethod
    def unpack(cls, row: Sequence[Any]) -> Self:
        """Back from the ledger."""
        batch, first, shards, version, view_bytes, opened_ms, *rest = row
        shape, joins, joined_ms = rest or (STAR, (), 0)  # an older version wrote no more
        found = tuple(Join(edge, tuple(members)) for edge, members in joins)
        return cls(
            batch, first, tuple(shards), version, view_bytes, opened_ms, Shape.unpack(shape), found, joined_ms,
        )  # fmt: skip


class Standing(NamedTuple):
    """All that a driver must know of a run, besides the state itself. It stands in the run's row."""

    round: int
    """The one that is closed next."""
    shards: int
    kind: str
    """See ``Step``, as are the next three."""
    seconds: float | None
    quorum: float
    apart: bool
    views: tuple[View, ...] = ()
    """From the last whole one on."""
    state: tuple[Ref, ...] = ()
    """Where the pieces of the state lie, in the scope of ``state_of``."""
    state_of: int = 0
    """The first round that begins from this state."""
    open: tuple[Open, ...] = ()
    chunks: int = 0
    """How many are entered in all."""
    batches: int = 0
    """How many are entered in all."""

    @property
    def version(self) -> int:
        """The newest view's."""
        return self.views[-1].version

    @property
    def is_draining(self) -> bool:
        """Whether batches that shards did apart are given up, before all shards begin a round together."""
        return bool(self.open) and not self.apart and len(self.open[0].shards) < self.shards

    @classmethod
    def begun(cls, step: Step, shards: int) -> Self:
        """Before the first round, without a batch; ``write`` and ``open_first`` follow."""
        return cls(-1, shards, step.kind, step.seconds, step.quorum, step.apart)

    def open_first(self, now_ms: int) -> Standing:
        """With the batches of the first round."""
        begun = self._replace(round=0)
        if not self.apart:
            return begun.enter(range(self.shards), -1, now_ms)
        for shard in range(self.shards):
            begun = begun.enter([shard], -1, now_ms)
        return begun

    def enter(self, shards: Sequence[int], seen: int, now_ms: int, shape: Shape = STAR) -> Standing:
        """With one more batch, for these shards, which have seen the view of version ``seen``; -1: none."""
        missing = [view.size_bytes for view in self.views if view.version > seen]
        batch = Open(self.batches, self.chunks, tuple(shards), self.version, sum(missing), now_ms, shape)
        return self._replace(open=(*self.open, batch), chunks=self.chunks + len(shards), batches=self.batches + 1)

    def enter_joins(self, batch: Open, joins: Sequence[Join], now_ms: int) -> Standing:
        """With the second half of a batch, which is the only one that is open."""
        halved = batch._replace(joins=tuple(joins), joined_ms=now_ms)
        return self._replace(open=(halved,), chunks=self.chunks + len(joins))

    def after(self, step: Step, closed: Open, now_ms: int, shape: Shape = STAR) -> Standing:
        """With the batch ``closed``, and the next one entered; its state and views are the caller's to set before."""
        left = tuple(batch for batch in self.open if batch != closed)
        known = self._replace(
            round=self.round + 1, kind=step.kind, seconds=step.seconds, quorum=step.quorum, apart=step.apart, open=left
        )
        if not step.kind:
            return known._replace(open=())
        if step.apart:
            return known.enter(closed.shards, closed.version, now_ms)
        return known if left else known.enter(range(self.shards), closed.version, now_ms, shape)

    def packed(self) -> dict[str, Any]:
        """As kept in the ledger, beside the views."""
        known = {name: value for name, value in self._asdict().items() if name != "views"}
        return {**known, "state": list(map(list, self.state)), "open": [batch.packed() for batch in self.open]}

    @classmethod
    def unpack(cls, row: Mapping[str, Any], views: Sequence[View]) -> Self:
        """Back from the ledger.

        Raises:
            errors.RunFailed: ``packed`` did not give it.
        """
        try:
            read = cls(**row, views=tuple(views))
            return read._replace(
                state=tuple(Ref(*ref) for ref in read.state),
                open=tuple(map(Open.unpack, read.open)),
            )
        except (TypeError, ValueError) as error:
            raise errors.RunFailed(f"where the run stands cannot be read: {error}") from error


def bound(run: str, job: Job, stores: Stores) -> Bound:
    """The functions of the run's job, with its options and the first chunk of its input.

    Raises:
        errors.RunFailed: The run is gone.
        errors.BlobError: The chunk's bytes are gone or wrong.
    """
    row = stores.ledger.runs.row(run, "options")
    if row is None:
        raise errors.RunFailed(f"the run {run} is gone")
    entry = stores.ledger.rounds.shard(run, 0)
    [data] = entry.data or [blobs.get_one(stores.blobs, keys.data_scope(run, 0), Ref(*entry.refs[0]))]
    return Bound(job, row.options, data)


def write(run: str, standing: Standing, step: Step, bound: Bound, stores: Stores, keep_s: int) -> Standing:
    """Put the state of a step and its view into the blob store, for ``keep_s``; where they lie stands in the answer.

    ``standing`` is that before the step. Done twice, the second call puts the same bytes in the same place.
    """
    data, version = bound.rounds.dump(step.state), standing.round + 1
    pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)] or [b""]
    state = tuple(stores.blobs.put(keys.state_scope(run, version), pieces, keep_s))
    views = standing.views
    if step.view is not None:
        [ref] = stores.blobs.put(keys.view_scope(run, version), [step.view], keep_s)
        view = View(version, step.whole, ref.sha256, ref.size_bytes)
        views = (view,) if step.whole else (*views, view)
    return standing._replace(state=state, state_of=version, views=views)


def read_state(run: str, standing: Standing, bound: Bound, stores: Stores) -> Any:
    """The state of the last step.

    Raises:
        errors.BlobError: Bytes are gone or wrong.
    """
    found = blobs.get(stores.blobs, keys.state_scope(run, standing.state_of), standing.state)
    pieces = []
    for piece in found:
        if isinstance(piece, errors.BlobError):
            raise piece
        pieces.append(piece)
    return bound.rounds.load(b"".join(pieces))


def result(run: str, job: Job, stores: Stores, options: Mapping[str, Any] | None = None) -> Any:
    """The result of a finished run; ``options`` take the place of the run's.

    Raises:
        errors.RunFailed, errors.BlobError: Its state is gone.
        ValueError: It makes none.
    """
    found = stores.ledger.rounds.of(run)
    if found is None:
        raise errors.RunFailed(f"the run {run} has ended before its first round")
    standing, known = Standing.unpack(found.state, found.views), bound(run, job, stores)
    known = known if options is None else known._replace(options=options)
    rows = [row for _, row in stores.ledger.rounds.curve(run)]
    return known.result(read_state(run, standing, known, stores), rows)
