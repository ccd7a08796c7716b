"""Make one model of sub-models that were fitted on shares of the data: an ensemble, in three rounds and a test.

This is what the machine that coordinates a run does; it needs NumPy. What shards do is ``tasks.ensemble``.

| round | a turn gives | the step makes of it |
| --- | --- | --- |
| fit | a sub-model | the view with all of them |
| predict | what all sub-models say of its slice of the validation rows, and of its rows for a stack | combiners |
| combine | stacks of some strengths; left out where none can be fitted | the combiner that is chosen |
| test | sums on its slice of the test rows; left out where there are none | the end |

``parts`` lists the fields of each. A sub-model that fails is named, and the run goes on while ``LEAST_SHARE`` of them
are there. A stack is fitted on training rows, of which each sub-model has seen some: there the mean of those that have
not seen a row stands for it, so nothing is fitted on what it has seen.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aggregators import Closed, NoResult, Step
from aggregators.ensemble import choice, figures, parts, views
from aggregators.ensemble.bundle import finish
from aggregators.ensemble.combiner import HOWS, Combiner, How
from aggregators.ensemble.parts import check
from aggregators.ensemble.state import NO_SCORES, NO_Y, Card, Fitted, Lost, State, dump, load
from aggregators.ensemble.views import see
from aggregators.submodels import spec

__all__ = ["begin", "check", "dump", "finish", "load", "see", "step"]

LEAST_SHARE = 0.6
"""Of the sub-models that must be there."""
AUTO = "auto"
WITHOUT_CHANCE = ("hgb", "logreg", "ridge", "tree")
"""Kinds that draw nothing, or next to nothing, by chance."""


def begin(about: bytes, base: Path | None = None, *, combine: str = AUTO, seed: int = 0) -> Step:
    """Begin with no sub-model.

    Args:
        about: The card, see ``splitters.tables.shares``.
        base: Not used.
        combine: One of ``combiner.HOWS``, or "auto": the best on the validation rows.
        seed: Of all chance.

    Raises:
        ValueError: An option does not fit the data; says which, and what to do.
    """
    card = _card(about)
    for asked in card["shares"]["kinds"]:
        spec.check(spec.parse(asked), card["task"])
    _check_combine(combine, card)
    rounds = 3 + bool(card["rows"]["test"])
    return Step(State(combine, seed).noted(*_alike(card)), views.nothing(), whole=True, kind="fit", rounds=rounds)


def _alike(card: Card) -> list[str]:
    """Which sub-models hardly differ, as sentences."""
    shares = card["shares"]
    kinds = [asked for asked in shares["kinds"] if spec.parse(asked).kind in WITHOUT_CHANCE]
    if shares["by"] != "all" or shares["parts"] < 2 or not kinds:
        return []
    return [f"each part has all rows, so the sub-models of {', '.join(kinds)} hardly differ: --by sample changes that"]


def _check_combine(combine: str, card: Card) -> None:
    if combine == "vote" and not card["classes"]:
        raise ValueError(f"--combine vote is for classes, and {card['target']!r} is a number: use average")
    if combine in ("stack", "weighted") and not (card["shares"]["stack_rows"] or card["rows"]["valid"]):
        raise ValueError(f"--combine {combine} is fitted on rows that no sub-model has seen: give --valid 0.1, say")
    if combine == "stack" and (problem := parts.stack_problem(card["shards"], card)):
        raise ValueError(f"{problem}: give fewer --parts, or another --combine")


def step(state: State, closed: Closed, about: bytes) -> Step:
    """Close a round: see ``aggregators.Step``.

    Raises:
        NoResult: Too few sub-models are there.
    """
    card = _card(about)
    odd = {shard: "it is of another round" for shard, part in closed.parts.items() if part["kind"] != closed.kind}
    good = {shard: part for shard, part in closed.parts.items() if shard not in odd}
    made: Step = STEPS[closed.kind](state, closed._replace(parts=good), card)
    return made._replace(rejected={**odd, **made.rejected})


def _fitted(state: State, closed: Closed, card: Card) -> Step:
    """Take in the sub-models."""
    found: list[Fitted] = []
    lost = {shard: Lost(shard, why, closed.nodes.get(shard, "")) for shard, why in closed.given_up.items()}
    rejected: dict[int, str] = {}
    notes: list[str] = []
    for shard in range(closed.shards):
        node = closed.nodes.get(shard, "")
        if (part := closed.parts.get(shard)) is None:
            lost.setdefault(shard, Lost(shard, "its part could not be used", node))
        elif part["problem"]:
            lost[shard] = Lost(shard, part["problem"], node)
        else:
            try:
                parts.model(part, parts.kind_of(shard, card), card)
            except ValueError as error:
                rejected[shard] = str(error)
                lost[shard] = Lost(shard, str(error), node)
                continue
            found.append(Fitted(shard, part["model"], part["rows"], part["seconds"], node))
            notes += [f"{parts.name(shard, card)}: {note}" for note in part["notes"]]
    _check_enough(len(found), closed.shards, lost, card)
    _check_size(found)
    gone = tuple(lost[shard] for shard in sorted(lost))
    after = state._replace(models=tuple(found), lost=gone).noted(*notes)
    seconds = [each.seconds for each in found]
    row = {"sub_models": len(found), "fit_s": round(sum(seconds), 3), "longest_s": round(max(seconds), 3)}
    view = views.of_models([each.shard for each in found], [each.model for each in found])
    missing = {parts.name(each.shard, card): _lost(each) for each in gone}
    return Step(after, view, whole=True, row=row, kind="predict", rejected=rejected, missing=missing)


def _check_enough(there: int, shards: int, lost: Mapping[int, Lost], card: Card) -> None:
    if there < LEAST_SHARE * shards:
        reasons = "; ".join(f"{parts.name(each.shard, card)}: {_lost(each)}" for each in [*lost.values()][:3])
        raise NoResult(
            f"{there} of {shards} sub-models were fitted, and an ensemble needs {LEAST_SHARE:.0%} of them: {reasons}"
        )


def _check_size(found: list[Fitted]) -> None:
    size = sum(len(each.model) for each in found)
    if size > views.MOST_BYTES:
        raise NoResult(
            f"the {len(found)} sub-models have {size:,} bytes together, over the limit of {views.MOST_BYTES:,}: give"
            " fewer trees, as rf:trees=50, a depth, as rf:depth=12, or fewer --parts"
        )


def _predicted(state: State, closed: Closed, card: Card) -> Step:
    """Take in what the sub-models say; fit all combiners but the stack."""
    told, rejected = parts.all_predicted(closed, len(state.models), card)
    if len(told) < LEAST_SHARE * closed.shards:
        reasons = "; ".join([*closed.given_up.values(), *rejected.values()][:3])
        raise NoResult(f"{len(told)} of {closed.shards} turns gave what their sub-models say: {reasons}")
    state = _missing(state, closed, len(told), "validation rows")
    scores, y, stack, stack_y = (np.concatenate(one) for one in zip(*told, strict=True))
    state = _judge(state, scores, y, card)
    if not len(stack_y) and len(y):  # --by all: half of the validation rows are the stack's
        half = min(len(y) // 2, parts.MOST_FEATURES // (len(state.models) * card["outputs"]))
        stack, stack_y, scores, y = scores[:half], y[:half], scores[half:], y[half:]
    state = state._replace(scores=scores, y=y, stack=stack, stack_y=stack_y)
    tried = [one for how in _hows(state, card) if (one := _simple(how, state, card)) is not None]
    unit = _unit(card)
    state = state._replace(tried=tuple(choice.judged(one, scores, y, unit) for one in tried))
    name = "accuracy" if card["classes"] else "rmse"
    row: dict[str, Any] = {"rows": len(y)}
    if scored := [each.score for each in state.tried if each.score is not None]:
        row[name] = (max if card["classes"] else min)(scored)
    problem = parts.stack_problem(len(state.models), card)
    if "stack" in _hows(state, card) and len(stack_y) and not problem:
        return Step(state, views.of_stack(stack, stack_y), row=row, kind="combine", rejected=rejected)
    return _choose(state.noted(*([problem] if problem else [])), closed, card, row, rejected)


def _judge(state: State, scores: Any, y: Any, card: Card) -> State:
    """Enter how good each sub-model is by itself."""
    unit, outputs = _unit(card), card["outputs"]
    alone = Combiner("average", 1, outputs)
    valid = [choice.score(choice.gains(alone, scores[:, [at]], y), unit) for at in range(len(state.models))]
    models = (each._replace(valid=value) for each, value in zip(state.models, valid, strict=True))
    return state._replace(models=tuple(models))


def _hows(state: State, card: Card) -> tuple[How, ...]:
    """The combiners that are asked for."""
    if state.combine != AUTO:
        return tuple(how for how in HOWS if how == state.combine)
    return tuple(how for how in HOWS if how != "vote" or card["classes"])


def _simple(how: How, state: State, card: Card) -> Combiner | None:
    """A combiner that takes no solver; None for a stack, or where there are no rows to fit it on."""
    models, outputs = len(state.models), card["outputs"]
    if how in ("vote", "average"):
        return Combiner(how, models, outputs)
    if how == "weighted" and len(state.stack_y):
        return Combiner(how, models, outputs, weights=choice.weights(state.stack, state.stack_y))
    return None


def _combined(state: State, closed: Closed, card: Card) -> Step:
    """Take in the stacks: the best strength is tried beside the other combiners."""
    found, rejected = parts.stacks(closed, len(state.models), card)
    if not found:
        reasons = "; ".join([*closed.given_up.values(), *rejected.values()][:3]) or "no turn gave one"
        if state.combine == "stack":
            raise NoResult(f"no stack could be fitted: {reasons}; give another --combine")
        state = state.noted(f"no stack could be fitted: {reasons}")
        return _choose(state, closed, card, {}, rejected)
    gained = [(float(choice.gains(stack, state.scores, state.y).mean()) if len(state.y) else 0.0) for stack, _ in found]
    stack, strength = found[max(range(len(found)), key=lambda at: (gained[at], -found[at][1]))]
    judged = choice.judged(stack, state.scores, state.y, _unit(card))._replace(strength=strength)
    return _choose(state._replace(tried=(*state.tried, judged)), closed, card, {}, rejected)


def _choose(state: State, closed: Closed, card: Card, row: dict[str, Any], rejected: Mapping[int, str]) -> Step:
    """Choose a combiner; have it tested, if there are rows for that."""
    if not state.tried:
        raise NoResult(
            f"no combiner {state.combine} could be fitted: too few rows are there for it; give a larger --valid"
        )
    if not len(state.y) and state.combine == AUTO:
        state = state.noted("without validation rows no combiner could be chosen by them: the average is taken")
    chosen = state.tried[choice.best([each.combiner for each in state.tried], state.scores, state.y)]
    name = "accuracy" if card["classes"] else "rmse"
    row = {**row, "chosen": chosen.combiner.how, **({} if chosen.score is None else {name: chosen.score})}
    # What combiners were made of has served.
    state = state._replace(chosen=chosen.combiner, scores=NO_SCORES, y=NO_Y, stack=NO_SCORES, stack_y=NO_Y)
    if not card["rows"]["test"]:
        return Step(state, None, row=row, kind="", rejected=rejected, rounds=closed.round + 1)
    view = views.of_combiner(chosen.combiner)
    return Step(state, view, row=row, kind="test", rejected=rejected, rounds=closed.round + 2)


def _tested(state: State, closed: Closed, card: Card) -> Step:
    """Take in the sums on the test rows."""
    sums, rejected = parts.sums(closed, card)
    if not sums:
        reasons = "; ".join([*closed.given_up.values(), *rejected.values()][:3])
        raise NoResult(f"no test row was measured: {reasons}")
    state = _missing(state, closed, len(sums), "test rows")._replace(test=figures.add(sums))
    told = figures.tell(state.test, card)
    row = {f"test_{name}": told[name] for name in ("accuracy", "rmse") if name in told}
    return Step(state, None, row=row, kind="", rejected=rejected)


def _missing(state: State, closed: Closed, there: int, what: str) -> State:
    gone = closed.shards - there
    return state.noted(f"{gone} of {closed.shards} slices of the {what} were not looked at") if gone else state


def _unit(card: Card) -> float | None:
    return None if card["classes"] else card["target_scale"]["std"]


def _lost(each: Lost) -> str:
    return f"{each.why} (on {each.node})" if each.node else each.why


STEPS = {"fit": _fitted, "predict": _predicted, "combine": _combined, "test": _tested}


@functools.lru_cache(maxsize=4)
def _card(about: bytes) -> Card:
    card: Card = json.loads(about)
    return card
