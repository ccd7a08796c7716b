"""Numbers of the gateway, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.gateway.board import State
from cluster.gateway.hub import Hub

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


def text(hub: Hub, state: State, codes: Mapping[int, int]) -> str:
    """All numbers."""
    return ""
