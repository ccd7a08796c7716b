"""Copies of requests to another version, whose answers are compared and never given."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from cluster.gateway.dispatch import Picked
from cluster.gateway.hub import Hub
from cluster.gateway.problems import Problem
from cluster.gateway.tensors import V2_OF, numbers
from cluster.names import Target
from cluster.services.messages import Answer, Kind, Shape, Tensor

MOST_WAITING = 64
"""Copies that wait at most; a request beyond that has none."""


def copy(
    hub: Hub, picked: Picked, asking: asyncio.Future[Answer], kind: Kind, name: str, payload: bytes,
    shapes: tuple[Shape, ...] = (),
) -> None:  # fmt: skip
    """Send a copy of a request to the shadow of its service, unless that is full or has no replica."""
    service = picked.known.service
    if service.shadow == picked.version or service.shadow not in picked.known.ready:
        return
    line = hub.line(Target(service.name, service.shadow))
    if line.waiting >= MOST_WAITING:
        line.shadow["skipped"] += 1
        return
    try:
        copied = hub.post(line, kind, name, payload, shapes, timeout_s=service.deadline_ms / 1000)
    except Problem:
        return

    def compare(_: object) -> None:
        if asking.done() and copied.done():
            line.shadow[result(asking, copied)] += 1

    asking.add_done_callback(compare)
    copied.add_done_callback(compare)


def result(asking: asyncio.Future[Answer], copied: asyncio.Future[Answer]) -> str:
    """ "same", "different", or "missing" where one of them has no value."""
    if asking.cancelled() or copied.cancelled() or asking.exception() or copied.exception():
        return "missing"
    one, other = asking.result(), copied.result()
    if not (one.ok and other.ok):
        return "missing"
    return "same" if labels(one.value) == labels(other.value) else "different"


def labels(value: Any) -> Any:
    """What two versions must agree on: the labels, and where there are none the numbers, roughly."""
    if isinstance(value, tuple):
        return [_places(tensor) for tensor in value]
    try:
        return _labels(orjson.loads(value))
    except orjson.JSONDecodeError:
        return value


def _places(tensor: Tensor) -> Any:
    """The place of the largest number in each row; whole numbers as they are."""
    datatype, code = V2_OF[tensor.dtype]
    found = numbers(tensor.data, code)
    width = tensor.shape[-1] if len(tensor.shape) > 1 else 1
    if datatype[:2] != "FP":
        return found
    if width == 1:
        return [round(number, 3) for number in found]
    rows = (found[at : at + width] for at in range(0, len(found), width))
    return [max(range(width), key=row.__getitem__) for row in rows]


def _labels(value: Any) -> Any:
    """Without probabilities, confidences and places, where there is a label."""
    if isinstance(value, list):
        return [_labels(one) for one in value]
    if isinstance(value, dict):
        return value["label"] if "label" in value else {name: _labels(one) for name, one in value.items()}
    return round(value, 3) if isinstance(value, float) else value
