"""Answer a batch of requests by a job's own functions. One that cannot be answered costs the others nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from cluster.job import Job
from cluster.ledger.records import as_reason
from cluster.services.messages import FAILED, ITEM_BYTES, MAX_PROBLEM_CHARS, OK, UNREADABLE, Answer, Request, Tensor
from splitters import Item

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

JSON = orjson.OPT_NON_STR_KEYS
Answered = tuple[Request, Answer]
"""A request with its answer: requests of two gateways may have one number."""


class Loaded(NamedTuple):
    """A version of a model as a process serves it; a job without models is one such, too."""

    job: Job
    options: Mapping[str, Any]
    """As the job's functions take them: ``model`` is a folder."""
    version: int | None = None
    max_megapixels: int | None = None
    """Of a picture, by the owner of this machine."""


def answer(loaded: Loaded, requests: Sequence[Request]) -> list[Answered]:
    """Answer requests, whose payloads are bytes. Gives an answer for each, in any order.

    Items are one chunk of the job's task; tensors of a form are joined along their rows for one call of ``infer``.
    Where a call raises, its requests are done one by one.
    """
    answers: list[Answered] = []
    items = [request for request in requests if request.kind == "item"]
    if items:
        answers += _each(loaded, items, _do_items)
    if len(items) < len(requests):
        alike: dict[Any, list[Request]] = {}
        for request in requests:
            if request.kind == "tensor":
                form = tuple((one.name, one.dtype, one.shape[1:]) for one in request.tensors)
                alike.setdefault(form, []).append(request)
        for group in alike.values():
            answers += _each(loaded, group, _do_tensors)
    return answers


def warm_up(loaded: Loaded) -> float | None:
    """Do one made-up request of each kind, so that the first real one does not wait for a model to be loaded.

    Returns:
        The seconds that a second one took, of the kind that takes less; None where the job cannot make one up.

    Raises:
        ValueError: No kind of request can be answered; the message says why.
    """
    problems, took = [], []
    for request in _made_up(loaded):
        _, began = answer(loaded, [request]), time.perf_counter()
        [(_, found)] = answer(loaded, [request])
        if found.status == FAILED:
            problems.append(found.problem)
        else:
            took.append(time.perf_counter() - began)
    if problems and not took:
        raise ValueError("; ".join(dict.fromkeys(problems)))
    return min(took, default=None)


Do = Callable[[Loaded, Sequence[Request]], Iterator[Answered]]


def _each(loaded: Loaded, requests: Sequence[Request], do: Do) -> list[Answered]:
    """Do the requests together; where that fails, each by itself."""
    try:
        return list(do(loaded, requests))
    except Exception as error:  # noqa: BLE001 - whatever a job raises is an answer
        if len(requests) > 1:
            return [found for request in requests for found in _each(loaded, [request], do)]
        is_wrong = isinstance(error, ValueError) and requests[0].kind == "tensor"  # see ``Job.infer``
        why = str(error) if is_wrong else f"{type(error).__name__}: {error}"
        return [_refused(loaded, requests[0], UNREADABLE if is_wrong else FAILED, why)]


def _refused(loaded: Loaded, request: Request, status: int, why: str) -> Answered:
    return request, Answer(request.id, status, b"", as_reason(why)[:MAX_PROBLEM_CHARS], loaded.version)


def _do_items(loaded: Loaded, requests: Sequence[Request]) -> Iterator[Answered]:
    named: dict[str, Request] = {}
    for at, request in enumerate(requests):  # clients may give one name to several
        named[request.name if request.name not in named else f"{at}/{request.name}"] = request
    items = []
    for name, request in named.items():
        item = Item(name, request.payload)  # type: ignore[arg-type]
        if why := _over_limit(loaded, item):
            yield _refused(loaded, request, UNREADABLE, why)
        else:
            items.append(item)
    if not items:
        return
    part = loaded.job.run_task(items, loaded.options)
    for item in items:
        request = named[item.name]
        if item.name in part.value:  # with a failure, too, where one of its rows has none
            found = loaded.job.answer_of(part.value[item.name], loaded.options)
            value = orjson.dumps(found, option=JSON)
            yield request, Answer(request.id, OK, value, "", loaded.version)
        elif item.name in part.failures:
            yield _refused(loaded, request, UNREADABLE, part.failures[item.name])
        else:
            yield _refused(loaded, request, FAILED, f"the job {loaded.job.name} gave nothing for it")


