"""The machines of a cluster, as its users see them, and how they are asked to stop, to pause and to go on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from cluster import names, redis_url
from cluster.client import joining
from cluster.nodes.registry import HEARTBEAT_S, PENDING, Links, Node

if TYPE_CHECKING:
    from cluster.client.joining import Joining
    from cluster.client.system import System
    from cluster.settings import Settings
    from cluster.stores import Stores

__all__ = [
    "HEARTBEAT_S", "PENDING", "Answer", "Links", "Node", "go_on", "join_line", "odd_edges",
    "pause", "rejections", "shut_down",
]  # fmt: skip
POLL_S = 0.1


class Answer(NamedTuple):
    """Whether a node has answered to what it was asked: to stop, to pause, to go on."""

    name: str
    has_answered: bool


class Machines:
    """The part of ``Client`` that is about nodes."""

    if TYPE_CHECKING:
        config: Settings

        @property
        def stores(self) -> Stores: ...

    def nodes(self, *, closely: bool = False) -> list[Node]:
        """The machines of the cluster, and those that left it within a day.

        Args:
            closely: See within two seconds that a node was killed, by its connection; else within four.
        """
        return self.stores.nodes.nodes(closely=closely)

    def older_nodes(self) -> Mapping[str, str]:
        """The nodes of the version before in the same Redis, by name -> what is to be done about them, for people.

        They take no work of this version.
        """
        return self.stores.nodes.older()

    def shut_down(
        self, nodes: Sequence[Node] | None = None, *, now: bool = False, wait_s: float = 10.0
    ) -> list[Answer]:
        """Ask nodes to stop, by default all that are there. They end what they work on first, and take nothing new.

        Args:
            nodes: Some of ``nodes()``.
            now: They do not end what they work on; others do it again.
            wait_s: How long to wait for their answers. A node that has not answered hears of it when it is heard of.
        """
        asked = [node for node in self.nodes() if node.state != "gone"] if nodes is None else nodes
        return shut_down(self.config, self.stores, asked, now=now, wait_s=wait_s)

    def pause_nodes(self, nodes: Sequence[Node], *, by: str = "", wait_s: float = 10.0) -> list[Answer]:
        """Have nodes take no work until ``go_on_nodes``, also after a new start. What they work on ends.

        A node that is paused already stays paused by the one who did it first.

        Args:
            nodes: Some of ``nodes()``.
            by: Who pauses them, as `cluster nodes` shows it; by default the user of this machine.
            wait_s: How long to wait for their answers. A node that has not answered hears of it when it is heard of.
        """
        return pause(self.stores, nodes, by, wait_s=wait_s)

    def go_on_nodes(self, nodes: Sequence[Node], *, wait_s: float = 10.0) -> list[Answer]:
        """Have nodes take work again, whoever has paused them. Nodes that are not paused answer at once.

        Args:
            nodes: Some of ``nodes()``.
            wait_s: As for ``pause_nodes``.
        """
        return go_on(self.stores, nodes, wait_s=wait_s)

    def system(self, nodes: Iterable[Node] | None = None) -> System:
        """How the cluster itself does: its Redis, its queues, its runs in numbers.

        Args:
            nodes: Those of ``nodes()``, where they were read already.
        """
        from cluster.client import system

        return system.read(self.stores, self.nodes() if nodes is None else nodes)

    def joining(self, *, with_password: bool = False) -> Joining:
        """How another machine joins: the command to type there, and why it could not reach the cluster.

        Args:
            with_password: Anyone who sees it can run work on the machines of the cluster and read their data.
        """
        return joining.joining(self.config, with_password=with_password)

    def invite(self, by: str) -> str:
        """A secret by which one machine's owner sees how to join, once and within ``INVITED_S``; ``by`` makes it."""
        from cluster.accounts.invitations import Invitations

        return Invitations(self.stores.redis).new(by)

    def accept(self, secret: str) -> tuple[str, Joining] | None:
        """Use up the secret of an invitation; gives who made it, and how to join, with the password.

        None: it was used, has expired, or never was one.
        """
        from cluster.accounts.invitations import Invitations

        by = Invitations(self.stores.redis).take(secret)
        return None if by is None else (by, self.joining(with_password=True))


def join_line(config: Settings) -> str:
    """Return the command that makes another machine join this cluster."""
    url = config.given_broker()
    shown = redis_url.masked(url)
    hidden = "" if shown == url else " (for *** the password, as in the line that `cluster up` printed)"
    return f"{joining.line(config, shown)}{hidden}"


def rejections(requirement: str, nodes: Iterable[Node]) -> dict[str, str]:
    """Node -> why it does not do a run: it lacks something, or does not know the job, or in another version."""
    return {node.name: why for node in nodes if node.state == "online" and (why := node.why_not(requirement))}


def odd_edges(nodes: Iterable[Node]) -> list[str]:
    """A sentence for each site whose nodes name two edge stores: no tree is taken there."""
    from cluster.nodes import sites

    return sites.odd_edges(nodes)


def shut_down(config: Settings, stores: Stores, asked: Sequence[Node], *, now: bool, wait_s: float) -> list[Answer]:
    """Ask nodes to stop, and wait for their answers for ``wait_s`` seconds; see ``Client.shut_down``."""
    from cluster import celery_app

    stores.nodes.set_desired_state(asked, "stop-now" if now else "stop")
    # The row of the desired state is what counts; the broadcast only reaches nodes a second earlier.
    with closing(celery_app.build(config)) as app:
        app.control.broadcast("heartbeat_now", destination=[node.name for node in asked])
    return _answers(stores, asked, lambda node: node.phase != "here", wait_s)


def pause(stores: Stores, asked: Sequence[Node], by: str, *, wait_s: float) -> list[Answer]:
    """Have nodes fill no slots, and wait for their answers for ``wait_s`` seconds; see ``Client.pause_nodes``."""
    stores.nodes.pause([node.name for node in asked], by or _me())
    return _answers(stores, asked, lambda node: node.paused_by != "", wait_s)


def go_on(stores: Stores, asked: Sequence[Node], *, wait_s: float) -> list[Answer]:
    """Have nodes fill slots again, and wait for their answers for ``wait_s`` seconds; see ``Client.go_on_nodes``."""
    stores.nodes.go_on([node.name for node in asked])
    return _answers(stores, asked, lambda node: not node.paused_by, wait_s)


def _answers(
    stores: Stores, asked: Sequence[Node], has_answered: Callable[[Node], bool], wait_s: float
) -> list[Answer]:
    """Wait until the nodes' rows say that they do what they were asked. They hear it with their next heartbeat."""
    deadline = time.monotonic() + wait_s
    waiting = {node.name: node.incarnation for node in asked}  # each incarnation of a node answers for itself
    while waiting and time.monotonic() < deadline:
        time.sleep(POLL_S)
        for node in stores.nodes.nodes():
            if waiting.get(node.name) == node.incarnation and has_answered(node):
                del waiting[node.name]
    return [Answer(node.name, node.name not in waiting) for node in asked]


def _me() -> str:
    """Names the person at this machine: ``maria@kitchen``."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have no user of that number
        user = "somebody"
    return names.person(user, socket.gethostname())
