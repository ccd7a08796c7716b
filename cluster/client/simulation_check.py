"""Check a simulation: do the same on a private cluster whose turns are stretched, and compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from cluster.client.source import Given
    from cluster.simulation import Network

NODES = 4
ROUNDS = 12
"""At most, as they take real time."""
WARM = 2
"""Rounds that do not count: processes begin in them."""
MOST_OFF = 0.15


class Checked(NamedTuple):
    """How far a simulation is from what it simulates."""

    nodes: int
    rounds: int
    """Those that count."""
    virtual_s: float
    """That they took in the simulation."""
    real_s: float
    virtual_sha256: str
    """Of the weights."""
    real_sha256: str

    @property
    def off(self) -> float:
        """How far the virtual time is from the real one, as a share of that."""
        return abs(self.virtual_s - self.real_s) / self.real_s

    @property
    def is_good(self) -> bool:
        """Whether the times are near each other and the weights the same."""
        return self.off <= MOST_OFF and self.virtual_sha256 == self.real_sha256


def check(source: Given, *, network: Network | str | Path, nodes: int = NODES, **options: Any) -> Checked:
    """Do a run of fixed steps in a simulation and on a private cluster of this machine.

    The first terminals of the network are taken, each on a line of its own, which is as slow as its way to the cloud:
    a turn of the private cluster waits as long as it would take there.

    Args:
        source: And ``network``: as for ``simulate``.
        nodes: Terminals, and slots of the private cluster.
        options: Of the job ``train``; optimizers begin anew in each round, as slots may swap shards.

    Raises:
        As ``simulate``, and as ``Client.submit``.
    """
    from cluster import catalog, client
    from cluster.client import source as sources
    from cluster.simulation import network as networks
    from cluster.simulation import simulate, stretched

    place = networks.read(Path(network), options.get("seed") or 0) if isinstance(network, str | Path) else network
    small = stretched.apart(place, nodes)
    job, stretch = stretched.job(small)
    rounds = max(WARM + 2, min(ROUNDS, options.get("rounds") or ROUNDS))
    given = sources.read(source)
    known = {**options, "rounds": rounds, "inner_state": "reset", "shards": len(small.terminals)}
    [virtual] = simulate(catalog.TRAIN, given, small, ["barrier"], **known)
    same = {option.name: virtual.options.get(option.name) for option in job.options}
    told = {name: value for name, value in same.items() if value is not None}
    with client.local(slots=len(small.terminals)) as c:
        real = c.submit(job, given, **{**told, "stretch": stretch}).result()
    closed = [(str(row["kind"]), float(row["at"])) for row in virtual.rows]
    return Checked(
        len(small.terminals), rounds - WARM, _took(closed), _took(real["closed"]), virtual.sha256, real["sha256"]
    )


def _took(closed: Sequence[tuple[str, float]]) -> float:
    """Seconds from the end of the rounds that do not count to that of the last one that trains."""
    trained = [at for kind, at in closed if kind == "train"]
    return trained[-1] - trained[WARM - 1]
