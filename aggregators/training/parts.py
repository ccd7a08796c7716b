"""The part of a shard in a round: its form, and whether it is used."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from aggregators import Closed, codec
from aggregators.layer_groups import Group
from aggregators.training.state import Card, Known

KINDS = ("train", "valid", "test")
"""What a round is for: to train after the view is evaluated on validation rows; to evaluate it there alone; to evaluate
it on the test rows."""
MOST_STEPS = 10**9
MOST_NORM = 10.0
"""Times the median: a part with a larger norm is not used."""
MOST_PACE = 1000
"""Times the median: a part with more steps is not used, as its weight would leave nothing of the others."""
REMEMBERED = 20
"""Parts of earlier rounds that the medians are of, too."""
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "base": str, "kind": str, "steps": int, "samples": int, "loss": (float, int), "groups": list, "valid": dict,
    "device": str, "fresh": bool,
}  # fmt: skip
JOINED: Mapping[str, type | tuple[type, ...]] = {"members": list, "refused": dict}
"""What a part of several shards has besides, see ``join`` and ``tasks.train.ring``."""
SUMS: Mapping[str, type | tuple[type, ...]] = {
    "rows": int, "loss_sum": (float, int), "correct": int, "confusion": list, "squared": (float, int),
    "sum": (float, int), "sum2": (float, int),
}  # fmt: skip


class Plan(NamedTuple):
    """What parts of a run must be like."""

    card: Card
    groups: tuple[Group, ...]
    """As the plan has them; a part may be exact instead."""
    exact: tuple[Group, ...]
    steps: int
    """That each shard makes; 0: as many as it can."""
    is_judged: bool
    """Whether norms and steps are compared."""

    def groups_of(self, encoded: Sequence[bytes]) -> tuple[Group, ...]:
        """Those by which a part is encoded."""
        return self.exact if [len(data) for data in encoded] == codec.sizes_bytes(self.exact) else self.groups


def check(part: Any, names: Collection[str] | None = None) -> None:
    """See that a value has the form of a part, whatever the net and the data.

    Raises:
        ValueError: It has not.
    """
    _check_fields(part, {**FIELDS, **JOINED}, "the part")
    if missing := FIELDS.keys() - part.keys():
        raise ValueError(f"the part has no {min(missing)}")
    if part["kind"] not in KINDS:
        raise ValueError(f"the part is of the kind {part['kind']!r}; it must be one of {', '.join(KINDS)}")
    if not (0 <= part["steps"] <= MOST_STEPS and 0 <= part["samples"] <= MOST_STEPS * 2**20):
        raise ValueError(f"the part is of {part['steps']:,} steps and {part['samples']:,} samples")
    if not all(isinstance(data, bytes) for data in part["groups"]):
        raise ValueError("the groups of the part are not all bytes")
    _check_members(part)
    sums = part["valid"]
    _check_fields(sums, SUMS, "the part's evaluation")
    rows = sums.get("rows", 0)
    wanted = {"loss_sum", "correct"} if "correct" in sums else {"loss_sum", "squared", "sum", "sum2"}
    if rows and (missing := wanted - sums.keys()):
        raise ValueError(f"the part's evaluation has no {min(missing)}")
    if not 0 <= sums.get("correct", 0) <= rows:
        raise ValueError(f"the part has {sums['correct']} rows right of {rows}")


def each_shard(parts: Mapping[int, Any], bad: Mapping[int, str]) -> dict[int, str]:
    """Shard -> why its part is not used: the ``bad``, with all that is joined in them, and those that joins refused."""
    found: dict[int, str] = {}
    for shard, part in parts.items():
        if shard in bad:
            found |= dict.fromkeys(part.get("members") or [shard], bad[shard])
        found |= part.get("refused", {})
    return found


def members(part: Mapping[str, Any]) -> int:
    """How many shards a part stands for."""
    return len(part["members"]) if "members" in part else 1


def judge(closed: Closed, plan: Plan, known: Sequence[Known]) -> tuple[dict[int, Known], dict[int, str]]:
    """Tell which parts can be used.

    Returns:
        Shard -> what is known of its part; shard -> why it is not used.
    """
    good: dict[int, Known] = {}
    bad: dict[int, str] = {}
    for shard, part in closed.parts.items():
        try:
            good[shard] = _known(part, closed, plan)
        except ValueError as problem:
            bad[shard] = str(problem)
    for shard, why in _counted_twice(closed.parts, good).items():
        bad[shard] = why
        del good[shard]
    if plan.is_judged:
        for shard, why in _outliers(good, known).items():
            bad[shard] = why
            del good[shard]
    return good, bad


def _known(part: Mapping[str, Any], closed: Closed, plan: Plan) -> Known:
    if part["base"] != closed.base or part["kind"] != closed.kind:
        made, wanted = (
            f"{kind} of the view {base}" for kind, base in ((part["kind"], part["base"]), (closed.kind, closed.base))
        )
        raise ValueError(f"it is made for {made}, and the round is {wanted}")
    _check_evaluation(part["valid"], closed.kind, plan.card)
    if closed.kind != "train":
        return Known(0.0, 0)
    if not math.isfinite(part["loss"]):
        raise ValueError("its training diverged: the loss is not finite; try a lower --lr")
    if not part["samples"]:
        return Known(0.0, 0)
    _check_steps(part, plan)
    return Known(codec.norm(part["groups"], plan.groups_of(part["groups"])), part["steps"])


def _check_steps(part: Mapping[str, Any], plan: Plan) -> None:
    """See that a part, or each that was joined to it, has as many steps as the run; one without rows makes none."""
    most = plan.steps * members(part)
    if plan.steps and (part["steps"] > most or part["steps"] % plan.steps or not part["steps"]):
        raise ValueError(f"it made {part['steps']:,} steps; the run has {plan.steps:,} a round")


def _counted_twice(parts: Mapping[int, Mapping[str, Any]], good: Mapping[int, Known]) -> dict[int, str]:
    """Parts whose steps are in another part, too: a process did not notice that its ring had made the last one."""
    return {
        member: f"its steps are in the part of shard {shard}"
        for shard in sorted(good)
        for member in parts[shard].get("members", ())
        if member != shard and member in good and good[member].steps
    }


def _outliers(good: Mapping[int, Known], known: Sequence[Known]) -> dict[int, str]:
    """Parts whose norm or steps are far above the median of these and of the last ones.

    More steps go farther, at most in proportion, so a fast machine may have a norm that is as much larger.
    """
    trained = [each for each in (*good.values(), *known[-REMEMBERED:]) if each.steps]
    if not trained:
        return {}
    norm = statistics.median_low(each.norm for each in trained)
    steps = statistics.median_low(each.steps for each in trained)
    found = {}
    for shard, each in good.items():
        if each.steps > MOST_PACE * steps:
            found[shard] = f"it made {each.steps:,} steps, over {MOST_PACE:,} times the median of {steps:,}"
        elif norm and each.norm > MOST_NORM * norm * max(1.0, each.steps / steps):
            found[shard] = f"its norm is {each.norm:.3g}, over {MOST_NORM:g} times the median of {norm:.3g}"
    return found


def _check_members(part: Mapping[str, Any]) -> None:
    shards = [*part.get("members", []), *part.get("refused", {})]
    if not all(type(shard) is int and shard >= 0 for shard in shards) or len(set(shards)) < len(shards):
        raise ValueError("the members of the part are no shards")
    if not all(isinstance(why, str) for why in part.get("refused", {}).values()):
        raise ValueError("the part does not say why it refused others")


def _check_fields(given: Any, fields: Mapping[str, type | tuple[type, ...]], what: str) -> None:
    if not isinstance(given, dict):
        raise ValueError(f"{what} is a {type(given).__name__} and no table")
    for name, value in given.items():
        if name not in fields:
            raise ValueError(f"{what} has {str(name)[:50]!r}, which is none of its fields")
        if not isinstance(value, fields[name]) or (isinstance(value, bool) and fields[name] is not bool):
            raise ValueError(f"{name} of {what} is a {type(value).__name__}")


def _check_evaluation(sums: Mapping[str, Any], kind: str, card: Card) -> None:
    held, rows = card["rows"]["test" if kind == "test" else "valid"], sums.get("rows", 0)
    if not 0 <= rows <= held:
        raise ValueError(f"it is evaluated on {rows:,} rows; all shards have {held:,}")
    if rows and ("correct" in sums) != bool(card["classes"]):
        raise ValueError("it is evaluated as classes where the target is a number, or the other way round")
    if kind == "test" and rows and card["classes"]:
        classes, matrix = len(card["classes"]), sums.get("confusion")
        if not isinstance(matrix, list) or len(matrix) != classes or not all(_is_row(row, classes) for row in matrix):
            raise ValueError(f"its confusion matrix is none of {classes} classes")
        if sum(map(sum, matrix)) != rows:
            raise ValueError("its confusion matrix has another number of rows than it was evaluated on")


def _is_row(row: Any, classes: int) -> bool:
    return isinstance(row, list) and len(row) == classes and all(type(count) is int and count >= 0 for count in row)
