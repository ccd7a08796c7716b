"""Minutes of text recognition over the number of clients: real seconds of each page, simulated nodes."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import catalog, errors, wire
from cluster.inputs import sift
from cluster.simulation.papers import Asked, Finding, Row, inputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIENTS = (1, 3, 5)
SPEED_UP = (1, 3, 5, 10, 50)
PUBLISHED: Mapping[str, Mapping[int, float]] = {
    "published": {1: 8.0, 3: 3.5, 5: 2.5},
    "published, Spark": {1: 6.3, 3: 1.0, 5: 0.5},
}
"""Minutes by clients."""
GOALS = {5: 0.97, 50: 0.95}
CHUNKS = 400
"""As in the measurement with real workers in docs/explain/scaling.md."""
LEAST_CHUNK_S = 3.0
"""A chunk takes this long at least: copies of a page are added to it."""


class Hub(NamedTuple):
    """The machine that nodes get their chunks from, and its link; seconds as measured in docs/explain/scaling.md."""

    chunk_s: float = 0.00066
    """Redis's core, for a chunk."""
    publish_s: float = 0.0011
    """The submitter's core, for a chunk."""
    byte_s: float = 2.6e-9
    """The submitter's core, for a byte."""
    bytes_s: float = 1e9 / 8
    """Its network, which all nodes share."""
    start_s: float = 0.05
    """Until a node that waits has read its first message."""


class Chunk(NamedTuple):
    """Of the input: it was really read once."""

    seconds: float
    """Of a processor."""
    size_bytes: int
    answer_bytes: int


def find(asked: Asked) -> Finding:
    """Read each page once, then simulate nodes that wait as long.

    Raises:
        errors.ClusterError: The input cannot be used, or this machine cannot read text.
    """
    if problem := catalog.OCR.why_not_here():
        raise errors.JobUnavailable(f"this machine cannot read text: {problem}")
    source, named = inputs.pictures(asked.source)
    pages, missing = _measure(source, asked)
    chunks = _chunks(pages, CHUNKS)
    clients = tuple(int(value) for value in asked.values) or CLIENTS
    hub = Hub()
    seconds = {nodes: simulate(chunks, nodes, hub) for nodes in dict.fromkeys((1, *clients, *SPEED_UP))}
    table = [_row(nodes, seconds) for nodes in clients]
    work_s = sum(chunk.seconds for chunk in chunks)
    return Finding(
        name="clients",
        title="Text recognition on several clients",
        claims=[
            "Minutes on 1, 3 and 5 clients: 8, 3.5 and 2.5 on the paper's platform; 6.3, 1 and 0.5 on Spark.",
        ],
        found=_found(seconds),
        differs=[
            "The paper's input and machines are not known, so only ratios to one client can be compared.",
            "Spark's published 6.3 times with 3 clients and 12.6 times with 5 are more than the number of clients,"
            " which more clients alone do not explain. Such a speed-up cannot come out of this simulation.",
            "Here nodes are simulated, each with a processor of its own. What real workers lost when 50 of them shared"
            " two cores is in docs/explain/scaling.md: 0.963 of the ideal at 50 nodes and chunks of 3 s.",
            "In the simulation no node is lost, and all are there when the run begins.",
        ],
        warnings=[f"{name} could not be read and is not counted: {why}" for name, why in missing.items()],
        table=table,
        rows=[
            {"nodes": nodes, "seconds": took, "speed_up": seconds[1] / took, "efficiency": seconds[1] / took / nodes}
            for nodes, took in sorted(seconds.items())
        ],
        draw=lambda figure: _draw(figure, clients, seconds),
        setting={
            "input": f"{named}: {len(pages)} pages, each really read once by the job ocr, in seconds of the processor:"
            f" {min(page.seconds for page in pages):.2f} to {max(page.seconds for page in pages):.2f}",
            "simulated": f"{CHUNKS} chunks, each of copies of one of these pages, of {work_s / CHUNKS:.1f} s"
            f" ({work_s / 60:.1f} minutes of work); one slot a node",
            "rules": "the submitter publishes chunk after chunk; a free node claims the oldest, fetches it over the"
            " hub's link, waits as long as the pages took, sends the answer. The costs of a chunk at the hub are those"
            " measured in docs/explain/scaling.md",
            "shared link": f"{hub.bytes_s * 8 / 1e9:g} Gb/s",
        },
    )  # fmt: skip


