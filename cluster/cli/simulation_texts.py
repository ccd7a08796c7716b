"""Simulated runs as a table for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cluster.cli import texts
from cluster.cli.texts import size
from cluster.client.simulated import Simulated, report
from cluster.client.simulation_check import MOST_OFF, Checked

MOST_LINKS = 6
"""The busiest links that are shown."""
Line = Mapping[str, Any]


def table(runs: Sequence[Simulated]) -> str:
    """Compare the runs, a line for each."""
    lines = report.summary(runs)
    longest = max(run.seconds for run in runs)
    score = next((line["score"] for line in lines if line["score"]), "score")
    columns: list[tuple[str, Callable[[Line], str]]] = [
        ("policy", lambda line: line["policy"]),
        ("shape", lambda line: line["topology"]),
        ("rounds", lambda line: str(line["rounds"])),
        ("virtual s", lambda line: f"{line['seconds']:.1f}"),
        ("s a round", lambda line: f"{line['round_s']:.3f}"),
        *((f"{mark * longest:.1f} s", _mark(index)) for index, mark in enumerate(report.MARKS)),
        ("best", lambda line: _number(line["best"])),
        ("test", lambda line: _number(line["test"])),
        ("parts", lambda line: str(line["parts"])),
        ("late", lambda line: str(line["late"])),
        ("lost", lambda line: str(line["lost"])),
        ("up", lambda line: size(line["up_bytes"])),
        ("down", lambda line: size(line["down_bytes"])),
    ]
    cells = [[head for head, _ in columns], *([text(line) for _, text in columns] for line in lines)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    made = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([*made, "", f"{score} of the weights at that moment, on validation rows; then the best, on both."])


def links(run: Simulated) -> str:
    """The busiest links of a run."""
    busiest = sorted(run.links, key=lambda used: max(used.up_busy, used.down_busy), reverse=True)[:MOST_LINKS]
    told = [
        f"{used.link}: up {size(used.up_bytes)} (busy {used.up_busy:.0%}), down {size(used.down_bytes)} (busy"
        f" {used.down_busy:.0%})"
        for used in busiest
    ]
    if more := len(run.links) - len(busiest):
        told.append(f"and {texts.count(more, 'link')} more")
    return f"{run.policy}, {run.topology}: {'; '.join(told)}"


def _mark(index: int) -> Callable[[Line], str]:
    return lambda line: _number(line["marks"][index])


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}"


def checked(found: Checked) -> str:
    """How far a simulation is from what it simulates."""
    same = found.virtual_sha256 == found.real_sha256
    weights = "the same weights, bit for bit" if same else f"other weights: {found.virtual_sha256}, {found.real_sha256}"
    verdict = "" if found.off <= MOST_OFF else f", over the {MOST_OFF:.0%} that it may be: is the machine busy?"
    return (
        f"{found.nodes} nodes, {found.rounds} rounds: {found.virtual_s:.2f} virtual s, {found.real_s:.2f} s on a"
        f" private cluster: {found.off:.1%} apart{verdict}\n{weights}"
    )
