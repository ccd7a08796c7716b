"""The sites of a network's file, from which the shape of a simulated run is planned as drivers do from measurements."""

from __future__ import annotations

from collections import defaultdict

from cluster.simulation.network import CLOUD, Edge, Link, Network, Terminal
from cluster.topology import Site


def sites(network: Network, steps: int) -> list[Site]:
    """The sites of a network whose terminals hand in a part each, after so many steps a turn.

    Terminals behind one edge are a site; each that is right behind the cloud is one by itself. Ways above an edge that
    other edges share count as a site's own.
    """
    found: dict[str, list[Terminal]] = defaultdict(list)
    for terminal in network.terminals:
        found[terminal.name if terminal.of == CLOUD else terminal.of].append(terminal)
    return [_site(name, here, network, steps) for name, here in found.items()]


def _site(name: str, here: list[Terminal], network: Network, steps: int) -> Site:
    edge: Edge | None = network.edges.get(here[0].of)
    above: tuple[Link, ...] = network.links_above(here[0].of)
    up, down = sum(one.link.up_bytes_s for one in here), sum(one.link.down_bytes_s for one in here)
    near_s = max(one.link.latency_s for one in here)
    return Site(
        name,
        len(here),
        up_bytes_s=min([up, *(link.up_bytes_s for link in above)]),
        down_bytes_s=min([down, *(link.down_bytes_s for link in above)]),
        rtt_s=2 * (near_s + sum(link.latency_s for link in above)),
        near_bytes_s=up,
        peer_bytes_s=min(min(one.link.up_bytes_s, one.link.down_bytes_s) for one in here),
        near_rtt_s=4 * near_s,
        edges=(name,) if edge and edge.aggregates else (),
        seats=len(here) if edge else 0,
        work_s=steps * max(one.step_s for one in here),
        join_s=edge.step_s if edge else 0.0,
    )
