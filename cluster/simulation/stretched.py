"""The job train with turns that take as long as they would on other machines: how a simulation is checked.

Its terminals are each on a line of their own, so a turn's time follows from its shard. Nobody but ``cluster simulate
--check`` has this job, on a private cluster.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aggregators import Model
from cluster import catalog, wire
from cluster.functions import Lazy
from cluster.job import Job
from cluster.option import Option
from cluster.simulation.network import CLOUD, Network
from tasks import Turn

NAME = "train-stretched"


def apart(network: Network, count: int) -> Network:
    """``count`` terminals of a network, each on a line of its own that is as slow as its way is: without chance."""
    step = max(1, len(network.terminals) // count)
    found = []
    for terminal in network.terminals[::step][:count]:
        links = network.links(terminal)
        line = terminal.link._replace(
            up_bytes_s=min(link.up_bytes_s for link in links), down_bytes_s=min(link.down_bytes_s for link in links),
            latency_s=sum(link.latency_s for link in links),
        )  # fmt: skip
        found.append(
            terminal._replace(of=CLOUD, link=line, jitter=0.0, leaves=0.0, joins_s=0.0)  # nothing by chance
        )
    return Network(network.cloud_step_s, {}, tuple(found), network.part_bytes, network.view_bytes)


def job(network: Network) -> tuple[Job, str]:
    """The job, and its option ``stretch`` for the terminals of this network: that of each shard."""
    told = [
        {"step_s": each.step_s, "up": each.link.up_bytes_s, "down": each.link.down_bytes_s, "s": each.link.latency_s}
        for each in network.terminals
    ]
    stretch = json.dumps({"shards": told, "part": network.part_bytes, "view": network.view_bytes})
    options = tuple(option for option in catalog.TRAIN.options if option.name not in ("model", "from_model"))
    made = dataclasses.replace(
        catalog.TRAIN, name=NAME, task=Lazy("cluster.simulation.stretched:train"),
        finish=Lazy("cluster.simulation.stretched:finish"), options=(*options, Option("stretch", str, "", "delays")),
        bundles="", trains=False, install="", plan=None, prepare=None,
        rounds=catalog.TRAIN.rounds._replace(checkpoint=None) if catalog.TRAIN.rounds else None,
    )  # fmt: skip
    return made, stretch


def train(turn: Turn, *, stretch: str = "", down_bits: int = 8, **options: Any) -> dict[str, Any]:
    """See ``tasks.train.train``; takes as long as the turn would on the terminal of its shard."""
    from tasks.train import train as work

    began, known = time.monotonic(), json.loads(stretch)
    value: dict[str, Any] = work(turn, **options)
    mine = known["shards"][turn.shard]
    view_bytes = known["view"] or _view_bytes(turn, down_bits)
    part_bytes = (known["part"] if turn.kind == "train" else 0) or len(wire.pack(value))
    took_s = value["steps"] * mine["step_s"] + view_bytes / mine["down"] + part_bytes / mine["up"] + 6 * mine["s"]
    time.sleep(max(0.0, took_s - (time.monotonic() - began)))
    return value


def _view_bytes(turn: Turn, down_bits: int) -> int:
    from aggregators.training import views

    return views.size_bytes(len(turn.view), down_bits)


def _signature() -> inspect.Signature:
    """As the task itself, with the options of its own."""
    from tasks.train import train as work

    known = inspect.signature(work)
    own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ("stretch", "down_bits")]
    return known.replace(parameters=[*known.parameters.values(), *own])


train.__signature__ = _signature()  # type: ignore[attr-defined]


def finish(state: Any, rows: Sequence[Mapping[str, Any]], about: bytes) -> dict[str, Any]:
    """The digest of the weights, and when rounds were closed."""
    from aggregators.training import finish as make

    model: Model = make(state, rows, about)
    weights = next(data for name, data in model.files.items() if name.endswith(".safetensors"))
    closed = [[str(row["kind"]), float(row["at"])] for row in rows]
    return {"sha256": hashlib.sha256(weights).hexdigest(), "closed": closed}
