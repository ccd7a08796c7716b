"""The truth about runs, in Redis. Nothing but this package touches a run's keys.

What must happen at once is one Lua script; each opens with the keys it touches. ``lease`` holds what only a run's
coordinator may do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    import redis

    from cluster.ledger.chunks import Chunks
    from cluster.ledger.listings import Listings
    from cluster.ledger.partials import Partials
    from cluster.ledger.reports import Reports
    from cluster.ledger.rounds import Rounds
    from cluster.ledger.runs import Runs
    from cluster.ledger.steps import Steps


class Ledger(NamedTuple):
    """All that a cluster knows of its runs."""

    runs: Runs
    chunks: Chunks
    partials: Partials
    reports: Reports
    rounds: Rounds
    step: Steps
    listings: Listings

    @classmethod
    def of(cls, client: redis.Redis) -> Self:
        """The ledger in this Redis."""
        from cluster.ledger.chunks import Chunks
        from cluster.ledger.listings import Listings
        from cluster.ledger.partials import Partials
        from cluster.ledger.reports import Reports
        from cluster.ledger.rounds import Rounds
        from cluster.ledger.runs import Runs
        from cluster.ledger.steps import Steps

        step = Steps(client)
        runs = Runs(client, step)
        return cls(
            runs, Chunks(client, step), Partials(client, step), Reports(client, runs), Rounds(client, runs), step,
            Listings(client, runs),
        )  # fmt: skip
