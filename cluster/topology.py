"""Which shape a round's exchange takes: predicted from measured links, by formulas that need no cluster.

| shape | what travels |
| --- | --- |
| star | each part goes to the hub by itself |
| tree | the parts of a site go to its edge store; one of its nodes joins them, and one part goes to the hub |
| ring | the nodes of a site make each step together, by the mean of their gradients; one part goes to the hub |

Nothing here reads a clock: all seconds were measured by the node that tells them, as differences of its own clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

Shape = Literal["star", "tree", "ring"]
SHAPES: tuple[Shape, ...] = ("star", "tree", "ring")
AUTO = "auto"
"""Stands for the shape that is predicted to be the fastest."""
NEAR_BYTES_S = 12.5e6
"""Taken for the speed within a site until it is measured: 100 Mb/s."""
NEAR_RTT_S = 0.001
"""Taken for the round trip within a site until it is measured."""
JOIN_BYTES_S = 50e6
"""Bytes of packed parts that a node joins in a second."""
STEPS = 25
"""Taken for the steps of a turn that is timed."""
GAIN = 0.2
"""A shape takes the place of another one if it is faster by this share of the seconds …"""
ROUNDS = 5
"""… in the predictions of this many rounds in a row."""


class Site(NamedTuple):
    """The nodes of one place, which share their way to the hub."""

    name: str
    parts: int
    """Parts that its nodes hand in a round, each of one shard."""
    up_bytes_s: float | None = None
    """To the hub, of all its nodes together; None until it is measured."""
    down_bytes_s: float | None = None
    rtt_s: float = 0.0
    near_bytes_s: float | None = None
    """To its edge store, of all its nodes together; None until it is measured."""
    peer_bytes_s: float | None = None
    """Between two of its nodes; None until it is measured."""
    near_rtt_s: float | None = None
    """Of a round trip within the site; None until it is measured."""
    edges: tuple[str, ...] = ()
    """Digests of the edge stores that its nodes name. A tree needs exactly one."""
    seats: int = 0
    """Nodes whose owners let others of the site reach them: CLUSTER_LAN=allow. A ring needs two."""
    works_s: tuple[float, ...] = ()
    """Seconds of the turn of each part without transfers; (): all as ``Sizes.work_s``."""
    join_s: float = 0.0
    """Seconds that it takes to join its parts, beside those for their bytes."""

    def may(self, shape: Shape) -> bool:
        """Whether its parts can go that way, and there is anything to join."""
        if shape == "tree":
            return len(self.edges) == 1 and self.parts > 1
        return shape == "star" or (self.seats > 1 and self.parts > 1)


class Sizes(NamedTuple):
    """What a round moves and does."""

    up_bytes: float
    """Of a part."""
    down_bytes: float
    """Of the view that each shard reads."""
    work_s: float
    """Seconds of a turn without its transfers."""
    parameters: int
    """Of the net; a ring moves 4 bytes of each at each step."""
    steps: float = STEPS
    """Of a turn."""
    joined_bytes: float | None = None
    """Of a joined part; None: as of a part."""

    @property
    def of_joined(self) -> float:
        """Bytes of a joined part."""
        return self.up_bytes if self.joined_bytes is None else self.joined_bytes


class Plan(NamedTuple):
    """The shape of the next rounds."""

    shape: Shape
    seconds: dict[Shape, float]
    """Predicted seconds of a round, for each shape that is possible."""
    why: str
    """One sentence, for the curve's row."""
    sites: tuple[str, ...] = ()
    """The sites where it holds; the nodes of all others hand in their parts as in a star."""
    join_s: float = 0.0
    """Predicted seconds of its slowest join: of a deadline for joins, the least that it may grant."""


def halves(shape: Shape, site: Site, sizes: Sizes) -> tuple[float, float]:
    """Predict the seconds of a site's round: until its turns are done, and from then on.

    With k parts of n bytes, a view of m bytes, p parameters and H steps a turn, T s of work (B: bytes a second, rtt:
    round trips; "near" is within the site):

    * star: T + k (n / B_up + m / B_down) + 3 rtt
    * tree: T + k (n / B_near + m / B_down) + 3 rtt + rtt_near, then join + n' / B_up + 2 rtt + rtt_near
    * ring of k seats: T + H all_reduce(k, 4 p, B_peer) + n / B_up + k m / B_down + 3 rtt

    A turn is claimed, reads its view and sends its part, a round trip each; a join is claimed and sent, too.
    Where turns take longer on some nodes, those that are done send meanwhile: T + k n / B is then the largest of
    T_i + (k - i) n / B, i from 0, for the turns by their length. A ring's T is the longest.
    Parts of nodes that have no seat go up by themselves. A link to the hub that is not measured costs nothing.
    """
    up_s, down_s = _of(1, site.up_bytes_s), _of(sizes.down_bytes, site.down_bytes_s)
    near_rtt_s = NEAR_RTT_S if site.near_rtt_s is None else site.near_rtt_s
    works_s = site.works_s or (sizes.work_s,) * site.parts
    all_s = site.parts * down_s + 3 * site.rtt_s
    if shape == "star":
        return all_s + _all_sent_s(works_s, sizes.up_bytes * up_s), 0.0
    if shape == "tree":
        to_join = site.parts * sizes.up_bytes
        join_s = site.join_s + to_join / JOIN_BYTES_S + near_rtt_s
        first_s = all_s + _all_sent_s(works_s, sizes.up_bytes / (site.near_bytes_s or NEAR_BYTES_S)) + near_rtt_s
        return first_s, join_s + sizes.of_joined * up_s + 2 * site.rtt_s
    seats = min(site.seats, site.parts)
    step_s = all_reduce_s(seats, 4 * sizes.parameters, site.peer_bytes_s or NEAR_BYTES_S, near_rtt_s / 2)
    return all_s + max(works_s) + sizes.steps * step_s + (site.parts - seats + 1) * sizes.up_bytes * up_s, 0.0


