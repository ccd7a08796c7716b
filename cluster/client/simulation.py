"""Train on a simulated network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.client.source import Given
    from cluster.simulation import Network, Policy, Simulated


def _untold(policy: str, row: Mapping[str, Any]) -> None:
    pass


def simulate(
    source: Given, *, network: Network | str | Path, policies: Sequence[Policy | str] = ("given",),
    topology: str = "star", seconds: float = 0.0, on_round: Callable[[str, Mapping[str, Any]], None] = _untold,
    **options: Any,
) -> list[Simulated]:  # fmt: skip
    """Train on a simulated network, in virtual time: the numbers are real, waiting is not.

    It needs no cluster, and the same call gives the same again.

    Args:
        source: The input, as for ``Client.submit``.
        network: The path of a network file, or a network: see ``cluster.simulation.network``.
        policies: When rounds are closed: names, or policies of your own: see ``cluster.simulation.policies``.
        topology: How parts travel: "star", "tree" or "ring"; or "auto": what the planner predicts to be the fastest.
        seconds: Virtual ones after which a run ends; 0: after its rounds.
        on_round: Called with the name of the policy and each row of its curve.
        options: Of the job ``train``.

    Returns:
        What came of each policy.

    Raises:
        errors.UsageError: Something cannot be used; the message says what to do.
        errors.JobUnavailable: simpy or torch is missing.
        errors.RunFailed: A round can never be closed.
    """
    from cluster import catalog
    from cluster.client import source as sources
    from cluster.simulation import simulate as run

    place = Path(network) if isinstance(network, str) else network
    return run(
        catalog.get("train"), sources.read(source), place, policies, topology=topology, seconds=seconds,
        on_round=on_round, **options,
    )  # fmt: skip
