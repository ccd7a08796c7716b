"""Read what the version before left in the same Redis: nodes that still run, runs, and models.

The old keys have another prefix, so no other module meets them. This module lists what they hold, and what must end
before the old models are taken over (``RedisBundles.take_over``). It writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import errors, keys, names, redis_rows

if TYPE_CHECKING:
    import redis

GONE_S = 12.0
"""A node unheard of for this long, by Redis's clock, is gone."""


NODE = (
    f"an older version ({keys.OLDER_VERSION}) that takes none of these runs; update `cluster` there and start its"
    " worker again"
)
RUN = (
    f"begun with version {keys.OLDER_VERSION} of `cluster`: to follow, resume or cancel it, or to read its result, use"
    " that version"
)


def nodes(client: redis.Redis) -> dict[str, str]:
    """The nodes of the version before that are there, by name -> what is to be done about them, for people."""
    return dict.fromkeys(_nodes(*_answers(client, ("TIME",), ("HGETALL", keys.OLDER_NODES))), NODE)


def running(client: redis.Redis) -> dict[str, str]:
    """The runs of the version before that have not ended, the latest first -> what they need, for people."""
    return dict.fromkeys((run for run, _ in _running(client)), RUN)


def unknown_run(client: redis.Redis, run: str) -> errors.UnknownRun:
    """The error about a run that is not in the ledger; it says so where the version before has it."""
    if names.is_run(run) and client.exists(keys.older_run(run)):
        return errors.UnknownRun(f"the run {run} was {RUN}")
    return errors.UnknownRun.of(run)


def at_work(client: redis.Redis) -> list[str]:
    """List the nodes of the version before, and its runs that have a coordinator: other runs may be abandoned."""
    now_s = _seconds(client.time())
    return [*nodes(client), *(run for run, lease_until_s in _running(client) if lease_until_s > now_s)]


def _nodes(time: Any, rows: Any) -> list[str]:
    found = []
    for name, raw in rows.items() if isinstance(rows, dict) else ():
        try:
            row = redis_rows.NodeRow.parse(raw.decode(errors="replace"))
        except ValueError:  # anything may have been written there
            continue
        if row.phase != "left" and _seconds(time) - row.seen_s < GONE_S:
            found.append(name.decode(errors="replace"))
    return sorted(found)


def _running(client: redis.Redis) -> list[tuple[str, float]]:
    """The runs, and until when they have a coordinator: in seconds since 1970, by Redis's clock."""
    [rows] = _answers(client, ("ZREVRANGE", keys.OLDER_RUNS, 0, -1))
    runs = [run for raw in rows if names.is_run(run := raw.decode(errors="replace"))] if isinstance(rows, list) else []
    states = _answers(client, *(("HMGET", keys.older_run(run), "state", "lease_until_ms") for run in runs))
    found = []
    for run, row in zip(runs, states, strict=True):
        if isinstance(row, list) and row[0] == b"running":
            until_ms = int(row[1]) if row[1] and row[1].isdigit() else 0
            found.append((run, until_ms / 1000))
    return found


def _answers(client: redis.Redis, *commands: tuple[Any, ...]) -> list[Any]:
    """The answer to each, which is an exception where the key is of another kind; in one round trip."""
    with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        return list(pipe.execute(raise_on_error=False))


def _seconds(time: Any) -> float:
    return float(time[0] + time[1] / 1e6)
