"""What gateways and replicas send each other: it comes back as sent, and nothing else is taken for it."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.services import messages
from cluster.services.messages import Answer, Request, Shape, Tensor
from cluster.wire import BadMessage

GATEWAY = "0123456789abcdef"
ITEM = Request(7, GATEWAY, 1_700_000_000_000, "item", "a.png", b"bytes")
TENSOR = Request(
    8, GATEWAY, 1_700_000_000_000, "tensor", "", bytes(26), (Shape("x", "float32", (2, 3)), Shape("y", "bool", (2,)))
)
LARGE = Request(9, GATEWAY, 1_700_000_000_000, "item", "b.png", bytes(300_000))
SHAPES: list[Any] = [[], None, "x", [["x"]], [["x", "float32", [2, 3]]], [["x", "uint8", [2, 13]]] * 2, [7], [[]], {}]
ANSWERS = [
    Answer(7, messages.OK, b'"text"', "", 3),
    Answer(8, messages.OK, (Tensor("p", "float32", (2, 1), bytes(8)),), "", 3),
    Answer(9, messages.UNREADABLE, b"", "it is no picture", 3),
]


@pytest.mark.parametrize("request_", [ITEM, TENSOR, LARGE.referring()], ids=["item", "tensor", "referring"])
def test_a_request_comes_back_as_it_was_sent(request_: Request) -> None:
    assert Request.unpack(request_.pack()) == request_


def test_a_large_payload_is_named_with_its_size() -> None:
    referring = LARGE.referring()
    assert (referring.payload, referring.size_bytes) == (300_000, 300_000)
    assert referring.payload_key == LARGE.payload_key


def test_answers_of_a_batch_come_back_together() -> None:
    assert messages.unpack_answers(messages.pack_answers(3, ANSWERS)) == ANSWERS
    assert messages.unpack_answers(messages.pack_answers(None, [])) == []
    assert [answer.ok for answer in ANSWERS] == [True, True, False]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (0, [-1, 2**63, "7", 1.0, None, True]),
        (1, ["", "0123456789abcdeg", GATEWAY + "0", 5, None, b"0123456789abcdef"]),
        (2, [0, -1, 2**53, "1", None, 1.5, True]),
        (3, ["rows", "", None, 1, [], {}]),
        (4, [None, 1, "n" * 4097, b"x"]),
        (5, [None, "text", -1, 64 * 2**20 + 1, [], 1.0, True, bytes(25)]),
        (6, [None, "x", [], [["x", "float32", [2, 3]]], b"", b"\xc1", b"x" * 20_000, *map(msgpack.packb, SHAPES)]),
    ],
)  # fmt: skip
def test_a_request_with_a_wrong_field_is_refused(field: int, values: list[Any]) -> None:
    for value in values:
        row = msgpack.unpackb(TENSOR.pack())
        row[field] = value
        with pytest.raises(BadMessage):
            Request.unpack(msgpack.packb(row))


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("float31", [26]), ("", [26]), (None, [26]), (4, [26]), ("object", [26]), ([], [26]), ("<f4", [26]),
        ("uint8", []), ("uint8", [25]), ("uint8", [26, *[1] * 8]), ("int8", [-2, -13]), ("int8", [0, 26]),
        ("int8", [26.0]), ("int8", ["26"]), ("int8", None), ("int8", 26), ("int8", [2**31, 26]), ("int8", [True, 26]),
    ],
)  # fmt: skip
def test_a_shape_that_lies_about_its_bytes_is_refused(dtype: Any, shape: Any) -> None:
    with pytest.raises(BadMessage):
        Request.unpack(msgpack.packb([*TENSOR[:6], msgpack.packb([["x", dtype, shape]])]))
    with pytest.raises(BadMessage):
        messages.unpack_answers(msgpack.packb([3, [[7, 200, [["x", dtype, shape, bytes(26)]]]], 0]))


def test_tensors_of_a_request_have_as_many_rows_and_own_names() -> None:
    for tensors in ([["x", "int8", [2, 5]], ["y", "int8", [4, 4]]], [["x", "int8", [13]], ["x", "int8", [13]]]):
        with pytest.raises(BadMessage, match="as many rows"):
            Request.unpack(msgpack.packb([*TENSOR[:6], msgpack.packb(tensors)]))


def test_an_item_has_no_tensors_and_messages_a_limit() -> None:
    with pytest.raises(BadMessage, match="no tensors"):
        Request.unpack(ITEM._replace(tensors=(Shape("x", "uint8", (5,)),)).pack())
    with pytest.raises(BadMessage, match="limit"):
        Request.unpack(LARGE._replace(payload=bytes(messages.MAX_MESSAGE_BYTES)).pack())


@pytest.mark.parametrize(
    "row",
    [
        [3, [[7, 200]]], [3, [[7, 200, None]]], [3, [[7, 201, b""]]], [3, [[7, True, b""]]], [3, [["7", 200, b""]]],
        [3, [[7, [], b""]]],
        [3, [[-7, 200, b""]]], [3, [[7, 422, b"bytes"]]], [3, [[7, 422, "x" * 2001]]], [3, [[7, 200, []]]],
        [3, [[7, 200, [["p", "float32", [2, 1], bytes(7)]]]]], [3, [[7, 200, [["p", "float32", [2, 1]]]]]],
        [3, [[7, 200, [[1, "float32", [2, 1], bytes(8)]]]]], [3, [[7, 200, [["p"] * 4] * 65]]], [0, []], ["3", []],
        [3, {}], [3], [3, [7]], 7, None, {},
    ],
)  # fmt: skip
def test_answers_of_another_form_are_refused(row: Any) -> None:
    with pytest.raises(BadMessage):
        messages.unpack_answers(msgpack.packb([*row, 0] if isinstance(row, list) else row))


@pytest.mark.parametrize("row", [[3, []], [3, [], -1], [3, [], "1"], [3, [], True], [3, [], 2**60], [3, [], 0, 0]])
def test_a_batch_says_how_long_it_took(row: Any) -> None:
    assert messages.unpack_batch(messages.pack_answers(3, ANSWERS, 1500)) == (ANSWERS, 1500)
    with pytest.raises(BadMessage):
        messages.unpack_batch(msgpack.packb(row))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_are_refused(data: bytes) -> None:
    for read in (Request.unpack, messages.unpack_answers):
        with contextlib.suppress(BadMessage):
            read(data)


def test_deeply_nested_bytes_are_refused() -> None:
    for read in (Request.unpack, messages.unpack_answers):
        with pytest.raises(BadMessage):
            read(b"\x91" * 5000)


def test_answers_of_a_batch_that_are_too_many_bytes_go_in_several_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_ANSWER_BYTES", 100)
    small, tensor = (
        Answer(1, messages.OK, bytes(60)),
        Answer(2, messages.OK, (Tensor("y", "uint8", (1, 60), bytes(60)),)),
    )
    found = messages.pack_all(
        3, [small, tensor, Answer(3, messages.OK, bytes(101)), Answer(4, messages.OK, bytes(9))], 7
    )
    read = [messages.unpack_batch(one) for one in found]
    assert [took_us for _, took_us in read] == [7, 7]
    first, second, large, last = [answer for answers, _ in read for answer in answers]
    assert (first.value, second.value, last.value) == (small.value, tensor.value, bytes(9))
    assert (large.id, large.status) == (3, 500)
    assert large.problem == "the answer has 101 bytes; the limit is 100: ask for fewer rows at a time"
    assert len(messages.pack_all(None, [])) == 1
