"""Which nodes can use a version of a model, which are about to, and which lack something for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel

from cluster import names
from cluster.client.nodes import PENDING
from cluster.names import Capability, ModelRef

if TYPE_CHECKING:
    from cluster.bundles.manifest import Manifest
    from cluster.client.nodes import Node


class OnNodes(BaseModel):
    """What the nodes that are online say of a version of a model. One that says nothing was not asked for it.

    Nodes are asked for the version that runs get, and for those that runs and services use.
    """

    serve: list[str]
    """The nodes that do its job with it."""
    pending: list[str]
    """Those that are fetching or trying it."""
    lack: dict[str, str]
    """Node -> why it cannot use it."""
    silent: list[str]
    """Those that have not said anything about it."""


def of(manifest: Manifest, nodes: Iterable[Node]) -> OnNodes:
    """What the nodes say of a version."""
    found = OnNodes(serve=[], pending=[], lack={}, silent=[])
    for node in nodes:
        if node.state != "online":
            continue
        why = _why_not(manifest, node)
        if why == "":
            found.serve.append(node.name)
        elif why == PENDING:
            found.pending.append(node.name)
        elif why is None:
            found.silent.append(node.name)
        else:
            found.lack[node.name] = why
    return found


def _why_not(manifest: Manifest, node: Node) -> str | None:
    """Why a node does not use a version; "" if it does, None if it has not said."""
    wanted = ModelRef.parse(manifest.reference)
    if any(wanted in one.models for one in names.capabilities(node.jobs)):
        return ""
    for capability, why in node.missing.items():
        try:
            found = Capability.parse(capability)
        except ValueError:  # of a job that is written otherwise there
            continue
        if wanted in found.models or (found.job == manifest.job and not found.needs):
            return why
    return None
