"""Scripts of the ledger that are about one run, and what their answers have in common."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from cluster import keys
from cluster.ledger.row import RunPolicy
from cluster.scripts import Scripts

if TYPE_CHECKING:
    import redis


class Steps:
    """Runs the ledger's scripts, each by its name."""

    def __init__(self, client: redis.Redis) -> None:
        self._scripts = Scripts(client, "cluster.ledger")

    def __call__(self, name: str, run: str, others: Mapping[str, str] | None = None, **arguments: Any) -> Any:
        """The answer of a script that is about one run.

        Args:
            name: Of the script.
            run: Its keys are found by the names that the script has for them.
            others: Its other keys, by name.
            arguments: By the names that the script has for them.
        """
        found = dict(others or {})
        for key in self._scripts.takes(name).keys:
            if key not in found:
                found[key] = keys.run(run, "" if key == "run" else key)
        return self._scripts(name, found, **arguments)


def terms(answer: Sequence[Any]) -> tuple[str, str, dict[str, Any], RunPolicy]:
    """Job, version, options and policy, with which the answers of ``claim.lua`` and ``partial_inputs.lua`` begin."""
    job, version, options, policy = answer[:4]
    return (job or b"").decode(), (version or b"").decode(), orjson.loads(options or b"{}"), _policy(policy)


def decoded(row: Mapping[bytes, bytes]) -> dict[str, str]:
    """A hash of Redis as text; odd bytes are replaced."""
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in row.items()}


def awaited(client: redis.Redis, stream: str, after: str, most_s: float) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The lines of a stream after the one with this id ("": from the start); waits for one, for at most ``most_s``."""
    # With a block of 0 Redis would wait without limit; and with 1 ms, up to 100 ms, as often as it looks at its clock.
    block_ms = math.ceil(most_s * 1000) if most_s > 0 else None
    found: Any = client.xread({stream: after or "0"}, count=1000, block=block_ms)
    if not found:
        return []
    lines: Any = found[0][1] if isinstance(found, list) else next(iter(found.values()))[-1]
    return list(lines)


@functools.lru_cache(maxsize=64)  # the chunks of a run have the same one
def _policy(given: bytes) -> RunPolicy:
    return RunPolicy.read(orjson.loads(given))
