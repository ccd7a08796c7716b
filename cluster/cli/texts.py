"""Texts about runs for people, with one wording for all commands."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from cluster import catalog, logs, names
from cluster.client.nodes import Node
from cluster.client.run import Event, RoundsStatus, Status
from cluster.texts import EVENTS
from cluster.texts import MOST_FAILURES as MOST_FAILURES
from cluster.texts import count as count
from cluster.texts import duration as duration
from cluster.texts import scores_of as scores_of
from cluster.texts import size as size
from cluster.texts import table as table
from cluster.texts.standing import why_it_stands
from splitters import tell_passed_over

GIB = 2**30
MOST_NAMED = 4
"""So many of the nodes that leave out the same jobs are named."""


def status(found: Status, there: Iterable[Node] = ()) -> str:
    """Several lines about a run; with the nodes that are ``there`` also whether any of them may do it."""
    nodes = ", ".join(f"{node} ({chunks})" for node, chunks in found.nodes.items())
    lines = [
        f"{found.run}: {state(found)}{f' ({logs.plain(why)})' if (why := found.why or found.paused) else ''}",
        f"  {'items' if found.rounds is None else 'rounds':12} {items(found)}",
        f"  chunks       {found.chunks_settled} of {_total(found.chunks_total)} done",
        f"  time         {duration(found.seconds)}, since {found.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
        f"  nodes        {logs.plain(nodes) or 'none yet'}",
    ]
    if found.rounds is not None and found.rounds.late + found.rounds.rejected:
        lines.append(f"  parts        {late(found.rounds)}")
    if found.retries:
        lines.append(f"  retries      {found.retries}")
    if found.state == "running":
        master = "" if found.paused else ", or start a `cluster master`"
        nobody = f"nobody: take it up with `{resume(found)}`{master}"
        lines.append(f"  coordinator  {logs.plain(found.coordinator or nobody)}")
        if found.role == "supervisor" and found.chunks_total is None:
            lines.append(f"  input        not read to its end: go on with `{resume(found)}`")
    if told := why_it_stands(found, there):
        lines.append(f"  waiting      {told}")
    lines += [f"  rejected     {logs.plain(node)}: {logs.plain(why)}" for node, why in sorted(found.rejections.items())]
    return "\n".join(lines + missing(found))


def state(found: Status) -> str:
    """The state of a run for people: ``paused`` beside those that the ledger has."""
    return "paused" if found.paused else found.state


def history(events: Sequence[Event], found: Status) -> str:
    """A line each change, and which node did how much."""
    lines = []
    for event in events:
        about = names.described(event.chunk) if event.chunk else ""
        words = (EVENTS.get(event.event, event.event), about, event.node, event.why)
        lines.append(f"{event.at.astimezone():%H:%M:%S}  {'  '.join(logs.plain(word) for word in words if word)}")
    lines += [f"{logs.plain(node)} did {count(chunks, 'chunk')}" for node, chunks in sorted(found.nodes.items())]
    return "\n".join(lines)


def resume(found: Status, *, has_source: bool = False) -> str:
    """Return the command that resumes a run; with the input where its format ``has_source``, too."""
    return f"cluster resume {found.run}{' INPUT...' if has_source or found.chunks_total is None else ''}"


def items(found: Status) -> str:
    """``7 of 9 done, 1 failed``; of a run in rounds ``7 of 40 rounds, accuracy 0.912``."""
    failed = f", {found.items_failed} failed" if found.items_failed else ""
    if found.rounds is not None:
        scores = [f", {name.replace('_', ' ')} {value:.3f}" for name, value in scores_of(found.rounds.row or {})]
        open_ = f", {found.rounds.kind} {found.rounds.came} of {found.rounds.shards}" if found.rounds.kind else ""
        return f"{found.rounds.round + 1} of {found.rounds.planned} rounds{open_}{''.join(scores)}{failed}"
    return f"{found.items_done} of {_total(found.items_total)} done{failed}"


def late(found: RoundsStatus) -> str:
    """``3 late, of which 1 lost; 2 rejected``."""
    return f"{found.late} late, of which {found.lost} lost; {found.rejected} rejected"


def outcome(found: Status, place: str = "", passed_over: Mapping[str, int] | None = None) -> str:
    """How a run ended, in one line: what is done and missing, what was passed over, and where the result is."""
    rate = f" ({found.items_settled / max(found.seconds, 0.001):.1f}/s)" if found.rounds is None else ""
    line = f"{found.run}: {items(found)} in {duration(found.seconds)}{rate} on {count(len(found.nodes), 'node')}"
    if others := sum((passed_over or found.passed_over).values()):
        line += f"; {count(others, 'file')} passed over"
    return f"{line}; written to {place}" if place else line


def missing(found: Status, rest: str = "") -> list[str]:
    """List what the result lacks: the files that the job does not read, on one line, and each missing item on its own.

    Of many items the first ones, and where the ``rest`` is told.
    """
    lines = [logs.plain(told)] if (told := tell_passed_over(found.passed_over)) else []
    if not found.failures:
        return lines
    lines.append(f"missing ({found.items_failed}):")
    lines += [
        f"  {logs.plain(failure.item)}: {logs.plain(failure.reason)}" for failure in found.failures[:MOST_FAILURES]
    ]
    if len(found.failures) > MOST_FAILURES:
        more = len(found.failures) - MOST_FAILURES
        lines.append(f"  … and {more} more: {rest or f'cluster status {found.run} --json'}")
    return lines


def nodes(found: Sequence[Node], width: int | None = None) -> str:
    """A table of nodes, those that are gone last; one column where a terminal of that width has no room for it."""
    if not found:
        return "no nodes: join one with CLUSTER_BROKER_URL=… cluster worker"
    heads = ("NODE", "STATE", "SLOTS", "BUSY", "DONE", "MEMORY FREE", "LOAD", "JOINED", "JOBS")
    rows: list[tuple[str, ...]] = []
    found = sorted(found, key=lambda node: node.state == "gone")
    shown = _shown(found)
    for node in found:
        memory = f"{node.memory_available_bytes / GIB:.1f} of {node.memory_total_bytes / GIB:.1f} GiB"
        state: str = node.state
        if state in ("silent", "gone"):
            state = f"{state} {node.last_seen_at.astimezone():%H:%M:%S}"
        slots = str(node.slots)
        if node.held_back and node.state == "online":
            slots = f"{node.slots_allowed} of {node.slots}"
            state = logs.plain(f"{state}: {node.held_back}" if node.slots_allowed else f"paused: {node.held_back}")
        joined = f"{node.joined_at.astimezone():%m-%d %H:%M}"
        numbers = (slots, str(node.busy), str(node.done))
        rows.append(
            (
                logs.plain(node.name),
                state,
                *numbers,
                memory,
                f"{node.load:.1f}",
                joined,
                logs.plain(" ".join(map(shown, node.jobs))),
            )
        )
    lines = table(heads, rows, width)
    lines += _left_out([node for node in found if node.state == "online"], shown)
    for node in found:
        if node.state == "online":
            lines += [logs.plain(line) for line in _short_of_memory(node)]
            lines += [logs.plain(f"{node.name}: {job}: {why}") for job, why in sorted(node.outdated.items())]
    for node in found:
        if node.rejected and node.state != "gone":
            lines.append(logs.plain(f"{node.name} has rejected {count(node.rejected, 'malformed message')}"))
    return "\n".join(lines)


def _shown(found: Iterable[Node]) -> Callable[[str], str]:
    """How a capability is written beside those of these nodes: the version of its job only where they have several."""
    all_plain = {names.plain(capability) for node in found for capability in (*node.jobs, *node.missing)}
    versions = Counter(map(names.unversioned, all_plain))
    return lambda text: text if versions[names.unversioned(names.plain(text))] > 1 else names.unversioned(text)


def _left_out(found: Sequence[Node], shown: Callable[[str], str]) -> list[str]:
    """Say which jobs are left out: a line for each reason and the nodes that have it, not for each job of each node."""
    nodes_of: dict[tuple[str, str], list[str]] = {}
    for node in found:
        for capability, why in sorted(node.missing.items()):
            # A job that is left out altogether is told once, not for each bundle.
            if (plain := names.plain(capability)) == capability or node.missing.get(plain) != why:
                nodes_of.setdefault((capability, why), []).append(node.name)
    jobs_of: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for (capability, why), without in nodes_of.items():
        jobs_of.setdefault((tuple(without), why), []).append(shown(capability))
    return [
        logs.plain(f"{_first(without)} {'leaves' if len(without) == 1 else 'leave'} out {', '.join(jobs)}: {why}")
        for (without, why), jobs in jobs_of.items()
    ]


def _first(nodes: Sequence[str]) -> str:
    more = len(nodes) - MOST_NAMED
    return ", ".join(nodes[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _short_of_memory(node: Node) -> list[str]:
    """Say of which chunks a node has place for fewer than it has slots."""
    lines = []
    for capability in node.jobs:
        with contextlib.suppress(ValueError):  # of a job that is another one here
            each = catalog.chunk_memory_bytes(capability)
            if each and (fitting := node.fitting(node.slots, each)) < node.slots:
                room = size(node.chunk_memory_bytes or 0)
                lines.append(
                    f"{node.name} does {fitting} of {names.unversioned(capability)} at a time: a chunk takes"
                    f" {size(each)}, and all of a node's may take {room}"
                )
    return lines


def _total(number: int | None) -> str:
    return "?" if number is None else str(number)
