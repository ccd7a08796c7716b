"""Where one Redis saturates: a model with measured costs, for clusters that no machine at hand can hold.

``python tests/benchmarks/simulator.py`` prints what a cluster can do, ``--plot FILE`` draws it (needs matplotlib).

Redis works through commands one after another, so what it does costs processor seconds of one core, and they add up:
a second of each node (its heartbeat, its polls), a second of watching each node, each chunk, each byte in and out.
Chunks flow at the rate of the narrowest place: the slots, that core, the network of Redis's machine, the submitter.
Queues in front of these are left out, so keep to ``COMFORT`` of what is told here. Chunks of less than
``pace.MESSAGE_S``
share a message, and what that costs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

from cluster.coordinator.pace import MESSAGE_S, MOST_CHUNKS_PER_MESSAGE

MEASURED = Path(__file__).with_name("redis_costs.json")
INLINE_BYTES = 64 * 1024
"""Smaller chunks lie in the ledger."""
COMFORT = 0.7
"""At this share of its core Redis answers within three times the time it takes when idle."""
GIGABIT = 117e6
"""Bytes a second that a network of 1 Gbit/s carries, each way."""


class Costs(NamedTuple):
    """Processor seconds of Redis, but for ``submitter_*``."""

    base: float
    """A second of Redis itself."""
    node: float
    """A second of a node that is there."""
    run: float
    """A second of a run that is coordinated."""
    watch: float
    """A second of each node in that run, which watches all."""
    chunk: float
    """A chunk by itself, without its bytes."""
    tiny_chunk: float
    """One of ``MOST_CHUNKS_PER_MESSAGE`` in a message, with its few bytes."""
    byte_in: float
    byte_out: float
    submitter_chunk: float
    """Of the submitter: a chunk without its bytes."""
    submitter_byte: float

    def standing(self, nodes: int, runs: int = 1) -> float:
        """A second in which no chunk is done."""
        return self.base + nodes * self.node + runs * (self.run + nodes * self.watch)

    def of_chunk(self, size_bytes: float, chunks_per_message: int = 1) -> float:
        """A chunk of so many bytes, one of ``chunks_per_message`` in a message: in from the submitter, out to a node.

        What a chunk alone costs more than a tiny one among ``MOST_CHUNKS_PER_MESSAGE`` is the message's.
        """
        message = (self.chunk - self.tiny_chunk) / (1 - 1 / MOST_CHUNKS_PER_MESSAGE)
        moved = size_bytes * (self.byte_in + self.byte_out) if size_bytes > INLINE_BYTES else 0.0
        return self.chunk - message + message / chunks_per_message + moved


class Cluster(NamedTuple):
    """What is simulated."""

    nodes: int
    slots: int = 4
    """Of each node."""
    seconds: float = 3.0
    """Of work in a chunk."""
    size_bytes: float = 1e6
    """Of a chunk."""
    submitters: int = 1
    network: float = GIGABIT
    """Bytes a second, each way, of the machine of Redis."""
    blobs_elsewhere: bool = False
    """With CLUSTER_BLOB_URL bytes go another way."""

    def chunk_s(self, costs: Costs) -> float:
        """Processor seconds of Redis that a chunk costs."""
        return costs.of_chunk(0.0 if self.blobs_elsewhere else self.size_bytes, chunks_per_message(self.seconds))


def chunks_per_message(seconds: float) -> int:
    """How many chunks of so many seconds travel in a message (see ``pace``)."""
    return max(1, min(MOST_CHUNKS_PER_MESSAGE, int(MESSAGE_S / max(seconds, 1e-6))))


class Found(NamedTuple):
    """What such a cluster does."""

    chunks_per_s: float
    narrowest: str
    """"slots", "Redis", "network" or "submitter"."""
    efficiency: float
    """Of the slots: 1 where they are the narrowest."""
    redis_load: float
    """Share of its core, at that rate."""


def simulate(cluster: Cluster, costs: Costs) -> Found:
    """At what rate chunks flow, and why not faster."""
    here = 0.0 if cluster.blobs_elsewhere else cluster.size_bytes
    chunk_s = cluster.chunk_s(costs)
    standing = costs.standing(cluster.nodes, cluster.submitters)
    submitting_s = costs.submitter_chunk + cluster.size_bytes * costs.submitter_byte
    wanted = cluster.nodes * cluster.slots / cluster.seconds
    rates = {
        "slots": wanted,
        "Redis": max(0.0, 1 - standing) / chunk_s,
        "network": cluster.network / here if here else float("inf"),
        "submitter": cluster.submitters / submitting_s,
    }
    narrowest = min(rates, key=lambda name: rates[name])
    rate = rates[narrowest]
    return Found(rate, narrowest, rate / wanted, min(1.0, standing + rate * chunk_s))


def most_nodes(cluster: Cluster, costs: Costs, load: float = 1.0) -> int:
    """How many nodes Redis serves at so much load, if nothing else were narrower."""
    each = costs.node + cluster.submitters * costs.watch
    each += cluster.slots / cluster.seconds * cluster.chunk_s(costs)
    return int((load - costs.standing(0, cluster.submitters)) / each)


def read(path: Path = MEASURED) -> Costs:
    """The costs as they were measured last."""
    return Costs(**json.loads(path.read_text(encoding="utf-8"))["costs"])


SHAPES = {
    "3 s, 1 MB": Cluster(0),
    "30 s, 1 MB": Cluster(0, seconds=30.0),
    "3 s, 1 MB, blobs elsewhere": Cluster(0, blobs_elsewhere=True),
    "3 s, 10 kB": Cluster(0, size_bytes=1e4),
    "0.3 s, 1 MB": Cluster(0, seconds=0.3),
}


def table(costs: Costs) -> str:
    """For each shape of chunks the nodes that are served, and what is narrowest first (Markdown)."""
    rows = [
        "| chunks (4 slots a node) | Redis at 70 % | Redis full | network of 1 Gbit/s full | one submitter full |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, shape in SHAPES.items():
        per_node = shape.slots / shape.seconds
        submitter = 1 / (costs.submitter_chunk + shape.size_bytes * costs.submitter_byte) / per_node
        network = "-" if shape.blobs_elsewhere else f"{shape.network / shape.size_bytes / per_node:,.0f}"
        comfort, full = most_nodes(shape, costs, COMFORT), most_nodes(shape, costs)
        rows.append(f"| {name} | {comfort:,} nodes | {full:,} | {network} | {submitter:,.0f} |")
    return "\n".join(rows)


def plot(costs: Costs, target: Path) -> None:
    """Draw chunks a second over nodes, for each shape."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    counts = [round(10 ** (at / 40)) for at in range(141)]
    for name, shape in SHAPES.items():
        found = [simulate(shape._replace(nodes=nodes), costs) for nodes in counts]
        (line,) = axes.plot(counts, [one.efficiency for one in found], label=name)
        at = next((at for at, one in enumerate(found) if one.narrowest != "slots"), None)
        if at is not None:
            axes.annotate(
                found[at].narrowest, (counts[at], found[at].efficiency), color=line.get_color(),
                xytext=(0, 6), textcoords="offset points", rotation=90, fontsize=8,
            )  # fmt: skip
    axes.axhline(0.95, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", ylim=(0, 1.2), xlabel="nodes of 4 slots", ylabel="share of the slots kept busy")
    axes.grid(alpha=0.3)
    axes.legend(title="chunks")
    figure.tight_layout()
    figure.savefig(target)


def main() -> None:
    """Print the table; draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it (SVG or PNG)")
    given = parser.parse_args()
    costs = read()
    print(table(costs))
    if given.plot:
        plot(costs, given.plot)


if __name__ == "__main__":
    main()
