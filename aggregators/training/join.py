"""Join the parts of shards of one site into one, so that few bytes leave the site: a tree instead of a star.

The joined part is a part as any other. Besides, ``members`` names the shards that are in it, and ``refused`` each one
whose part was not used -> why.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aggregators import Closed, codec, layer_groups, nets
from aggregators.codec import Floats
from aggregators.training import parts as parts_of_shards
from aggregators.training import scores
from aggregators.training.parts import Plan
from aggregators.training.state import Known

Part = Mapping[str, Any]


def join(
    parts: Mapping[int, Part], about: bytes, *, net: str = "mlp:128,128", mode: str = "local", steps: int = 0,
    bits: int = 4, joint: str = "auto", norm_check: bool = True, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Return one part for those of several shards that were made from the same view.

    Its change is the mean of theirs, weighted by how many samples each saw, encoded as theirs are. Rounding is at
    random, by the seed, the view and the shards. So the same parts give the same bytes, in whatever order they come.

    Args:
        parts: Shard -> its part, at least one, in any order. One that is alone stays as it is if it can be used.
        about: The card, see ``splitters.tables``.
        net: And all others: see ``cluster submit --job train --help``.
    """
    plan = _plan(net, about, bits, joint, 1 if mode == "sync" else steps, norm_check)
    base, kind = _common(parts)
    formed, refused = _formed(parts)
    closed = Closed(0, plan.card["shards"], kind, base, None, {shard: formed[shard] for shard in sorted(formed)})
    known, bad = parts_of_shards.judge(closed, plan, ())
    refused |= bad
    used = {shard: formed[shard] for shard in sorted(known)}
    if len(used) == 1 and not refused:
        [alone] = used.values()
        return dict(alone)
    joined = {
        "base": base, "kind": kind, "steps": sum(part["steps"] for part in used.values()), "samples": 0, "loss": 0.0,
        "groups": [], "valid": scores.add(part["valid"] for part in used.values()),
        "device": ", ".join(sorted({part["device"] for part in used.values()})),
        "fresh": any(part["fresh"] for part in used.values()), "members": list(used), "refused": refused,
    }  # fmt: skip
    return joined | _mean(used, known, plan, seed, base)


def _mean(
    used: Mapping[int, Part], known: Mapping[int, Known], plan: Plan, seed: int, base: str
) -> dict[str, Any]:  # fmt: skip
    """The samples, the loss and the change of those that trained."""
    learnt = {shard: used[shard] for shard in used if known[shard].steps}
    samples = sum(part["samples"] for part in learnt.values())
    if not samples:
        return {}
    change: Floats = np.zeros(max(stop for group in plan.groups for _, stop in group.spans), np.float32)
    for part in learnt.values():
        codec.decode_into(change, part["groups"], plan.groups_of(part["groups"]), part["samples"] / samples)
    groups = max((plan.groups_of(part["groups"]) for part in learnt.values()), key=lambda each: each == plan.groups)
    encoded = codec.encode(change, groups, _random(seed, base, list(used)))
    loss = sum(part["loss"] * part["samples"] for part in learnt.values()) / samples
    return {"samples": samples, "loss": loss, "groups": encoded}


def _common(parts: Mapping[int, Part]) -> tuple[str, str]:
    """The base and the kind that most parts have; of several the one of the first shard."""
    told = [
        (part["base"], part["kind"])
        for _, part in sorted(parts.items())
        if isinstance(part, dict) and isinstance(part.get("base"), str) and part.get("kind") in parts_of_shards.KINDS
    ]
    return Counter(told).most_common(1)[0][0] if told else ("", parts_of_shards.KINDS[0])


def _formed(parts: Mapping[int, Part]) -> tuple[dict[int, Part], dict[int, str]]:
    """Those that have the form of a part, and of each other one why it has not."""
    good, bad = {}, {}
    for shard, part in parts.items():
        try:
            parts_of_shards.check(part)
            good[shard] = part
        except ValueError as problem:
            bad[shard] = str(problem)
    return good, bad


def _random(seed: int, base: str, shards: Sequence[int]) -> np.random.Generator:
    place = ":".join(map(str, (seed, "join", base, *shards)))
    return np.random.default_rng(list(hashlib.sha256(place.encode()).digest()))


@functools.lru_cache(maxsize=4)
def _plan(net: str, about: bytes, bits: int, joint: str, steps: int, norm_check: bool) -> Plan:
    card = json.loads(about)
    groups = layer_groups.chosen(joint, nets.for_data(nets.parse(net), card).parameters, bits)
    return Plan(card, groups, layer_groups.exact(groups), steps, norm_check)
