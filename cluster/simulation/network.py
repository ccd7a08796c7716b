"""A network to simulate: terminals that train, edges that they are behind, and the cloud, where the coordinator is.

part = "4 MB"                    # what is to be assumed of a part; without, its own size

[cloud]
compute = "10 ms/step"           # of the coordinator: a round's step

[[edge]]
name = "lab"                     # lab0 to lab7
count = 8
up = "10 Mb/s"                   # to the cloud, shared by all that are behind it
down = "50 Mb/s"
latency = "40 ms"                # one way
aggregates = true                # has a store, so that a tree may join parts here

[[terminal]]
of = "lab"                       # spread evenly over lab0 to lab7
count = 64
up = "100 Mb/s"
latency = "5 ms"
compute = ["10 ms/step", "50 ms/step * .1"]
jitter = 0.1
leaves = "10 % per round"
returns = "30 s"
joins_at = "uniform 0..20 s"
"""

from __future__ import annotations

import difflib
import math
import random
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cluster import errors
from cluster.simulation import units

CLOUD = "cloud"
MOST = 10_000
"""Terminals, and edges."""
MOST_FILE_BYTES = 2**20


class Link(NamedTuple):
    """What a place is connected by to the one that it is behind."""

    name: str
    up_bytes_s: float
    down_bytes_s: float
    latency_s: float
    """One way."""


class Edge(NamedTuple):
    """A place between terminals and the cloud: a site with one line to the outside."""

    name: str
    of: str
    link: Link
    step_s: float
    """To join the parts of a round."""
    aggregates: bool


class Terminal(NamedTuple):
    """A machine that trains."""

    name: str
    of: str
    link: Link
    step_s: float
    jitter: float
    """Of its speed from turn to turn: the standard deviation, as a share."""
    leaves: float
    """The chance that it leaves in a turn."""
    returns_s: float
    """Seconds after which it comes back; inf: it does not."""
    joins_s: float


class Network(NamedTuple):
    """Where things are, and how long they take."""

    cloud_step_s: float
    edges: Mapping[str, Edge]
    terminals: tuple[Terminal, ...]
    part_bytes: int = 0
    """Assumed of each part; 0: its own size."""
    view_bytes: int = 0
    """Assumed of each view; 0: its own size."""

    def links(self, terminal: Terminal) -> tuple[Link, ...]:
        """From a terminal to the cloud."""
        return (terminal.link, *self.links_above(terminal.of))

    def links_above(self, place: str) -> tuple[Link, ...]:
        """From an edge to the cloud; none from the cloud."""
        found = []
        while place != CLOUD:
            edge = self.edges[place]
            found.append(edge.link)
            place = edge.of
        return tuple(found)

    def site(self, terminal: Terminal) -> str:
        """The edge that a terminal is behind, or the cloud."""
        return terminal.of


