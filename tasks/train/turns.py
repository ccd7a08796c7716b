"""One shard's work in one round."""

from __future__ import annotations

import functools
import json
import logging
import math
import time
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from aggregators import codec, layer_groups, nets
from splitters.tables.card import Card
from tasks import Turn
from tasks.train import augment, devices, evaluate, optimizers, ring, seeds
from tasks.train.batches import Batches
from tasks.train.learner import Learner, balanced
from tasks.train.optimizers import Optimizer
from tasks.train.options import Options
from tasks.train.ring import Others
from tasks.train.shards import Rows, Shard

log = logging.getLogger(__name__)


class _Trained(NamedTuple):
    """What came of the steps."""

    steps: int = 0
    samples: int = 0
    loss_sum: float = 0.0
    """Over the samples; not finite where the training diverged."""
    together: tuple[int, ...] = ()
    """The shards whose processes made the steps together; each of these has the same weights now."""
    shared_s: float = 0.0
    """Seconds that went by with others, see ``ring.Others``."""
    is_ours: bool = True
    """Whether this process hands the change in; of those that made the steps together, one does."""

    @property
    def loss(self) -> float:
        """Mean of a sample; NaN where the training diverged."""
        return self.loss_sum / max(self.samples, 1) if math.isfinite(self.loss_sum) else math.nan


def do(turn: Turn, options: Options) -> dict[str, Any]:
    """See ``tasks.train.train``."""
    began = time.monotonic()
    fresh = "work" not in turn.kept
    if fresh:
        turn.kept["work"] = _Work(turn, options)
    work: _Work = turn.kept["work"]
    reading_s = work.reading_s if fresh else 0.0
    work.learner.load(turn.view)
    value = {
        "base": turn.base, "kind": turn.kind, "steps": 0, "samples": 0, "loss": 0.0, "groups": [], "valid": {},
        "device": work.device, "fresh": fresh,
    }  # fmt: skip
    seat = turn.seat if turn.kind == "train" else None
    if seat is None:  # else the others would wait
        value["valid"] = work.evaluate(turn.kind)
    trained, encode_s = _Trained(), 0.0
    if turn.kind == "train":
        trained = work.train(turn, began)
    if turn.kind == "train" and trained.is_ours:
        trained_at = time.monotonic()
        value["groups"] = work.encode(turn, trained)
        encode_s = time.monotonic() - trained_at
        loss = trained.loss if value["groups"] else math.nan
        value |= {"steps": trained.steps, "samples": trained.samples, "loss": loss}
        value |= {"members": sorted(trained.together), "refused": {}} if trained.together else {}
    if seat is not None:
        work.learner.load(turn.view)
        value["valid"] = work.evaluate(turn.kind)
    turn.times["compute"] = time.monotonic() - began - encode_s - reading_s - trained.shared_s
    if seat is not None:
        turn.times["share"] = trained.shared_s
    turn.times["encode"] = encode_s
    return value


