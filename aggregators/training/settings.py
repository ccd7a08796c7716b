"""How a net is trained in rounds: the options that the coordinator follows, and which of them go together."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from aggregators import server
from aggregators.server import Server
from aggregators.training import pace

MODES = ("local", "sync", "async")
"""Rounds of many steps; rounds of one step; each shard by itself."""
TIMED_QUORUM = 0.75
"""The share of the shards after which a round of some seconds may be closed."""
AUTO = "auto"
"""The server optimizer that ``choose_server`` chooses."""
PASSES = 3
"""Times a round may pass the rows of a shard and still have momentum on the server: with 1.8 it gained half a point,
with 4.6 and more it lost one."""
BY_MODE: Mapping[str, Mapping[str, Any]] = {
    "local": {},
    # What a parameter server does: shards hand in gradients, the server has the optimizer.
    "sync": {
        "server": "adam", "optimizer": "sgd", "lr": 0.001, "momentum": 0.0, "weight_decay": 0.0, "inner_state": "reset",
    },
    # Momentum on changes from older weights diverged in each measurement.
    # Each change is one shard's, so nothing averages the noise of a larger rate.
    "async": {"server": "sgd", "lr": 0.001},
}  # fmt: skip
"""Mode -> options that have other defaults in it."""


class Settings(NamedTuple):
    """Options by their names; see ``cluster submit --job train --help``."""

    net: str
    rounds: int
    minutes: float
    patience: int
    min_gain: float
    mode: str
    steps: int
    """0: each shard works for some seconds."""
    round_seconds: float
    """0: ``pace`` chooses them."""
    batch_size: int
    server: str
    server_lr: float | None
    server_momentum: float | None
    quantize: float
    quantize_when: str
    bits: int
    down_bits: int
    joint: str
    quorum: float
    staleness: int
    checkpoint: int
    norm_check: bool
    seed: int

    @property
    def steps_each(self) -> int:
        """Steps that each shard makes in a round; 0 where seconds decide."""
        return 1 if self.mode == "sync" else self.steps

    @property
    def closes_at(self) -> float:
        """The share of the shards after which a round may be closed."""
        return self.quorum or (1.0 if self.steps_each else TIMED_QUORUM)

    @property
    def optimizer(self) -> Server:
        """The server's, once one is chosen."""
        return server.choose(self.server, self.server_lr, self.server_momentum)

    def for_rows(self, shard_rows: Sequence[int]) -> tuple[Self, str]:
        """Return the same with a server optimizer, and why it is this one; see ``choose_server``."""
        chosen, why = choose_server(
            self.server, self.server_lr, self.server_momentum, self.steps_each, self.batch_size, shard_rows
        )
        return self._replace(server=chosen), why


def choose_server(
    given: str, rate: float | None, momentum: float | None, steps: int, batch_size: int, shard_rows: Sequence[int]
) -> tuple[str, str]:  # fmt: skip
    """Return the name of the server optimizer, and a sentence that says why; "" where nothing is out of the ordinary.

    A round that passes the rows of a shard several times takes the shard as far as its rows lead, and so does the next
    round. Momentum adds the rounds up and leads beyond.

    Args:
        given: Its name, or ``AUTO``.
        rate: Of it; None where none is given.
        momentum: As well.
        steps: Of a shard in a round; 0 where seconds decide: then there are about ``pace.STEPS`` or more.
        batch_size: Rows of a step; a step takes all rows of a shard that has fewer.
        shard_rows: Training rows of each shard.
    """
    if given != AUTO:
        return given, ""
    rows = max(1.0, statistics.fmean(shard_rows))
    passes = (steps or pace.STEPS) * min(batch_size, rows) / rows
    if passes <= PASSES or rate is not None or momentum is not None:
        return "nesterov", ""
    times = f"{'' if steps else 'at least '}{passes:.1f} times"
    return "average", (
        f"a round passes the {rows:,.0f} rows of a shard {times}, so the server optimizer is average, without momentum;"
        " --server nesterov has it"
    )


def complete(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given, with the defaults of their mode.

    Raises:
        ValueError: Options do not go together; says which, and what to do.
    """
    mode = given.get("mode", "local")
    if mode not in MODES:
        raise ValueError(f"--mode is {mode!r}; it must be one of {', '.join(MODES)}")
    options = {**BY_MODE[mode], **given}
    if options.get("server") == AUTO:
        options["server"] = BY_MODE[mode].get("server", AUTO)
    if options.get("server", AUTO) != AUTO:
        chosen = server.choose(options["server"], options.get("server_lr"), options.get("server_momentum"))
        if mode == "async" and (chosen.momentum > 0 or chosen.optimizer == "adam"):
            raise ValueError(
                f"--mode async cannot go with the server optimizer {chosen.optimizer} with momentum {chosen.momentum}:"
                " momentum on changes from older weights diverges; use --server sgd, or --mode local"
            )
        options |= {"server_lr": chosen.rate, "server_momentum": chosen.momentum}
    if options.get("steps") and options.get("round_seconds"):
        raise ValueError("--steps and --round-seconds cannot go together; give one of them")
    if mode == "sync" and (options.get("steps", 1) > 1 or options.get("round_seconds")):
        raise ValueError(
            "--mode sync makes one step a round; leave out --steps and --round-seconds, or use --mode local"
        )
    if mode == "async" and options.get("quorum"):
        raise ValueError("--mode async closes no rounds: leave out --quorum")
    if mode == "async" and options.get("topology", "auto") not in ("auto", "star"):
        raise ValueError(
            f"--mode async cannot go with --topology {options['topology']}: its shards wait for no others to be joined"
            " with; use --topology star, or --mode local"
        )
    if mode != "async" and "staleness" in given:
        raise ValueError("--staleness is for --mode async: in other modes no part is stale")
    return options