def _over_limit(loaded: Loaded, item: Item) -> str:
    """Why the owner of this machine does not want an item to be done here, or ""."""
    most = loaded.max_megapixels
    if most is None or loaded.options.get("max_megapixels", 0) <= most:
        return ""
    size = loaded.job.largest_picture([item], loaded.options)
    return f"a picture of {size:.0f} megapixels; {most} are taken (CLUSTER_MAX_MEGAPIXELS)" if size > most else ""


def _do_tensors(loaded: Loaded, requests: Sequence[Request]) -> Iterator[Answered]:
    """Answer requests whose tensors have equal names, kinds and shapes of a row."""
    import numpy as np

    if loaded.job.infer is None:
        raise ValueError(f"the job {loaded.job.name} takes items, and no tensors")
    arrays, begin = {}, [0] * len(requests)
    for at, said in enumerate(requests[0].tensors):
        shapes = [request.tensors[at] for request in requests]
        if len(requests[0].tensors) == 1:
            data = b"".join([request.payload for request in requests])  # type: ignore[misc]
        else:
            ends = [start + shape.size_bytes for start, shape in zip(begin, shapes, strict=True)]
            cuts = zip(requests, begin, ends, strict=True)
            data = b"".join([request.payload[start:end] for request, start, end in cuts])  # type: ignore[index]
            begin = ends
        kind = np.dtype(said.dtype).newbyteorder("<")
        arrays[said.name] = np.frombuffer(data, kind).reshape(-1, *said.shape[1:])
    rows = [request.tensors[0].shape[0] for request in requests]
    given = loaded.job.infer(arrays, loaded.options["model"])
    columns = [_column(name, array, sum(rows)) for name, array in given.items()]
    at = 0
    for request, count in zip(requests, rows, strict=True):
        value = tuple(
            Tensor(said.name, said.dtype, (count, *said.shape[1:]), said.data[at * size : (at + count) * size])
            for said, size in columns
        )
        at += count
        yield request, Answer(request.id, OK, value, "", loaded.version)


def _column(name: str, array: Array, rows: int) -> tuple[Tensor, int]:
    """An output for all requests together, and the bytes of one row."""
    dtype = str(array.dtype)
    if dtype not in ITEM_BYTES or not array.ndim or len(array) != rows:
        raise TypeError(f"the model gives {name} of shape {array.shape} and dtype {dtype} for {rows} rows")
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return Tensor(name, dtype, array.shape, data), len(data) // rows


def _made_up(loaded: Loaded) -> Iterator[Request]:
    """Requests as somebody might send them, of each kind that the job can make up."""
    from cluster.services.messages import Shape

    about = {"gateway": "0" * 16, "deadline_ms": 1}
    if loaded.job.made_up:
        item: Item = loaded.job.made_up(loaded.options.get("model"))
        yield Request(0, kind="item", name=item.name, payload=item.data, **about)  # type: ignore[arg-type]
    if loaded.job.infer and loaded.job.infer_about:
        shapes = []
        for tensor in loaded.job.infer_about(loaded.options["model"]).inputs:
            if None in tensor.shape[1:]:
                return
            shapes.append(Shape(tensor.name, tensor.dtype, (1, *tensor.shape[1:])))
        size = sum(shape.size_bytes for shape in shapes)
        yield Request(0, kind="tensor", name="", payload=bytes(size), tensors=tuple(shapes), **about)  # type: ignore[arg-type]
