"""Where the time of an iteration goes: compute, encode, transfer, apply, for several nets and bandwidths."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import catalog, rounds
from cluster.inputs import sift
from cluster.simulation.papers import Asked, Finding, Row, inputs, trainings
from splitters import Chunk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETS = ("cnn:16,32", "mlp:128,128", "mlp:960,960")
MEGABITS = (10.0, 100.0, 1000.0)
PARTS = ("compute", "encode", "transfer", "apply")
SHARDS, ROUNDS, QUICK_ROUNDS, WARM_UP = 4, 24, 8, 3
VISIBLE = 0.15
"""Of the computing: more than this is said to be visible."""
BUSY = 0.8
"""Below this share of the processor the page says that the machine was busy."""
WAYS = {"float32": {"quantize": 0.0, "down_bits": 32}, "quantized": {}}
"""How changes travel -> options of train; by default 4 bits up and 8 down."""


class Measured(NamedTuple):
    """A net and a way; medians over the rounds, in seconds of the processor."""

    net: str
    way: str
    compute: float
    """Of a node, which has loaded the weights and made a step."""
    encode: float
    """Of a node: the change, and packing it."""
    apply: float
    """Of the server: unpacking the parts of all nodes, the step, and the next view, which it reads as a node does."""
    bytes_moved: float
    """Of a node and round, up and down, as they cross."""
    had: float
    """The share of the time of the rounds in which the processor was ours: little where other programs are busy."""

    def parts(self, megabits: float) -> dict[str, float]:
        """Seconds of an iteration, see ``PARTS``."""
        transfer = self.bytes_moved * 8 / (megabits * 1e6)
        return {"compute": self.compute, "encode": self.encode, "transfer": transfer, "apply": self.apply}


def find(asked: Asked) -> Finding:
    """Measure rounds of one step.

    Raises:
        errors.ClusterError: The input cannot be used, or this machine cannot train.
    """
    trainings.require()
    nets = [asked.net] if asked.net else list(NETS)
    megabits = tuple(asked.values) or MEGABITS
    count = (QUICK_ROUNDS if asked.quick else ROUNDS) * asked.seeds
    pairs = [(net, way) for net in nets for way in WAYS]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        source, named = inputs.digits(asked.source, Path(folder))
        for done, (net, way) in enumerate(pairs):
            asked.tell(done, len(pairs))
            found.append(_measure(source, net, way, count, asked.target))
        asked.tell(len(pairs), len(pairs))
    rows: list[Row] = [
        {"net": each.net, "sent as": each.way, "Mb/s": speed, **{f"{name} ms": 1e3 * s for name, s in parts.items()},
         "all ms": 1e3 * sum(parts.values())}
        for each in found for speed in megabits for parts in [each.parts(speed)]
    ]  # fmt: skip
    had = min(each.had for each in found)
    return Finding(
        name="times",
        title="Where the time of an iteration goes",
        claims=["Quantization makes the transfer shorter and adds no visible computing. The paper shows bars."],
        found=_found(found, megabits),
        differs=_differs(found, megabits),
        warnings=[
            f"other programs used the machine: a measured round had the processor {had:.0%} of the time. Seconds of the"
            " processor are told, not of the clock, but they are longer, too, when caches are shared"
        ]
        if had < BUSY
        else [],
        table=rows,
        rows=rows,
        draw=lambda figure: _draw(figure, found, megabits),
        setting={
            "input": named,
            "training": f"train --mode sync, {SHARDS} nodes one after another in one process on one core, a step of 32"
            f" rows; medians of {count} rounds after {WARM_UP} that do not count",
            "float32": "changes and weights as float32", "quantized": "changes in 4 bits, weights in 8 bits",
            "transfer": "bytes up and down of a node, packed and compressed as they cross, over its bandwidth:"
            " computed. Each node has a link of its own, and the server's is no limit",
            "compute, encode, apply": "measured, in seconds of the processor",
            "a round had the processor": f"{had:.0%} of the time",
        },
    )  # fmt: skip


def _measure(source: Path, net: str, way: str, count: int, target: str | None) -> Measured:
    job = catalog.TRAIN
    given: dict[str, Any] = {
        "net": net, "mode": "sync", "rounds": count + WARM_UP, "shards": SHARDS, "test": 0.0, "valid": 0.0,
        "target": target, **WAYS[way],
    }  # fmt: skip
    options = job.options_of_run(given)
    about, *shards = job.chunks([source], options)
    course = rounds.Course(rounds.Bound(job, options, rounds.about_of(about)), len(shards))
    spent = list(_rounds(course, [sift(shard)[0] for shard in shards], count + WARM_UP))[WARM_UP:]
    compute, encode, apply, moved, had = (statistics.median(column) for column in zip(*spent, strict=True))
    return Measured(net, way, compute, encode, apply, moved, had)


def _rounds(
    course: rounds.Course, shards: Sequence[Chunk], count: int
) -> Iterator[tuple[float, float, float, float, float]]:
    """Seconds of computing and of encoding of a shard, of applying; bytes of a shard; see ``Measured.had``."""
    kept: list[dict[str, Any]] = [{} for _ in shards]
    seen = -1
    for _ in itertools.takewhile(lambda _: not course.is_over, range(count)):
        batch = course.enter(range(len(shards)), seen)
        seen = batch.version
        began, began_cpu, compute, encode, packed = time.perf_counter(), time.process_time(), 0.0, 0.0, {}
        for shard, items in enumerate(shards):
            times: dict[str, float] = {}
            turn_began, turn_began_cpu = time.perf_counter(), time.process_time()
            packed[shard] = course.turn(batch, shard, partial(list, items), kept[shard], times=times)
            turn_cpu = time.process_time() - turn_began_cpu
            computing = times["compute"] / (time.perf_counter() - turn_began)  # the task tells by the clock
            compute += turn_cpu * computing
            encode += turn_cpu * (1 - computing)
        turned_cpu = time.process_time()
        row = course.close(batch, packed, at_s=0.0, wall_s=time.perf_counter() - began)
        done_cpu = time.process_time()
        moved = (row["up_bytes"] + row["down_bytes"]) / len(shards)
        had = (done_cpu - began_cpu) / (time.perf_counter() - began)
        yield compute / len(shards), encode / len(shards), done_cpu - turned_cpu, moved, had


def _by_net(found: Sequence[Measured]) -> Iterator[tuple[Measured, Measured]]:
    for net in dict.fromkeys(each.net for each in found):
        exact, quantized = (each for each in found if each.net == net)
        yield exact, quantized


def _found(found: Sequence[Measured], megabits: Sequence[float]) -> list[str]:
    told = []
    for exact, quantized in _by_net(found):
        before, after = (sum(each.parts(min(megabits)).values()) for each in (exact, quantized))
        told.append(
            f"{exact.net}: quantized, a node sends and reads {quantized.bytes_moved / 1000:,.0f} kB a round, else"
            f" {exact.bytes_moved / 1000:,.0f}; at {min(megabits):g} Mb/s an iteration takes {1e3 * after:.1f} ms, else"
            f" {1e3 * before:.1f}: {before / after:.1f} times as fast."
        )
    return told


def _differs(found: Sequence[Measured], megabits: Sequence[float]) -> list[str]:
    told = []
    for exact, quantized in _by_net(found):
        more = (quantized.encode + quantized.apply) - (exact.encode + exact.apply)
        told.append(f"{exact.net}: {_effort(more, quantized.compute)}")
        fast = max(megabits)
        if sum(quantized.parts(fast).values()) > sum(exact.parts(fast).values()):
            told.append(f"{exact.net}: at {fast:g} Mb/s quantizing makes an iteration slower.")
    return [
        *told,
        "An iteration here is one step of 32 rows, the worst case. By default `train` makes many steps between two"
        " rounds, so encoding, transfer and applying are a smaller share.",
    ]


def _effort(more_s: float, compute_s: float) -> str:
    if more_s <= 0:
        return (
            f"encoding and applying take {-1e3 * more_s:.1f} ms less when quantized, as there are fewer bytes to pack."
        )
    share = more_s / compute_s
    seen = "hard to see" if share < VISIBLE else "visible"
    return (
        f"encoding and applying take {1e3 * more_s:.1f} ms more when quantized, {share:.0%} of the computing of a step:"
        f" {seen}."
    )


def _draw(figure: Figure, found: Sequence[Measured], megabits: Sequence[float]) -> None:
    nets = list(dict.fromkeys(each.net for each in found))
    [panels] = figure.subplots(1, len(nets), squeeze=False)
    for axes, net in zip(panels, nets, strict=True):
        bars = [(speed, each) for speed in megabits for each in found if each.net == net]
        labels = [f"{speed:g} Mb/s\n{each.way}" for speed, each in bars]
        below = [0.0] * len(bars)
        for name in PARTS:
            heights = [1e3 * each.parts(speed)[name] for speed, each in bars]
            axes.bar(labels, heights, bottom=below, label=name)
            below = [low + height for low, height in zip(below, heights, strict=True)]
        axes.set(title=net)
        axes.tick_params(axis="x", labelsize="x-small", rotation=60)
    panels[0].set(ylabel="ms an iteration")
    panels[0].legend(fontsize="small")
