"""The sites of a cluster, as their nodes tell of them and have measured them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from cluster.topology import Shape, Site

if TYPE_CHECKING:
    from cluster.nodes.registry import Node


def of(nodes: Iterable[Node], parts: Mapping[str, int], shape: Shape = "star") -> list[Site]:
    """The sites that hand in parts, by name, as their nodes have measured them.

    Args:
        nodes: All nodes. One that tells no site is a site by itself.
        parts: Node -> parts of the last round that it handed in. Nodes that handed in none do not count.
        shape: That of the last round. In a star the nodes of a site upload at once, so each has measured its share of
            the site's way up. In the others one uploads at a time, and has measured all of it.
    """
    found: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        if parts.get(node.name):
            found[node.site or node.name].append(node)
    return [_site(name, found[name], parts, shape) for name in sorted(found)]


def _site(name: str, nodes: Sequence[Node], parts: Mapping[str, int], shape: Shape) -> Site:
    def shared(rates: Iterable[float | None], at_once: bool) -> float | None:
        """The speed of all together, of the speeds of one transfer of each node."""
        known = [(rate, parts[node.name]) for rate, node in zip(rates, nodes, strict=True) if rate]
        if not known:
            return None
        if not at_once:
            return max(rate for rate, _ in known)
        return sum(rate * count for rate, count in known) / sum(count for _, count in known) * total

    total = sum(parts[node.name] for node in nodes)
    near = [_mean(node.edge_links.up_bytes_s, node.edge_links.down_bytes_s) for node in nodes]
    return Site(
        name,
        total,
        up_bytes_s=shared((node.links.up_bytes_s for node in nodes), at_once=shape == "star"),
        down_bytes_s=shared((node.links.down_bytes_s for node in nodes), at_once=True),
        rtt_s=max((node.links.rtt_s or 0.0 for node in nodes), default=0.0),
        near_bytes_s=shared(near, at_once=shape == "tree"),
        peer_bytes_s=max((rate for rate in near if rate), default=None),
        near_rtt_s=max((rtt for node in nodes if (rtt := node.edge_links.rtt_s) is not None), default=None),
        edges=tuple(sorted({node.edge for node in nodes if node.edge})),
        seats=sum(1 for node in nodes if node.lan),
    )


def _mean(*rates: float | None) -> float | None:
    """The harmonic mean: of bytes that cross there and back."""
    known = [rate for rate in rates if rate]
    return len(known) / sum(1 / rate for rate in known) if known else None


def odd_edges(nodes: Iterable[Node]) -> list[str]:
    """A sentence for each site whose nodes name two edge stores: no tree is taken there."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for node in nodes:
        if node.edge and node.site and node.state != "gone":
            found[node.site][node.edge].append(node.name)
    return [
        f"site {site} appears with {len(edges)} edge stores: "
        + "; ".join(f"{edge} ({', '.join(sorted(names))})" for edge, names in sorted(edges.items()))
        + ". Its parts go to the hub one by one. Set the same CLUSTER_EDGE_URL on its nodes, or another CLUSTER_SITE"
        for site, edges in sorted(found.items())
        if len(edges) > 1
    ]
