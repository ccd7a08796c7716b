"""What the paths of the gateway mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cluster.gateway.dispatch import version_of
from cluster.gateway.problems import Problem
from cluster.names import Target


class Route(NamedTuple):
    """What a path means."""

    what: str
    """A key of ``METHODS``; "" for nothing."""
    model: str = ""
    version: int | None = None


METHODS: Mapping[str, tuple[str, ...]] = {
    "live": ("GET", "HEAD"), "ready": ("GET", "HEAD"), "server": ("GET", "HEAD"), "model": ("GET", "HEAD"),
    "model-ready": ("GET", "HEAD"), "infer": ("POST",), "predict": ("POST",), "models": ("GET", "HEAD"),
    "openapi": ("GET", "HEAD"), "metrics": ("GET", "HEAD"),
}  # fmt: skip
OPEN = frozenset(("live", "ready"))
"""Routes that need no token."""
NOTHING = Route("")
PLAIN: Mapping[str, Route] = {
    "/v2/health/live": Route("live"), "/v2/health/ready": Route("ready"), "/v2": Route("server"),
    "/v1/models": Route("models"), "/openapi.json": Route("openapi"), "/metrics": Route("metrics"),
}  # fmt: skip
OF_MODEL: Mapping[tuple[str, str], str] = {
    ("v2", ""): "model", ("v2", "ready"): "model-ready", ("v2", "infer"): "infer", ("v1", "predict"): "predict",
}  # fmt: skip


def read(path: str) -> Route:
    """What a path means; a model may be written with its version, as ``office:3``.

    Raises:
        Problem: The version is no number (400).
    """
    found = PLAIN.get(path)
    if found is not None:
        return found
    pieces = path[1:].split("/")
    if len(pieces) < 3 or pieces[1] != "models":
        return NOTHING
    protocol, _, model, *rest = pieces
    number = None
    if rest[:1] == ["versions"] and len(rest) > 1:
        number, rest = rest[1], rest[2:]
    what = OF_MODEL.get((protocol, rest[0] if rest else ""))
    if what is None or len(rest) > 1 or not path.startswith("/"):
        return NOTHING
    try:
        name, version = Target.parse(model)
    except ValueError:
        raise Problem(404, f"no model {model[:64]!r} is served here") from None
    return Route(what, name, version if number is None else version_of(number))
