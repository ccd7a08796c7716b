"""Partials: the parts of a batch, or neighbouring partials, aggregated into one.

Those that are left at the end are the run's result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from cluster import errors, keys, redis_rows
from cluster.ledger.records import FAN_IN, MOST_KILLS, MOST_LOSSES, Attempts, PartialInputs, Unusable, Worker
from cluster.ledger.steps import Steps, terms
from cluster.names import Partial

if TYPE_CHECKING:
    import redis


class Partials:
    """The partials of all runs. Every method may be called again; the second call changes nothing."""

    def __init__(self, client: redis.Redis, step: Steps) -> None:
        self._redis = client
        self._step = step

    def inputs(self, run: str, level: int, number: int, worker: Worker, capability: str = "") -> PartialInputs:
        """Start to aggregate: the parts to join, if all of them are there.

        Args:
            run: Its run.
            level: 0 for a batch.
            number: Of the batch, or of the family at its level.
            worker: Who starts it. Another one that has not ended is waited for as long as the run's policy allows.
            capability: As for ``Chunks.claim``.
        """
        answer = self._step(
            "partial_inputs", run, {"parts": keys.parts(run, number if level == 0 else -1)},
            level=level, number=number, fan_in=FAN_IN, capability=capability,
            incarnation=worker.incarnation, node=worker.node,
            max_killed=MOST_KILLS, max_lost=MOST_LOSSES,
        )  # fmt: skip
        state, *rest = answer
        if state == b"exhausted":
            return PartialInputs(state.decode(), attempts=Attempts(*rest[:3]))
        if state != b"ready":
            return PartialInputs(state.decode())
        names = [name.decode() for name in rest[5::3]]  # in the order of the input
        entries, expected = (dict(zip(names, rest[at::3], strict=True)) for at in (6, 7))
        return PartialInputs(state.decode(), *terms(rest), Attempts(failed=rest[4]), entries, expected)

    def commit(
        self, run: str, level: int, number: int, inputs: Collection[str], entry: bytes,
        unusable: Iterable[Unusable] = (),
    ) -> str:  # fmt: skip
        """Hand in a partial; its inputs go. The last batch's partial ends the run.

        Args:
            run: Its run.
            level: 0 for a batch.
            number: Of the batch, or of the family at its level.
            inputs: The names of the parts that were joined, as ``partial_inputs`` gave them. The partial is dropped
                where the ledger is not at that point any more, as its Redis lost its last moments.
            entry: Where it lies, see ``parts``.
            unusable: Chunks of a batch whose parts are not in it; their items are missing.

        Returns:
            "aggregated now"; "family complete" (now, and all its siblings are there: aggregate them);
            or why it was dropped: "aggregated", "unknown", or the state of a run that is over.
        """
        about = [word for one in unusable for word in (one.chunk, one.why, len(one.names), *one.names)]
        answer = self._step(
            "commit_partial", run, {"parts": keys.parts(run, number if level == 0 else -1)},
            level=level, number=number, entry=entry, fan_in=FAN_IN,
            about=len(about), rest=[*about, *inputs],
        )  # fmt: skip
        return str(answer, "ascii")

    def open_batches(self, run: str) -> dict[int, redis_rows.BatchRow]:
        """Batches that are entered, and neither aggregated nor closed with their round."""
        found: Any = self._redis.hgetall(keys.run(run, "batches"))
        rows = {int(batch): redis_rows.BatchRow.parse(row.decode(errors="replace")) for batch, row in found.items()}
        return dict(sorted(rows.items()))

    def settled(self, run: str, batch: int) -> list[int]:
        """The chunks of an open batch that are settled, in their order; none of one that is aggregated."""
        found: Any = self._redis.hkeys(keys.parts(run, batch))
        return sorted(map(int, found))

    def part(self, run: str, batch: int, chunk: int) -> tuple[bytes, bytes] | None:
        """The part of a settled chunk, and what is expected of it; None where its batch is aggregated by now."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.run(run, "expected"), str(chunk))
            pipe.hget(keys.parts(run, batch), str(chunk))
            expected, entry = pipe.execute()
        return None if entry is None else (entry, expected or b"")

    def listed(self, run: str) -> list[Partial]:
        """The partials that are there, in the order of the input.

        Raises:
            errors.RunFailed: Another thing is among them.
        """
        found: Any = self._redis.hkeys(keys.run(run, "partials"))
        return sorted((_parsed(run, name) for name in found), key=_position)

    def entry(self, run: str, level: int, number: int) -> bytes | None:
        """A partial; None where it was joined with its neighbours."""
        found: Any = self._redis.hget(keys.run(run, "partials"), Partial(level, number).field)
        return None if found is None else bytes(found)

    def of_result(self, run: str) -> list[tuple[int, int, bytes]]:
        """The parts that are the result as (level, number, part entry), in the order of the input.

        Raises:
            errors.RunFailed: Another thing is among them.
        """
        found: Any = self._redis.hgetall(keys.run(run, "partials"))
        rows = [(_parsed(run, name), entry) for name, entry in found.items()]
        return [(*partial, entry) for partial, entry in sorted(rows, key=lambda row: _position(row[0]))]


def _parsed(run: str, name: bytes) -> Partial:
    try:
        return Partial.parse_field(name.decode())
    except ValueError:
        raise errors.RunFailed(f"the result of the run {run} is damaged: it has a part {name!r}") from None


def _position(partial: Partial) -> int:
    """The first of its batches."""
    return partial.number * int(FAN_IN**partial.level)