class _Work:
    """What this process keeps of a shard between its turns."""

    def __init__(self, turn: Turn, options: Options) -> None:
        """Read the shard.

        Raises:
            ValueError: The options do not fit the data.
        """
        torch.set_num_threads(1)  # this machine has a slot for each core
        self._options = options
        self._card = cast(Card, json.loads(turn.about))
        self.device = devices.own()
        shape, outputs = tuple(self._card["input_shape"]), self._card["outputs"]
        self._net, self.learner = _learner(options.net, shape, outputs, self.device)
        self._groups = layer_groups.chosen(options.joint, self._net.parameters, options.bits)
        self._augment = augment.kinds(options.augment)
        if self._augment and len(shape) < 2:
            raise ValueError(f"--augment is for pictures; a row of this input has {shape[0]} numbers")
        began = time.monotonic()
        items = turn.read()
        self.reading_s = time.monotonic() - began
        self._shard = Shard(items, self._card, self.device)
        self._batches = Batches(max(1, len(self._shard.train)), options.batch_size, options.seed, turn.shard)
        self._next_batch = turn.round * self._batches.per_epoch  # not the same after each restart of a process
        self._optimizer: Optimizer | None = None
        self._error = np.zeros(self._net.size, np.float32) if options.error_feedback else None
        self._class_weights: torch.Tensor | None = None
        if options.class_weights == "balanced" and self._card["classes"]:
            weights = balanced(self._card["class_rows"]["train"])
            self._class_weights = torch.tensor(weights, device=self.device)

    def evaluate(self, kind: str) -> dict[str, Any]:
        """Evaluate the loaded weights on the validation rows, or on the test rows in a turn of the kind "test"."""
        rows = self._shard.test if kind == "test" else self._shard.valid
        self.learner.module.eval()
        return evaluate.evaluate(self._predict, rows, len(self._card["classes"]), confusion=kind == "test")

    def train(self, turn: Turn, began: float) -> _Trained:
        """Make the turn's steps; without training rows, none."""
        if not len(self._shard.train):
            return _Trained()
        with ring.joined(turn.seat, f"{turn.round} {turn.base} {self._options}") as others:
            return self._step_with(others, turn, began)

    def _step_with(self, others: Others, turn: Turn, began: float) -> _Trained:
        """Make the steps: together with others, each of which has another shard; once these are gone, alone."""
        options, timed = self._options, turn.seconds is not None
        torch.manual_seed(seeds.number(options.seed, turn.round, turn.shard, "dropout"))
        random = seeds.generator(options.seed, turn.round, turn.shard, "augment")
        optimizer = self._own_optimizer()
        others.spread(optimizer.moments if options.inner_state == "keep" and turn.seat else [])
        rate = optimizers.rate_at(options.schedule, options.lr, turn.round, options.rounds)
        self.learner.module.train()
        first = self._next_batch if timed else turn.round * options.steps
        exact = turn.steps or (None if timed else options.steps)

        def is_over(steps: int) -> bool:
            return time.monotonic() - began >= (turn.seconds or 0) if exact is None else steps >= exact

        steps, samples, loss_sum, over = 0, 0, 0.0, False
        while not over and math.isfinite(loss_sum):
            inputs, y = self._batch(self._shard.train, first + steps, random)
            loss = self.learner.look(inputs, y, self._class_weights)
            steps, samples, loss_sum = steps + 1, samples + len(y), loss_sum + len(y) * loss
            over = is_over(steps) or not math.isfinite(loss_sum)
            over = others.mean(self.learner.gradients, len(y), loss, over)
            optimizer.step(rate)
        self._next_batch = first + steps
        if others.ring is not None:
            shards = others.ring.shards
            is_first = turn.shard == shards[0]
            return _Trained(
                steps * len(shards), others.samples, others.loss_sum, shards, others.seconds, is_ours=is_first
            )  # fmt: skip
        return _Trained(steps, samples, loss_sum, shared_s=others.seconds)

    def encode(self, turn: Turn, trained: _Trained) -> list[bytes]:
        """The change of the weights, encoded; nothing where the training diverged."""
        options = self._options
        random = seeds.generator(options.seed, turn.round, turn.shard, "encode")
        try:
            if not math.isfinite(trained.loss_sum):
                raise codec.NotEncodable("the training diverged")
            quantized = layer_groups.is_quantized(turn.round, options.rounds, options.quantize, options.quantize_when)
            groups = self._groups if quantized else layer_groups.exact(self._groups)
            return codec.encode(self.learner.change_from(turn.view), groups, random, self._error)
        except codec.NotEncodable:
            self._optimizer = None  # its state is spoilt
            return []

    def _own_optimizer(self) -> Optimizer:
        options = self._options
        if self._optimizer is None or options.inner_state == "reset":
            self._optimizer = Optimizer(
                options.optimizer, self.learner.weights, self.learner.gradients, momentum=options.momentum,
                weight_decay=options.weight_decay,
            )  # fmt: skip
        return self._optimizer

    def _batch(self, rows: Rows, number: int, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.from_numpy(self._batches.at(number)).to(self.device)
        inputs = self._shard.inputs(rows.X[chosen])
        if self._augment:
            pictures = inputs if inputs.dim() == 4 else inputs[:, None]
            inputs = augment.change(pictures, self._augment, random).reshape(inputs.shape)
        return inputs, rows.y[chosen]

    def _predict(self, rows: torch.Tensor) -> torch.Tensor:
        return self.learner.module(self._shard.inputs(rows))


@functools.lru_cache(maxsize=2)
def _learner(net: str, input_shape: tuple[int, ...], outputs: int, device: str) -> tuple[nets.Net, Learner]:
    """All shards that this process trains share one: its weights are loaded at the begin of each turn."""
    resolved = nets.resolve(nets.parse(net), input_shape, outputs)
    return resolved, Learner(resolved, device)
