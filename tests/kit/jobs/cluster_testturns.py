"""A job in rounds that counts each (round, shard), so that a test sees what was counted twice, or not at all."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aggregators import Closed, NoResult, Step
from cluster.job import Job, Rounds
from cluster.option import Option
from splitters import Chunk, Item
from tasks import Turn

DIE_IN_STEP = "CLUSTER_TEST_DIE_IN_STEP"
"""The round in which the coordinator kills itself, once it has read the parts and before the ledger advances."""


def deal(source: Sequence[Path], *, chunk_size: int = 1, shards: int = 4) -> Iterator[Chunk]:
    """The number of shards, then as many shards, each with its number."""
    yield [Item("about", str(shards).encode())]
    for shard in range(shards):
        yield [Item(f"shard {shard}", str(shard).encode() * 100_000)]


def begin(about: bytes, base: Path | None, *, rounds: int = 10, quorum: float = 1.0, apart: bool = False) -> Step:
    """Nothing is counted yet."""
    return Step({}, b"begun", whole=True, kind="count", quorum=quorum, apart=apart, rounds=rounds)


def see(view: list[str] | None, data: bytes, whole: bool) -> list[str]:
    """All views since the last whole one."""
    return [data.decode()] if whole else [*(view or []), data.decode()]


def count(
    turn: Turn, *, seconds: float = 0.0, slow_shard: int = -1, slow_s: float = 0.0, fail: str = "", trace: str = "",
    broken: str = "", ballast: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Say which round and shard this is, and which views were seen."""
    if "shard" not in turn.kept:
        [item] = turn.read()
        turn.kept["shard"] = item.data.decode()
    assert set(turn.kept["shard"]) == set(str(turn.shard))
    if fail == f"{turn.round}:{turn.shard}" and not Path(trace).exists():
        Path(trace).touch()
        raise RuntimeError("asked to fail once")
    if f"{turn.round}:{turn.shard}" in broken.split():
        raise RuntimeError("asked to fail each time")
    began = time.monotonic()
    time.sleep(slow_s if turn.shard == slow_shard else seconds)
    if turn.seat is not None:
        turn.seat.report(len(turn.seat.shards), turn.seat.ask())
    turn.times["compute"] = time.monotonic() - began
    turn.kept["turns"] = turn.kept.get("turns", 0) + 1
    told = {"base": turn.base, "at": f"{turn.round}:{turn.shard}", "view": turn.view, "turns": turn.kept["turns"]}
    return {**told, "ballast": random.Random(turn.shard).randbytes(ballast)} if ballast else told


def join(parts: Mapping[int, Any], about: bytes, *, spoilt: int = -1) -> dict[str, Any]:
    """All parts of a site, without their ballast."""
    if spoilt in parts:
        raise ValueError("asked to join nothing")
    members = {shard: {name: part[name] for name in part if name != "ballast"} for shard, part in parts.items()}
    return {**members[min(members)], "members": members}


def check(value: Any, names: Any) -> None:
    """A part names its round and shard."""
    if not isinstance(value["at"], str) or not isinstance(value["view"], list):
        raise ValueError("it names no round and shard")


def add(
    state: dict[str, int], closed: Closed, about: bytes, *,
    rounds: int = 10, quorum: float = 1.0, apart: bool = False, pause: float = 0.0, need: int = 0, checkpoint: int = 0,
    apart_rounds: int = 0,
) -> Step:  # fmt: skip
    """Count each part once more, where its view is the one that it was to be made from."""
    if os.environ.get(DIE_IN_STEP) == str(closed.round):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(pause)
    newest = f"after {int(closed.base) - 1}" if closed.base != "0" else "begun"
    counted, rejected = dict(state), {}
    for shard, part in closed.parts.items():
        for each, one in part.get("members", {shard: part}).items():
            if one["base"] != closed.base or one["view"][-1] != newest or len(one["view"]) > 4:
                rejected[each] = "it has another base"
            else:
                counted[one["at"]] = counted.get(one["at"], 0) + 1
    if len(closed.parts) < need:
        raise NoResult(f"{len(closed.parts)} parts are there, and {need} are needed: {dict(closed.given_up)}")
    number = closed.round + 1
    over = number >= rounds * (closed.shards if apart else 1)
    turns = max((part["turns"] for part in closed.parts.values()), default=0)
    row = {"counted": len(closed.parts), "staleness": closed.staleness, "turns": turns, "closed_at": closed.at_s}
    missing = {f"shard {shard} on {closed.nodes[shard]}": why for shard, why in closed.given_up.items()}
    whole = number % 4 == 0
    goes_apart = apart and not 0 < apart_rounds <= number
    keep = checkpoint > 0 and number % checkpoint == 0
    return Step(
        counted, f"after {closed.round}".encode(), whole, row, "" if over else "count", quorum=quorum,
        apart=goes_apart, keep=keep, rejected=rejected, missing=missing,
    )  # fmt: skip


def dump(state: dict[str, int]) -> bytes:
    """As JSON."""
    return json.dumps(state, sort_keys=True).encode()


def load(data: bytes) -> dict[str, int]:
    """Back from JSON."""
    found: dict[str, int] = json.loads(data)
    return found


def finish(state: dict[str, int], rows: list[dict[str, Any]], about: bytes) -> dict[str, Any]:
    """What was counted, also as ``counts`` (a list of shards for each row of the curve), and the curve."""
    counts = [[state.get(f"{row['round']}:{shard}", 0) for shard in range(int(about))] for row in rows]
    return {"counted": state, "counts": counts, "rows": rows, "shards": int(about)}


COUNT_TURNS = Job(
    name="count-turns",
    about="for tests: counts rounds and shards",
    split=deal,
    task=count,
    aggregate=add,
    finish=finish,
    check=check,
    rounds=Rounds(begin=begin, see=see, dump=dump, load=load, join=join, rings=True),
    idempotent=False,
    options=(
        Option("shards", int, 4, "how many"),
        Option("rounds", int, 10, "how many"),
        Option("quorum", float, 1.0, "share of the shards that closes a round"),
        Option("apart", bool, False, "each shard goes on by itself"),
        Option("apart_rounds", int, 0, "after so many they go on together; 0: never"),
        Option("seconds", float, 0.0, "that a turn takes"),
        Option("pause", float, 0.0, "seconds that a step takes"),
        Option("checkpoint", int, 0, "rounds from one checkpoint to the next"),
        Option("slow_shard", int, -1, "that takes longer"),
        Option("slow_s", float, 0.0, "seconds that it takes"),
        Option("fail", str, "", "round:shard that raises once"),
        Option("trace", str, "", "a file that is made then"),
        Option("broken", str, "", "round:shard that raises each time"),
        Option("topology", str, "star", "of its rounds"),
        Option("ballast", int, 0, "bytes of a part besides"),
        Option("spoilt", int, -1, "shard whose part cannot be joined"),
        Option("need", int, 0, "parts that a round needs, or the run fails"),
    ),
)
