"""What nodes see of an ensemble: its sub-models, then the rows of the stack, then the combiner.

A view travels as MessagePack. That of the sub-models is whole; the others are added to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from aggregators import submodels
from aggregators.ensemble import arrays
from aggregators.ensemble.combiner import Combiner
from aggregators.submodels import SubModel

MOST_BYTES = 384 * 2**20
"""Of all sub-models together: a value in Redis may have 512 MiB."""


class View(NamedTuple):
    """What a node works with; see ``see``."""

    models: tuple[SubModel, ...] = ()
    shards: tuple[int, ...] = ()
    """Of each of them."""
    stack: NDArray[np.float32] | None = None
    """(rows, models, outputs): what the sub-models say of rows that they have not seen."""
    stack_y: NDArray[Any] | None = None
    combiner: Combiner | None = None


def nothing() -> bytes:
    """Return the view before there are sub-models."""
    return _pack({})


def of_models(shards: Sequence[int], models: Sequence[bytes]) -> bytes:
    """Return the view with the sub-models of these shards."""
    return _pack({"shards": list(shards), "models": list(models)})


def of_stack(scores: NDArray[np.float32], y: NDArray[Any]) -> bytes:
    """Return what is added for the stack."""
    return _pack({"stack": arrays.dump(scores), "stack_y": arrays.dump(y)})


def of_combiner(combiner: Combiner) -> bytes:
    """Return what is added for the test."""
    return _pack({"combiner": combiner.to_json()})


def see(view: View | None, data: bytes, whole: bool) -> View:
    """Return the view after one more; ``view`` stays as it is.

    Raises:
        ValueError: It is none of those above.
    """
    told = _unpack(data)
    seen = View() if whole or view is None else view
    if "models" in told:
        seen = View(tuple(map(submodels.unpack, told["models"])), tuple(told["shards"]))
    if "stack" in told:
        outputs = seen.models[0].outputs
        stack = arrays.load(told["stack"], np.float32, (None, len(seen.models), outputs), "scores")
        kind = np.float32 if outputs == 1 else np.int32
        seen = seen._replace(stack=stack, stack_y=arrays.load(told["stack_y"], kind, (len(stack),), "targets"))
    if "combiner" in told:
        seen = seen._replace(combiner=Combiner.from_json(told["combiner"]))
    return seen


def _pack(told: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(told)
    return packed


def _unpack(data: bytes) -> dict[str, Any]:
    try:
        told = msgpack.unpackb(data)
    except (msgpack.UnpackException, ValueError) as error:
        raise ValueError(f"the view of an ensemble cannot be read: {error}") from None
    if not isinstance(told, dict):
        raise ValueError("the view of an ensemble cannot be read: it is no table")
    return told
