"""Jobs that go in rounds: one that counts which parts reach its state."""

from __future__ import annotations

import copy
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aggregators import Closed, Step
from cluster.job import Job, Rounds
from cluster.option import Option
from splitters import Chunk, Item
from tasks import Turn

DIE_IN_STEP = "CLUSTER_TEST_DIE_IN_STEP"
"""The round in which the coordinator kills itself, once it has read the parts and before the ledger advances."""
State = list[list[int]]
"""For each round so far, how often each shard counts."""


def deal(source: Sequence[Path], *, chunk_size: int = 1, shards: int = 4) -> Iterator[Chunk]:
    """So many shards, whatever the source; each holds its number."""
    yield [Item("about", json.dumps({"shards": shards}).encode())]
    for shard in range(shards):
        yield [Item("number", str(shard).encode())]


def count(turn: Turn, *, seconds: float = 0.0) -> dict[str, Any]:
    """Tell which round and shard this is, by what the shard holds and by the views that came so far."""
    if "shard" not in turn.kept:
        [item] = turn.read()
        turn.kept["shard"] = int(item.data)
    began = time.monotonic()
    time.sleep(seconds)
    turn.times["compute"] = time.monotonic() - began
    return {"base": turn.base, "round": turn.view, "shard": turn.kept["shard"]}


def begin(about: bytes, base: Path | None, *, shards: int = 4, quorum: float = 1.0) -> Step:
    """No round yet."""
    if json.loads(about) != {"shards": shards}:
        raise ValueError(f"the card is another one: {about!r}")
    return Step(state=[], view=b"0", whole=True, kind="count", quorum=quorum)


def see(view: int | None, data: bytes, whole: bool) -> int:
    """A view is the number of its round; each delta adds one."""
    return int(data) if whole or view is None else view + int(data)


def add(state: State, closed: Closed, about: bytes, *, rounds: int = 3, quorum: float = 1.0) -> Step:
    """Add one at (round, shard) for each part, where the part says so itself."""
    if os.environ.get(DIE_IN_STEP) == str(closed.round):
        os.kill(os.getpid(), signal.SIGKILL)
    counts = copy.deepcopy(state)
    counts += [[0] * closed.shards for _ in range(closed.round + 1 - len(counts))]
    for shard, part in closed.parts.items():
        if (part["base"], part["shard"]) != (closed.base, shard):
            raise ValueError(f"shard {shard} of round {closed.round} got {part}, made from another view or shard")
        counts[part["round"]][shard] += 1
    return Step(
        state=counts,
        view=b"1",
        row={"counted": len(closed.parts)},
        kind="count" if closed.round + 1 < rounds else "",
        quorum=quorum,
    )


def tell(state: State, rows: Sequence[Mapping[str, Any]], about: bytes) -> dict[str, Any]:
    """All counts, and the rows of the curve."""
    return {"counts": state, "rows": [dict(row) for row in rows]}


def dump(state: State) -> bytes:
    """As JSON."""
    return json.dumps(state).encode()


def load(data: bytes) -> State:
    """What ``dump`` gave."""
    state: State = json.loads(data)
    return state


def check(value: Any, names: object) -> None:
    """See that a part has its three fields."""
    if not isinstance(value, dict) or value.keys() != {"base", "round", "shard"}:
        raise ValueError("the part is none of this job")


COUNT_ROUNDS = Job(
    name="count-rounds",
    about="add one at each round and shard",
    split=deal,
    task=count,
    aggregate=add,
    finish=tell,
    rounds=Rounds(begin, see, dump, load),
    check=check,
    options=(
        Option("rounds", int, 3, "how many rounds", minimum=1),
        Option("shards", int, 4, "how many shards", minimum=1),
        Option("seconds", float, 0.0, "seconds a part"),
        Option("quorum", float, 1.0, "share of the shards that closes a round", minimum=0.01, maximum=1),
    ),
)
