"""Ask services from Python without HTTP: the part of a gateway that talks with replicas, in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson

from cluster import errors
from cluster.gateway.board import Board
from cluster.gateway.dispatch import Dispatch
from cluster.gateway.hub import Hub
from cluster.gateway.problems import Problem
from cluster.services import messages
from cluster.services.messages import Answer, Shape
from cluster.wire import BadMessage

if TYPE_CHECKING:
    import numpy as np

    from cluster.settings import Settings

    Arrays = Mapping[str, np.ndarray[Any, np.dtype[Any]]]

Value = TypeVar("Value")
FULL, AWAY, LATE = 429, 503, 504
ROWS = "rows"
"""The item that rows are."""


class Prediction(NamedTuple):
    """The answer of a service to some items."""

    items: Mapping[str, Any]
    """Item -> what the job says of it. Of rows ``rows`` -> a list with a value for each."""
    missing: Mapping[str, str]
    """Item -> why it has no answer."""
    version: int | None
    """Of the model that answered."""


class Asker:
    """Asks the services of one cluster; any thread may use it. It connects at the first question.

    Args:
        config: Names the broker.
    """

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asker", daemon=True)
        self._open = AsyncExitStack()
        self._opening = threading.Lock()
        self._dispatch: Dispatch | None = None
        self._board: Board | None = None

    def close(self) -> None:
        """Ask nothing any more. Questions that are under way fail."""
        with self._opening:
            if self._thread.is_alive():
                self._do(self._open.aclose())
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
            self._loop.close()

    def is_ready(self, service: str) -> bool:
        """Whether a question finds a replica, as far as this process knows."""
        return self._board is None or self._board.is_ready(service)

    def predict(
        self, service: str, items: Mapping[str, bytes], version: int | None, key: str | None, timeout_s: float | None
    ) -> Prediction:  # fmt: skip
        """Ask for items; see ``Service.predict``."""
        return self._ask(lambda dispatch: _predict(dispatch, service, items, version, key, timeout_s))

    def infer(
        self, service: str, arrays: Arrays, version: int | None, key: str | None, timeout_s: float | None
    ) -> Arrays:  # fmt: skip
        """Ask for tensors; see ``Service.infer``."""
        return self._ask(lambda dispatch: _infer(dispatch, service, arrays, version, key, timeout_s))

    def _ask(self, question: Callable[[Dispatch], Coroutine[Any, Any, Value]]) -> Value:
        try:
            return self._do(question(self._opened()))
        except Problem as problem:
            raise error_of(problem) from None

    def _opened(self) -> Dispatch:
        with self._opening:
            if self._dispatch is None:
                self._thread.start()
                self._dispatch = self._do(self._start())
            return self._dispatch

    async def _start(self) -> Dispatch:
        hub = await self._open.enter_async_context(Hub(self._config.require_broker()))
        self._board = self._open.enter_context(Board(self._config))
        return Dispatch(hub, self._board)

    def _do(self, what: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()


def error_of(problem: Problem) -> errors.RequestFailed:
    """What a program in Python is told of a request without an answer."""
    kinds = {FULL: errors.RequestRefused, AWAY: errors.RequestRefused, LATE: errors.RequestLate}
    return kinds.get(problem.status, errors.RequestFailed)(problem.message)


async def _predict(
    dispatch: Dispatch, service: str, items: Mapping[str, bytes], version: int | None, key: str | None,
    timeout_s: float | None,
) -> Prediction:  # fmt: skip
    picked = await dispatch.pick(service, version, lambda: key)
    limit_s = dispatch.timeout_s(picked.known, None if timeout_s is None else round(timeout_s * 1e6))
    dispatch.hub.admit(picked.line, len(items), picked.known.service.max_waiting, limit_s)
    asked = [dispatch.hub.post(picked.line, "item", name, data, timeout_s=limit_s) for name, data in items.items()]
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    problems = []
    for name, answer in zip(items, await asyncio.gather(*asked, return_exceptions=True), strict=True):
        if isinstance(answer, Answer):
            if answer.ok and isinstance(answer.value, bytes):
                found[name] = _plain(name, orjson.loads(answer.value))
            else:
                missing[name] = answer.problem
        elif isinstance(answer, Problem):
            missing[name] = answer.message
            problems.append(answer)
        else:
            raise answer
    if problems and not found:
        raise problems[0]
    return Prediction(found, missing, picked.version)


def _plain(name: str, value: Any) -> Any:
    """A value; of rows a list with a value for each."""
    return value["values"] if name == ROWS and isinstance(value, dict) and "values" in value else value


async def _infer(
    dispatch: Dispatch, service: str, arrays: Arrays, version: int | None, key: str | None, timeout_s: float | None
) -> Arrays:  # fmt: skip
    shapes, data = _packed(arrays)
    picked = await dispatch.pick(service, version, lambda: key)
    limit_s = dispatch.timeout_s(picked.known, None if timeout_s is None else round(timeout_s * 1e6))
    dispatch.hub.admit(picked.line, 1, picked.known.service.max_waiting, limit_s)
    answer = await dispatch.hub.post(picked.line, "tensor", "", data, shapes, timeout_s=limit_s)
    if not answer.ok or not isinstance(answer.value, tuple):
        raise Problem(answer.status, f"{service}: {answer.problem or 'it gives no tensors'}")
    return {one.name: np_from(one.data, one.dtype).reshape(one.shape) for one in answer.value}


def np_from(data: bytes, dtype: str) -> Any:
    """An array of little-endian bytes."""
    import numpy as np

    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<"))


def _packed(arrays: Arrays) -> tuple[tuple[Shape, ...], bytes]:
    """Arrays as they are sent.

    Raises:
        errors.UsageError: One cannot be.
    """
    import numpy as np

    shapes, data = [], []
    for name, given in arrays.items():
        array = np.asarray(given)
        try:
            shapes.append(messages.shape_of(name, array.dtype.name, array.shape))
        except BadMessage as error:
            raise errors.UsageError(
                f"the array {name!r} of {array.dtype} and shape {array.shape} cannot be sent: {error}"
            ) from None
        data.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    rows = {shape.shape[0] for shape in shapes}
    if len(rows) != 1:
        raise errors.UsageError(f"the arrays have different numbers of rows, or there is none: {sorted(rows)}")
    return tuple(shapes), b"".join(data)