def simulate(chunks: Sequence[Chunk], nodes: int, hub: Hub) -> float:
    """Seconds until the last answer is there, with nodes of one slot; virtual ones, by simpy."""
    import simpy

    env = simpy.Environment()
    redis, link = simpy.Resource(env), simpy.Resource(env)
    queue: Any = simpy.Store(env)

    def submit() -> Generator[Any, Any, None]:
        for chunk in chunks:
            yield env.timeout(hub.publish_s + chunk.size_bytes * hub.byte_s)
            yield queue.put(chunk)

    def use(resource: Any, seconds: float) -> Generator[Any, Any, None]:
        with resource.request() as turn:
            yield turn
            yield env.timeout(seconds)

    def work() -> Generator[Any, Any, None]:
        yield env.timeout(hub.start_s)
        while True:
            chunk: Chunk = yield queue.get()
            yield from use(redis, hub.chunk_s)
            yield from use(link, chunk.size_bytes / hub.bytes_s)
            yield env.timeout(chunk.seconds)
            yield from use(link, chunk.answer_bytes / hub.bytes_s)
            answered_at.append(env.now)

    answered_at: list[float] = []
    env.process(submit())
    for _ in range(nodes):
        env.process(work())
    env.run()
    assert len(answered_at) == len(chunks)  # noqa: S101 - each chunk is taken by one node
    return max(answered_at)


def _measure(source: Any, asked: Asked) -> tuple[list[Chunk], dict[str, str]]:
    """Read each page; also which could not be read, and why."""
    job, missing = catalog.OCR, dict[str, str]()
    options = job.options_of_run({"chunk_size": 1})
    cut = list(job.chunks([source], options))
    pages: list[Chunk] = []
    for done, chunk in enumerate(cut):
        asked.tell(done, len(cut))
        readable, problems = sift(chunk)
        missing |= problems
        if not readable:
            continue
        began = time.process_time()
        part = job.run_task(readable, options)
        took = time.process_time() - began
        missing |= part.failures
        if not part.failures:
            pages.append(Chunk(took, sum(len(item.data) for item in readable), len(wire.pack(part.value))))
    asked.tell(len(cut), len(cut))
    if not pages:
        raise errors.RunFailed(f"no page could be read: {'; '.join(missing.values()) or 'there is none'}")
    return pages, missing


def _chunks(pages: Sequence[Chunk], count: int) -> list[Chunk]:
    """Chunks of copies of a page each."""
    copies = [max(1, round(LEAST_CHUNK_S / max(page.seconds, 0.001))) for page in pages]
    made = [
        Chunk(page.seconds * times, page.size_bytes * times, page.answer_bytes * times)
        for page, times in zip(pages, copies, strict=True)
    ]
    return [made[at % len(made)] for at in range(count)]


def _row(nodes: int, seconds: Mapping[int, float]) -> Row:
    row: Row = {"clients": nodes, "minutes": seconds[nodes] / 60, "here, times one client": seconds[1] / seconds[nodes]}
    for name, minutes in PUBLISHED.items():
        row[f"{name}, times one client"] = minutes[1] / minutes[nodes] if nodes in minutes else None
    return {**row, "here, of the ideal": seconds[1] / seconds[nodes] / nodes}


def _found(seconds: Mapping[int, float]) -> list[str]:
    told = []
    for nodes in sorted(seconds):
        if nodes > 1:
            share = seconds[1] / seconds[nodes] / nodes
            goal = f" (goal {GOALS[nodes]:g}: {'met' if share >= GOALS[nodes] else 'missed'})" if nodes in GOALS else ""
            told.append(f"{nodes} nodes are {seconds[1] / seconds[nodes]:.2f} times as fast as one: {share:.3f} of the"
                        f" ideal{goal}.")  # fmt: skip
    return told


def _draw(figure: Figure, clients: Sequence[int], seconds: Mapping[int, float]) -> None:
    few, many = figure.subplots(1, 2)
    few.plot(clients, clients, color="grey", linestyle=":", label="ideal")
    few.plot(clients, [seconds[1] / seconds[nodes] for nodes in clients], "o-", label="here, simulated")
    for name, minutes in PUBLISHED.items():
        few.plot(list(minutes), [minutes[1] / each for each in minutes.values()], "s--", label=name)
    few.set(xlabel="clients", ylabel="times as fast as one client", ylim=(0, None))
    few.set_xticks(clients)
    few.legend(fontsize="small")
    nodes = sorted(seconds)
    many.plot(nodes, [seconds[1] / seconds[each] / each for each in nodes], "o-", label="here, simulated")
    ours = PUBLISHED["published"]
    many.plot(list(ours), [ours[1] / minutes / each for each, minutes in ours.items()], "s--", color="C1",
              label="published")  # fmt: skip
    many.set(xlabel="nodes", ylabel="share of the ideal", ylim=(0, 1.05), xscale="log")
    many.set_xticks(nodes, [str(each) for each in nodes])
    many.legend(fontsize="small")
