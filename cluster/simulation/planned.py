"""Which shape each round of a simulated run takes: planned as a driver does, from the file instead of measurements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from cluster.simulation.network import CLOUD, Network, Terminal
from cluster.topology import AUTO, Planner, Site, Sizes, halves


class Taken(NamedTuple):
    """The shape of a round."""

    name: str
    why: str = ""
    sites: frozenset[str] | None = None
    """Where it holds; None: wherever it can."""

    def at(self, name: str, site: str) -> bool:
        """Whether a site takes a shape."""
        return self.name == name and (self.sites is None or site in self.sites)


class Shapes:
    """Chooses the shape of a run's rounds.

    Args:
        given: "star", "tree", "ring" or "auto". The last begins with a star, as nothing is measured before.
        network: Terminals of a site are taken to allow a ring.
        steps: Of a turn.
        can: The shapes that the job can take.
    """

    def __init__(self, given: str, network: Network, steps: int, can: Collection[str]) -> None:
        self._given = given
        self._steps = steps
        self._planner = Planner(given)
        self._sites = [_able(site, can) for site in sites(network, steps)]
        self.taken = Taken("star", "no link is measured yet") if given == AUTO else Taken(given)
        """That of the next round."""

    def learn(self, up_bytes: float, down_bytes: int, parameters: int, seconds: float | None) -> None:
        """A round is closed; plan the next one.

        Args:
            up_bytes: Of a part.
            down_bytes: Of the views that a shard read.
            parameters: Of the net.
            seconds: That turns work for, if they are given.
        """
        if self._given == AUTO:
            places, steps = self._sites, float(self._steps)
            if seconds is not None:
                steps = seconds * self._steps / max(1e-9, max(max(site.works_s) for site in places))
                places = [site._replace(works_s=()) for site in places]
            sizes = Sizes(up_bytes, down_bytes, seconds or 0.0, parameters, steps)
            plan = self._planner.plan(places, sizes)
            self.taken = Taken(plan.shape, plan.why, frozenset(plan.sites))

    def join_s(self, places: Iterable[str], up_bytes: float) -> float:
        """Predict the seconds of the slowest of the joins at some edges."""
        sizes, there = Sizes(up_bytes, 0, 0.0, 0), set(places)
        slowest = (halves("tree", site, sizes)[1] for site in self._sites if there.intersection(site.edges))
        return max(slowest, default=0.0)


def _able(site: Site, can: Collection[str]) -> Site:
    return site._replace(edges=site.edges if "tree" in can else (), seats=site.seats if "ring" in can else 0)


def first_that_joins(network: Network, place: str) -> str:
    """The edge that joins the parts of those behind ``place`` in a tree, the first that aggregates; "" without."""
    while place != CLOUD:
        if network.edges[place].aggregates:
            return place
        place = network.edges[place].of
    return ""


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
    place, above = here[0].of, network.links_above(here[0].of)
    joins = first_that_joins(network, place)
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
        edges=(joins,) if joins else (),
        seats=len(here) if place != CLOUD else 0,
        works_s=tuple(steps * one.step_s for one in here),
        join_s=network.edges[joins].step_s if joins else 0.0,
    )