def read(path: Path, seed: int = 0) -> Network:
    """Read a network file.

    Args:
        path: Of a TOML file.
        seed: Of all that it leaves to chance.

    Raises:
        errors.UsageError: It cannot be read, or is no network; says what is wrong where.
    """
    try:
        with path.open("rb") as opened:
            data = opened.read(MOST_FILE_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise errors.UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise errors.UsageError(f"{path} is no text in UTF-8") from None
    if len(data) > MOST_FILE_BYTES:
        raise errors.UsageError(f"{path} has more than {MOST_FILE_BYTES:,} bytes: is it the right file?")
    try:
        return parse(text, seed)
    except ValueError as error:
        raise errors.UsageError(f"{path}: {error}") from None


def parse(text: str, seed: int = 0) -> Network:
    """See ``read``.

    Raises:
        ValueError: It is no network; says what is wrong where.
    """
    given = tomllib.loads(text)
    top = _Table(given, "the file")
    cloud = _Table(top.get("cloud", {}, _table), "[cloud]")
    step_s = cloud.get("compute", 0.0, units.step_s)
    cloud.end()
    groups = _edges(top.get("edge", [], _tables))
    edges = {edge.name: edge for group in groups.values() for edge in group}
    for edge in edges.values():
        _check_way(edge, edges)
    terminals = _terminals(top.get("terminal", [], _tables), groups, seed)
    network = Network(
        step_s, edges, terminals, top.get("part", 0, units.size_bytes), top.get("view", 0, units.size_bytes)
    )
    top.end()
    if not terminals:
        raise ValueError("there is no [[terminal]]: nobody would train")
    return network


class _Table:
    """A table of the file, whose keys are taken one after the other."""

    def __init__(self, given: Mapping[str, Any], where: str) -> None:
        self._given = dict(given)
        self._known: list[str] = []
        self.where = where

    def get(self, name: str, default: Any, read: Callable[[Any], Any]) -> Any:
        """The value of a key.

        Raises:
            ValueError: It cannot be used.
        """
        self._known.append(name)
        if name not in self._given:
            return default
        try:
            return read(self._given.pop(name))
        except ValueError as error:
            raise ValueError(f"{name} of {self.where} {error}") from None

    def end(self) -> None:
        """See that no key is left.

        Raises:
            ValueError: One is.
        """
        for name in self._given:
            near = difflib.get_close_matches(name, self._known, 1)
            hint = f"; did you mean {near[0]}?" if near else f" (there are: {', '.join(self._known)})"
            raise ValueError(f"{self.where} has {name!r}, which is none of its keys{hint}")


def _edges(tables: Sequence[Mapping[str, Any]]) -> dict[str, list[Edge]]:
    """The edges by the name of their group."""
    groups: dict[str, list[Edge]] = {}
    for number, given in enumerate(tables):
        table = _Table(given, f"[[edge]] {number + 1}")
        name = table.get("name", f"edge{number}", _name)
        table.where = f"the edge {name!r}"
        if name in groups or name == CLOUD:
            raise ValueError(f"the site {name!r} is in two places: another one has this name; give it one of its own")
        count, of = table.get("count", 1, _count), table.get("of", CLOUD, _name)
        link, step_s = _link(table), table.get("compute", 0.0, units.step_s)
        aggregates = table.get("aggregates", False, _flag)
        table.end()
        names = [name] if count == 1 else [f"{name}{index}" for index in range(count)]
        groups[name] = [Edge(one, of, link._replace(name=one), step_s, aggregates) for one in names]
    names = [edge.name for group in groups.values() for edge in group]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the site {name!r} is in two places: two edges come to this name; name one otherwise")
    return {
        name: [
            edge._replace(of=_place(edge.of, groups, index, len(group), f"the edge {edge.name!r}"))
            for index, edge in enumerate(group)
        ]
        for name, group in groups.items()
    }


def _place(of: str, groups: Mapping[str, Sequence[Edge]], index: int, count: int, who: str) -> str:
    """The name of the place that the ``index``-th of ``count`` is behind: they are spread evenly."""
    if of == CLOUD:
        return CLOUD
    if of in groups:
        return groups[of][index * len(groups[of]) // count].name
    for group in groups.values():
        if of in [edge.name for edge in group]:
            return of
    there = ", ".join([CLOUD, *groups])
    raise ValueError(
        f"{who} cannot reach the cloud: it is behind {of!r}, and there is no such edge (there are: {there})"
    )


def _check_way(edge: Edge, edges: Mapping[str, Edge]) -> None:
    way = [edge.name]
    while way[-1] != CLOUD:
        above = edges[way[-1]].of
        if above in way:
            raise ValueError(
                f"the edges go in a circle, so that the cloud is not reached: {' -> '.join([*way, above])}"
            )
        way.append(above)


def _terminals(
    tables: Sequence[Mapping[str, Any]], groups: Mapping[str, Sequence[Edge]], seed: int
) -> tuple[Terminal, ...]:  # fmt: skip
    edges = {edge.name for group in groups.values() for edge in group}
    found: dict[str, Terminal] = {}
    for number, given in enumerate(tables):
        table = _Table(given, f"[[terminal]] {number + 1}")
        name = table.get("name", "t" if len(tables) == 1 else f"t{number}", _name)
        table.where = f"the terminal {name!r}"
        for one in _group(table, name, groups, random.Random(repr((seed, name)))):  # noqa: S311 - nothing secret
            if one.name in found or one.name in edges:
                raise ValueError(
                    f"the terminal {one.name!r} is in two places: give these terminals a name of their own"
                )
            found[one.name] = one
    if len(found) > MOST:
        raise ValueError(f"there are {len(found):,} terminals; at most {MOST:,} can be")
    return tuple(found.values())


def _group(table: _Table, name: str, groups: Mapping[str, Sequence[Edge]], chance: random.Random) -> Iterator[Terminal]:
    count, of, link = table.get("count", 1, _count), table.get("of", CLOUD, _name), _link(table)
    steps = _speeds(table.get("compute", [(0.01, 1.0)], _computes), count, chance)
    jitter, leaves = table.get("jitter", 0.0, units.share), table.get("leaves", 0.0, _leaves)
    returns_s = table.get("returns", math.inf, units.seconds)
    low, high = table.get("joins_at", (0.0, 0.0), units.span_s)
    table.end()
    for index, step_s in enumerate(steps):
        own = name if count == 1 else f"{name}{index}"
        place = _place(of, groups, index, count, f"the terminal {own!r}")
        yield Terminal(
            own, place, link._replace(name=own), step_s, jitter, leaves, returns_s, chance.uniform(low, high)
        )


def _speeds(computes: Sequence[tuple[float, float]], count: int, chance: random.Random) -> list[float]:
    """Seconds a step of each terminal: shares of them, drawn who."""
    slow: list[float] = []
    for step_s, share in computes[1:]:
        slow += [step_s] * round(share * count)
    speeds = [*slow, *[computes[0][0]] * max(0, count - len(slow))][:count]
    chance.shuffle(speeds)
    return speeds


def _leaves(given: Any) -> float:
    return units.share(given, "per round")


def _link(table: _Table) -> Link:
    up = table.get("up", math.inf, units.bytes_s)
    return Link("", up, table.get("down", up, units.bytes_s), table.get("latency", 0.0, units.seconds))


def _computes(given: Any) -> list[tuple[float, float]]:
    """``["10 ms/step", "50 ms/step * .1"]`` -> [(0.01, 1.0), (0.05, 0.1)]: the first is what the others leave."""
    found = []
    for one in given if isinstance(given, list) and given else [given]:
        text, star, part = one.partition("*") if isinstance(one, str) else (one, "", "")
        step_s = units.step_s(text)
        if not step_s:
            raise ValueError(f"is {one!r}: a step takes some time")
        found.append((step_s, units.share(part) if star else 1.0))
    if any(share == 1.0 for _, share in found[1:]) or sum(share for _, share in found[1:]) > 1:
        raise ValueError(
            f"is {given!r}; each but the first needs its share, and they come to 1 at most: '50 ms/step * .1'"
        )
    return found


def _name(given: Any) -> str:
    if not isinstance(given, str) or not given or not given.isprintable():
        raise ValueError(f"is {given!r}; it must be a name")
    return given


def _count(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MOST:
        raise ValueError(f"is {given!r}; it must be a number from 1 to {MOST:,}")
    return given


def _flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise ValueError(f"is {given!r}; it must be true or false")
    return given


def _table(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"is {given!r}; it must be a table")
    return given


def _tables(given: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise ValueError("must be written with two brackets: [[edge]], [[terminal]]")
    return given
