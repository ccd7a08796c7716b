"""A batch of requests by a job's functions: each gets its own answer, whatever happens to the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from aggregators import by_name
from cluster.job import Job
from cluster.services import messages
from cluster.services.messages import Answer, Request, Shape
from cluster.worker import batches
from cluster.worker.batches import Loaded
from splitters import Chunk, Item
from tasks import Part, Tensor, Tensors, pictures
from tests.kit.jobs import cluster_testjobs

GATEWAY = "0123456789abcdef"
calls: list[int] = []


def task(chunk: Chunk) -> Part[dict[str, Any]]:
    """Give each item's length; the bytes of some make it misbehave."""
    calls.append(len(chunk))
    if any(item.data == b"raise" for item in chunk):
        raise RuntimeError("asked to raise")
    none = (b"nothing", b"refuse")
    given = {item.name: {1, 2} if item.data == b"odd" else len(item.data) for item in chunk if item.data not in none}
    return Part(given, {item.name: "asked to refuse" for item in chunk if item.data in (b"refuse", b"half")})


def infer(arrays: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Give the sum of each row of x, and y doubled."""
    calls.append(len(arrays["x"]))
    if (arrays["x"] < 0).any():
        raise ValueError("x must not be negative")
    rows = arrays["x"].sum(axis=1, keepdims=True)
    return {"sum": rows[:1] if model == "short" else rows, "twice": arrays["y"] * 2}


JOB = Job(
    name="lengths", about="measure", split=cluster_testjobs.split, task=task, aggregate=by_name.join, serves=True,
    infer=infer, made_up=lambda model: Item("made up", b"four"),
    infer_about=lambda model: Tensors((Tensor("x", "float32", (None, 2)), Tensor("y", "int64", (None,))), ()),
)  # fmt: skip
LOADED = Loaded(JOB, {"model": "here"}, 3)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


def items(*datas: bytes, name: str = "it") -> list[Request]:
    return [Request(at, GATEWAY, 1, "item", name, data) for at, data in enumerate(datas)]


def tensors(*rows: int, value: float = 1.0) -> list[Request]:
    np = pytest.importorskip("numpy")
    found = []
    for at, count in enumerate(rows):
        x, y = np.full((count, 2), value + at, np.float32), np.arange(count, dtype=np.int64)
        shapes = (Shape("x", "float32", (count, 2)), Shape("y", "int64", (count,)))
        found.append(Request(at, GATEWAY, 1, "tensor", "", x.tobytes() + y.tobytes(), shapes))
    return found


def answered(requests: list[Request], loaded: Loaded = LOADED) -> list[Answer]:
    done = batches.answer(loaded, requests)
    assert all(request.id == answer.id for request, answer in done)
    return [answer for _, answer in sorted(done, key=lambda pair: pair[0].id)]


def test_items_of_one_name_are_one_call_and_get_their_own_answers() -> None:
    assert [answer.value for answer in answered(items(b"1", b"22", b"333"))] == [b"1", b"2", b"3"]
    assert calls == [3]


def test_an_item_that_raises_is_named_alone() -> None:
    one, bad, three, refused = answered(items(b"1", b"raise", b"333", b"refuse"))
    assert (one.value, three.value, refused.status) == (b"1", b"3", messages.UNREADABLE)
    assert (bad.status, bad.problem) == (messages.FAILED, "RuntimeError: asked to raise")


def test_an_item_that_is_done_in_part_has_its_value() -> None:
    [answer] = answered(items(b"half"))
    assert (answer.ok, answer.value) == (True, b"4")


def test_a_job_may_answer_less_than_its_parts_hold() -> None:
    shouting = dataclasses.replace(JOB, answer=lambda value, *, model: f"{model}: {value}")
    [told] = answered(items(b"four"), LOADED._replace(job=shouting))
    [plain] = answered(items(b"four"))
    assert (told.value, plain.value) == (b'"here: 4"', b"4")


def test_values_that_are_no_json_and_missing_ones_fail_alone() -> None:
    odd, good, nothing = answered(items(b"odd", b"22", b"nothing"))
    assert (odd.status, good.value, nothing.status) == (messages.FAILED, b"2", messages.FAILED)
    assert "gave nothing" in nothing.problem


def test_a_picture_over_the_limit_of_the_machine_is_refused() -> None:
    job = Job(
        name="seen", about="see", split=cluster_testjobs.split, task=task, aggregate=by_name.join,
        megapixels=lambda data: [100.0] if data == b"large" else [1.0],
    )  # fmt: skip
    loaded = Loaded(job, {"max_megapixels": 178}, None, max_megapixels=64)
    large, small = answered(items(b"large", b"small"), loaded)
    assert (large.status, small.value) == (messages.UNREADABLE, b"5")
    assert "CLUSTER_MAX_MEGAPIXELS" in large.problem


def test_tensors_of_one_form_are_one_call() -> None:
    np = pytest.importorskip("numpy")
    for answer, count in zip(answered(tensors(1, 3, 2)), (1, 3, 2), strict=True):
        total, twice = answer.value
        assert isinstance(total, messages.Tensor)
        assert isinstance(twice, messages.Tensor)
        assert (total.name, total.shape, twice.shape) == ("sum", (count, 1), (count,))
        assert np.frombuffer(total.data, np.float32).tolist() == [2.0 * (1 + answer.id)] * count
        assert np.frombuffer(twice.data, np.int64).tolist() == [2 * row for row in range(count)]
    assert calls == [6]


def test_tensors_that_the_model_refuses_are_refused_alone() -> None:
    bad, good = answered(tensors(1, 1, value=-1.0))
    assert (bad.status, bad.problem) == (messages.UNREADABLE, "x must not be negative")
    assert good.ok


def test_a_model_that_gives_too_few_rows_fails() -> None:
    [answer] = answered(tensors(2), Loaded(JOB, {"model": "short"}))
    assert (answer.status, "for 2 rows" in answer.problem) == (messages.FAILED, True)


def test_tensors_for_a_job_without_infer_are_refused() -> None:
    plain = Job(name="plain", about="it", split=cluster_testjobs.split, task=task, aggregate=by_name.join)
    [answer] = answered(tensors(1), Loaded(plain, {}))
    assert (answer.status, "takes items" in answer.problem) == (messages.UNREADABLE, True)


def test_a_version_is_warm_once_one_kind_of_request_works() -> None:
    assert batches.warm_up(LOADED) is not None
    assert calls == [1, 1, 1, 1]

    def broken(chunk: Chunk) -> Part[Any]:
        raise RuntimeError("no picture for this model")

    job = Job(
        name="broken", about="it", split=cluster_testjobs.split, task=broken, aggregate=by_name.join,
        made_up=pictures.made_up,
    )  # fmt: skip
    with pytest.raises(ValueError, match="no picture for this model"):
        batches.warm_up(Loaded(job, {}))
    plain = Job(name="plain", about="it", split=cluster_testjobs.split, task=task, aggregate=by_name.join)
    assert batches.warm_up(Loaded(plain, {})) is None