def _all_sent_s(works_s: Sequence[float], each_s: float) -> float:
    """The seconds until all parts have gone over one link, each as soon as its turn is done."""
    last = len(works_s)
    return max(work_s + (last - at) * each_s for at, work_s in enumerate(sorted(works_s)))


def seconds(shape: Shape, sites: Sequence[Site], sizes: Sizes, where: Collection[str]) -> float:
    """Predict the seconds of a round in which some sites take a shape, and all others a star.

    Sites join once all have done their turns, so the slowest turn and the slowest join add up.
    """
    found = [halves(shape if site.name in where else "star", site, sizes) for site in sites]
    return max((first for first, _ in found), default=0.0) + max((second for _, second in found), default=0.0)


def all_reduce_s(seats: int, size_bytes: float, bytes_s: float, latency_s: float) -> float:
    """Predict how long an all-reduce in a ring takes: each piece goes round twice, to be summed and to be told.

    2 (k - 1) times the latency of one way, and 2 (k - 1) / k times the bytes over each node's link: Thakur,
    Rabenseifner and Gropp, "Optimization of Collective Communication Operations in MPICH" (2005), 4.5.
    """
    return 2 * (seats - 1) * (latency_s + size_bytes / seats / bytes_s)


def plan(given: str, sites: Sequence[Site], sizes: Sizes) -> Plan:
    """The shape to take, with nothing known of the rounds before.

    Args:
        given: One of ``SHAPES``, or ``AUTO``. A shape that no site can take gives a star.
        sites: Those that hand in parts. In a tree or a ring each takes whichever is better for the round, that or a
            star; of a shape that is given, all take it that can.
        sizes: What the round moves and does.
    """
    where = {shape: _where(shape, sites, sizes, given) for shape in SHAPES}
    predicted: dict[Shape, float] = {
        shape: seconds(shape, sites, sizes, found) for shape, found in where.items() if found or shape == "star"
    }
    for shape in SHAPES:
        if shape == given:
            if shape in predicted:
                return _planned(shape, predicted, "as given", where[shape], sites, sizes)
            needs = "one edge store" if shape == "tree" else "two nodes with CLUSTER_LAN=allow"
            return Plan("star", predicted, f"no site that hands in two parts has {needs}, as a {shape} needs")
    if not any(site.up_bytes_s for site in sites):
        return Plan("star", predicted, "no link is measured yet")
    best = min(predicted, key=lambda shape: predicted[shape])
    return _planned(best, predicted, _told(best, predicted), where[best], sites, sizes)


def _planned(
    shape: Shape, predicted: dict[Shape, float], why: str, where: tuple[str, ...], sites: Sequence[Site], sizes: Sizes
) -> Plan:  # fmt: skip
    joins_s = (halves(shape, site, sizes)[1] for site in sites if site.name in where)
    return Plan(shape, predicted, why, where, max(joins_s, default=0.0))


def _where(shape: Shape, sites: Sequence[Site], sizes: Sizes, given: str) -> tuple[str, ...]:
    """The sites that take a shape, () for a star: at least one if any can.

    The slowest join counts for all, so each is tried as the slowest one: then all sites take part that gain by it.
    """
    able = [site for site in sites if site.may(shape) and shape != "star"]
    everyone = tuple(site.name for site in able)
    if given == shape or not able:
        return everyone
    took = {site.name: halves(shape, site, sizes) for site in able}
    gains = [site for site in able if took[site.name][0] < halves("star", site, sizes)[0]]
    tried = [
        tuple(site.name for site in gains if took[site.name][1] <= slowest_s)
        for slowest_s in {took[site.name][1] for site in gains}
    ]
    return min(tried, key=lambda names: (seconds(shape, sites, sizes, names), names), default=everyone)


def _told(shape: Shape, predicted: Mapping[Shape, float]) -> str:
    return f"{shape} is the fastest: " + ", ".join(
        f"{one} {predicted[one]:.3g} s" for one in SHAPES if one in predicted
    )


def _of(size_bytes: float, bytes_s: float | None) -> float:
    return size_bytes / bytes_s if bytes_s else 0.0


class Planner:
    """Plans each round of a run. A shape stays until another one was ``GAIN`` faster for ``ROUNDS`` rounds."""

    def __init__(self, given: str, shape: Shape = "star") -> None:
        self._given = given
        self.shape: Shape = shape
        """That of the last round."""
        self._better: Shape = shape
        self._rounds = 0

    def plan(self, sites: Sequence[Site], sizes: Sizes) -> Plan:
        """Plan the next round; to be called once a round."""
        found = plan(self._given, sites, sizes)
        if self._given == AUTO and found.shape != self.shape and self.shape in found.seconds:
            found = self._steady(found, sites, sizes)
        else:
            self._rounds = 0
        self.shape = found.shape
        return found

    def _steady(self, found: Plan, sites: Sequence[Site], sizes: Sizes) -> Plan:
        """The plan that was found once it was better for long enough, else the shape of the last round."""
        is_better = found.seconds[found.shape] <= (1 - GAIN) * found.seconds[self.shape]
        seen = self._rounds if found.shape == self._better else 0
        self._better, self._rounds = found.shape, seen + 1 if is_better else 0
        if self._rounds >= ROUNDS:
            self._rounds = 0
            return found
        waits = f"for {self._rounds} of {ROUNDS} rounds" if is_better else f"by less than {GAIN:.0%}"
        why, where = f"{self.shape} stays: {found.why}, {waits}", _where(self.shape, sites, sizes, AUTO)
        return _planned(self.shape, found.seconds, why, where, sites, sizes)
