"""Train a net in rounds: make the next weights of what shards learnt, keep the best, end with a model.

This is what the machine that coordinates a run does; it needs NumPy and safetensors. What shards do is ``tasks.train``.

A part is a dict: ``base`` (names the view it was made from), ``kind`` (see ``parts.KINDS``), ``steps``, ``samples``
(rows that these steps saw), ``loss`` (mean of a sample), ``groups`` (the change of the weights, trained minus view, see
``codec``; empty where nothing was trained), ``valid`` (sums, see ``scores``), ``device``, and ``fresh`` (whether the
process saw the shard for the first time). A part that stands for several shards has ``members`` and ``refused``, see
``join``. Where processes made their steps together, one of them hands in those of all, and the others 0 steps and
their evaluation.

A shard evaluates the view before it trains, so a round's validation is that of the weights it began with. After the
last round that trains, one more evaluates what came of it ("valid"), and one the best weights on the test rows
("test"); each is left out where there are no such rows.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from aggregators import Closed, Step, codec, layer_groups, nets, server
from aggregators.codec import Floats
from aggregators.server import Moments
from aggregators.training import bundle, ending, pace, parts, scores, views
from aggregators.training.bundle import checkpoint, finish
from aggregators.training.join import join
from aggregators.training.parts import Plan, check
from aggregators.training.settings import Settings
from aggregators.training.state import Book, Card, Known, State, dump, load
from aggregators.training.views import see

__all__ = ["begin", "check", "checkpoint", "dump", "finish", "join", "load", "see", "step"]

WHOLE_EVERY = 8
"""Views after which a whole one follows, so that a node that joins reads few."""


def begin(
    about: bytes, base: Path | None = None, *, net: str = "mlp:128,128", rounds: int = 40, minutes: float = 0,
    patience: int = 0, min_gain: float = 0.001, mode: str = "local", steps: int = 0, round_seconds: float = 0,
    batch_size: int = 32, server: str = "auto", server_lr: float | None = None,
    server_momentum: float | None = None, quantize: float = 100, quantize_when: str = "spread", bits: int = 4,
    down_bits: int = 8, joint: str = "auto", quorum: float = 0, staleness: int = 4, checkpoint: int = 0,
    norm_check: bool = True, seed: int = 0,
) -> Step:  # fmt: skip
    """Make the first weights and the first view.

    Args:
        about: The card, see ``splitters.tables``.
        base: The folder of a bundle whose weights to begin with; None draws them by the seed.
        net: And all others: see ``cluster submit --job train --help``.

    Raises:
        ValueError: An option does not fit the data, or the bundle.
    """
    settings = Settings(
        net, rounds, minutes, patience, min_gain, mode, steps, round_seconds, batch_size, server, server_lr,
        server_momentum, quantize, quantize_when, bits, down_bits, joint, quorum, staleness, checkpoint, norm_check,
        seed,
    )  # fmt: skip
    card = _card(about)
    settings, why = settings.for_rows(card["shard_rows"])
    _ = settings.optimizer  # raises where there is none
    resolved = nets.for_data(nets.parse(net), card)
    layer_groups.chosen(joint, resolved.parameters, bits)  # raises where the plan does not fit
    if patience and not card["rows"].get("valid"):
        raise ValueError("--patience needs validation rows; give --valid as well")
    weights = bundle.weights(base, resolved, card) if base else resolved.init(seed)
    data, view = views.whole(weights)
    seconds = None if settings.steps_each else settings.round_seconds or pace.FIRST_S
    planned = rounds * card["shards"] if mode == "async" else rounds
    book = Book(planned, seconds=seconds, notes=(why,) if why else ())
    state = State(settings, resolved.to_json(), weights, view, Moments(), None, book)
    return Step(
        state, data, whole=True, kind="train", seconds=seconds, quorum=settings.closes_at, apart=mode == "async",
        rounds=planned + ending.rounds(card),
    )  # fmt: skip


def step(state: State, closed: Closed, about: bytes) -> Step:
    """Close a round: see ``aggregators.Step``.

    The change is the mean of the shards' changes, weighted by how many samples each saw, added in the order of the
    shards. So the same parts give the same bits, on any machine.
    """
    card = _card(about)
    settings = state.settings
    plan = _plan(state.net, settings, about)
    used, rejected = parts.judge(closed, plan, state.book.known)
    rejected = parts.each_shard(closed.parts, rejected)
    if closed.staleness > settings.staleness:
        dropped, used = len(used), {}
        state = state.noted(dropped=state.book.dropped + dropped)
    state = _count(state, closed, used)
    row = _row(closed, used, card)
    state = ending.score(state, closed, used)
    if closed.kind != "train":
        return ending.after(state, closed, card, row, rejected)
    if settings.mode == "async":
        row |= {"staleness": closed.staleness, "dropped": int(closed.staleness > settings.staleness)}
    state, view, whole = _learn(state.noted(trained=state.book.trained + 1), closed, used, plan)
    state = _set_pace(state, closed)
    made = Step(
        state, view, whole, row, "train", state.book.seconds, settings.closes_at, apart=settings.mode == "async",
        keep=_is_checkpoint(state, closed), rejected=rejected,
    )  # fmt: skip
    why = ending.why_now(state, closed)
    return made if why is None else ending.begin(closed, card, made, why)


def _learn(
    state: State, closed: Closed, used: dict[int, Known], plan: Plan
) -> tuple[State, bytes | None, bool]:  # fmt: skip
    """Return the state after the parts, and the next view; None where no part changes anything."""
    learnt = {shard: closed.parts[shard] for shard, known in used.items() if known.steps}
    samples = sum(part["samples"] for part in learnt.values())
    if not samples:
        return state, None, False
    change: Floats = np.zeros(len(state.weights), np.float32)
    for shard in sorted(learnt):
        encoded = learnt[shard]["groups"]
        codec.decode_into(change, encoded, plan.groups_of(encoded), learnt[shard]["samples"] / samples)
    optimizer = state.settings.optimizer
    if state.settings.mode == "async":
        optimizer = optimizer._replace(rate=optimizer.rate / (1 + closed.staleness))
    weights, moments = server.step(optimizer, state.weights, change, state.moments, staleness=closed.staleness)
    known = (*state.book.known, *(used[shard] for shard in sorted(learnt)))[-parts.REMEMBERED :]
    try:
        whole = state.book.since_whole + 1 >= WHOLE_EVERY
        data, view = views.whole(weights) if whole else views.change(state.view, weights, state.settings.down_bits)
    except codec.NotEncodable:
        note = f"the weights diverged in round {closed.round}; try a lower --server-lr or --lr"
        return state.noted(notes=(*state.book.notes, note), planned=state.book.trained), None, False
    state = state._replace(weights=weights, view=view, moments=moments)
    return state.noted(known=known, since_whole=0 if whole else state.book.since_whole + 1), data, whole


def _is_checkpoint(state: State, closed: Closed) -> bool:
    every = state.settings.checkpoint * (closed.shards if state.settings.mode == "async" else 1)
    return every > 0 and state.book.trained % every == 0


def _count(state: State, closed: Closed, used: dict[int, Known]) -> State:
    shards = 1 if state.settings.mode == "async" and closed.kind == "train" else closed.shards
    codes = [data for part in closed.parts.values() for data in part["groups"]]
    return state.noted(
        steps=state.book.steps + sum(known.steps for known in used.values()),
        samples=state.book.samples + sum(closed.parts[shard]["samples"] for shard in used),
        codes_bytes=state.book.codes_bytes + sum(map(len, codes)),
        up_bytes=state.book.up_bytes + sum(closed.sizes_bytes.values()),
        down_bytes=state.book.down_bytes + shards * closed.view_bytes,
    )


def _row(closed: Closed, used: dict[int, Known], card: Card) -> dict[str, Any]:
    """What the line of the curve tells of the round's parts."""
    row: dict[str, Any] = {}
    learnt = [closed.parts[shard] for shard, known in used.items() if known.steps]
    if samples := sum(part["samples"] for part in learnt):
        row["loss"] = round(sum(part["loss"] * part["samples"] for part in learnt) / samples, scores.DIGITS)
    told = scores.tell(scores.add(closed.parts[shard]["valid"] for shard in used), card)
    before = "test_" if closed.kind == "test" else ""
    names = {"accuracy": f"{before}accuracy", "rmse": f"{before}rmse", "loss": f"{before or 'valid_'}loss"}
    row |= {names[name]: value for name, value in told.items() if name in names}
    return {**row, "steps": sum(known.steps for known in used.values())}


def _set_pace(state: State, closed: Closed) -> State:
    """Choose the seconds of the next rounds, where neither steps nor seconds are given."""
    settings, book = state.settings, state.book
    if settings.steps_each or settings.round_seconds or (found := pace.measure(closed)) is None:
        return state
    paces = (*book.paces, found)
    rounds = pace.ROUNDS * (closed.shards if settings.mode == "async" else 1)
    if len(paces) < rounds and book.seconds != pace.FIRST_S:
        return state.noted(paces=paces)
    return state.noted(seconds=pace.choose(paces), paces=())


@functools.lru_cache(maxsize=4)
def _plan(net: str, settings: Settings, about: bytes) -> Plan:
    parameters = nets.from_json(net).parameters
    groups = layer_groups.chosen(settings.joint, parameters, settings.bits)
    return Plan(_card(about), groups, layer_groups.exact(groups), settings.steps_each, settings.norm_check)


def _card(about: bytes) -> Card:
    card: Card = json.loads(about)
    return card
