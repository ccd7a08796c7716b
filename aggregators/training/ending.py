"""Which weights of a training are the best, when it ends, and the rounds that it ends with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aggregators import Closed, Step
from aggregators.training import scores, views
from aggregators.training.state import Card, State


def rounds(card: Card) -> int:
    """How many rounds follow on those that train: one for validation rows, one for test rows."""
    return sum(card["rows"].get(part, 0) > 0 for part in ("valid", "test"))


def score(state: State, closed: Closed, used: Iterable[int]) -> State:
    """Enter how good the view of the round is, by what its parts tell; the best one is kept.

    Of views that are no worse than the best score less its standard error, the last one counts as the best: with few
    validation rows many rounds score alike, and the first of them has learnt least.

    Where shards go on apart, each has evaluated another view. There the last sums of all shards count for the view that
    nodes have now, after as many parts as there are shards.
    """
    found = {shard: closed.parts[shard]["valid"] for shard in used}
    if closed.kind == "test":
        return state.noted(test=scores.add(found.values()))
    if state.settings.mode == "async" and closed.kind == "train":
        latest = {**state.book.latest, **{str(shard): sums for shard, sums in found.items()}}
        state = state.noted(latest=latest)
        if (state.book.trained + 1) % closed.shards:
            return state
        found = {int(shard): latest[shard] for shard in sorted(latest, key=int)}
    sums = scores.add(found.values())
    value = scores.of(sums)
    if value is None:
        return state
    book = state.book
    if book.gain_score is None or value >= book.gain_score + state.settings.min_gain:
        state = state.noted(gain_score=value, gain_round=book.trained)
    if book.best_score is None or value > book.best_score:
        state = state.noted(best_score=value, best_error=scores.error(sums))
    elif value < book.best_score - book.best_error:
        return state
    data, _ = views.whole(state.view)
    return state._replace(best=data).noted(best_round=closed.round, valid=sums)


def why_now(state: State, closed: Closed) -> str | None:
    """Why the training ends after this round, as a sentence; "" where it ends as planned, None where it goes on."""
    settings, book = state.settings, state.book
    if book.trained >= book.planned:
        return ""
    each = closed.shards if settings.mode == "async" else 1
    if settings.patience and book.trained - book.gain_round > settings.patience * each:
        return f"it has not gained {settings.min_gain:g} for {settings.patience} rounds"
    if settings.minutes and closed.at_s >= 60 * settings.minutes:
        return f"{settings.minutes:g} minutes are over"
    return None


def begin(closed: Closed, card: Card, made: Step, why: str) -> Step:
    """Return the step after the last round that trains; ``made`` is what it would be if there were more."""
    state: State = made.state
    if why:
        state = state.noted(notes=(*state.book.notes, f"the training ended after round {closed.round}: {why}"))
    made = made._replace(state=state, seconds=None, apart=False, rounds=closed.round + 1 + rounds(card))
    return made._replace(kind="valid") if card["rows"].get("valid", 0) else _test(state, card, made)


def after(state: State, closed: Closed, card: Card, row: Mapping[str, Any], rejected: Mapping[int, str]) -> Step:
    """Return the step after a round that evaluates."""
    made = Step(state, None, row=row, rejected=rejected)
    return _test(state, card, made) if closed.kind == "valid" else made._replace(kind="")


def _test(state: State, card: Card, made: Step) -> Step:
    """Have the best weights evaluated on the test rows; without such rows the run is over."""
    data = state.best if state.best is not None else views.whole(state.view)[0]
    state = state._replace(best=data, view=views.see(None, data, whole=True))
    if not card["rows"].get("test", 0):
        return made._replace(state=state, view=None, whole=False, kind="")
    return made._replace(state=state, view=data, whole=True, kind="test", quorum=1.0)
