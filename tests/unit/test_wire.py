"""What travels between machines."""

from __future__ import annotations

from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cluster import wire
from cluster.wire import AggregateMessage, ChunkEntry, MapMessage, ShardEntry, TurnEntry, View

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 99), inner),
)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert wire.unpack(wire.pack(value)) == value


def test_long_values_are_compressed() -> None:
    assert len(wire.pack("word " * 10_000)) < 1_000


@pytest.mark.parametrize("value", [object(), {1, 2}, 2**80, [1, lambda: 0]])
def test_what_cannot_travel_is_refused(value: Any) -> None:
    with pytest.raises(wire.BadMessage, match="cannot be packed"):
        wire.pack(value)


def test_a_value_over_the_limit_is_refused_on_both_sides() -> None:
    packed = wire.pack("x" * 10_000)
    with pytest.raises(wire.BadMessage, match="the limit is 5,000"):
        wire.pack("x" * 10_000, max_bytes=5_000)
    with pytest.raises(wire.BadMessage, match="the limit is 5,000"):
        wire.unpack(packed, max_bytes=5_000)


NESTED = b"\x91" * 1000 + b"\xdd" + (2**15).to_bytes(4, "big") + b"\x80" * 2**15


@pytest.mark.parametrize(
    "body",
    [
        b"\xdd" + (2**17).to_bytes(4, "big") + b"\xc0" * 2**17,
        b"\xdf" + (2**17).to_bytes(4, "big") + b"\x01\x80" * 2**17,
        b"\x9f" + NESTED * 15,
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
    ],
)
def test_values_of_too_many_elements_are_refused(body: bytes) -> None:
    with pytest.raises(wire.BadMessage):
        wire.unpack(b"\0" + body, max_bytes=2**20)


def test_a_value_that_readers_would_refuse_is_not_sent() -> None:
    assert len(wire.unpack(wire.pack([0] * 60_000, 2**20), 2**20)) == 60_000
    with pytest.raises(wire.BadMessage, match="max_array_len"):
        wire.pack([0] * 70_000, 2**20)
    with pytest.raises(wire.BadMessage, match="more than 65,536 elements"):
        wire.pack([[0] * 1000] * 70, 2**20)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\7nonsense",
        b"\0\xc1",
        b"\0\x92\x01",
        b"\1not zstd",
        b"\1" + zstandard.ZstdCompressor().compress(b"\x93"),
        b"\1" + zstandard.ZstdCompressor(write_content_size=False).compress(b"\xc0"),
    ],
)
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(wire.BadMessage):
        wire.unpack(data)


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        {"run": "ocr-1"},
        {"run": "ocr-1", "chunks": [-1]},
        {"run": "ocr-1", "chunks": ["0"]},
        {"run": "ocr-1", "chunks": [2**40]},
        {"run": "ocr-1", "chunks": []},
        {"run": "ocr-1", "chunks": list(range(65))},
        {"run": "ocr-1", "chunks": [5, 5]},
        {"run": "../../etc", "chunks": [0]},
        {"run": "ocr-1", "chunks": [0], "more": 1},
    ],
)
def test_a_message_of_another_shape_is_refused(message: Any) -> None:
    with pytest.raises(ValidationError):
        MapMessage.model_validate(message)


def test_messages_come_back_as_they_were() -> None:
    for message in (MapMessage(run="ocr-1", chunks=[3, 4]), AggregateMessage(run="ocr-1", level=0, number=1)):
        assert type(message).model_validate(message.model_dump()) == message


def test_a_chunk_entry_comes_back_as_it_was() -> None:
    entry = ChunkEntry(names=["a", "ü"], refs=[("0" * 64, 3), ("1" * 64, 4)], last=[True, False], batch=2)
    for kept in (entry, entry.model_copy(update={"data": [b"\xff\0", b""]})):
        assert ChunkEntry.unpack(kept.pack()) == kept
    assert (entry.items, entry.size_bytes) == (1, 7)


@pytest.mark.parametrize("value", [None, [], [["a"], [["0", "many"]], [True], 0]])
def test_a_damaged_chunk_entry_is_refused(value: Any) -> None:
    with pytest.raises(wire.BadMessage):
        ChunkEntry.unpack(wire.pack(value))


@pytest.mark.parametrize("odd", ["[" * 900 + "]" * 900, "7", "null", '{"a": 1}'])
def test_an_id_that_is_no_text_is_none(odd: str) -> None:
    assert wire.task_id(f'{{"headers": {{"id": {odd}}}}}'.encode()) == ""
    assert wire.task_id(b'{"headers": {"id": "measure-1.0"}}') == "measure-1.0"


@pytest.mark.parametrize("message", [b"", b"{}", b"[]", b"[1]", b'{"headers": 3}', b"\xff", b"null"])
def test_a_message_that_cannot_be_read_has_no_id(message: bytes) -> None:
    assert wire.task_id(message) == ""


def test_the_id_of_a_message_in_a_queue_and_of_one_that_is_held() -> None:
    message = b'{"headers": {"id": "ocr-1.17"}}'
    assert wire.task_id(message) == wire.task_id(b"[" + message + b', "", "cluster2.ocr"]') == "ocr-1.17"


TURN = TurnEntry(
    round=3,
    shard=1,
    shards=4,
    kind="train",
    seconds=1.5,
    base="b",
    views=[View(2, True, "0" * 64, 9), View(3, False, "1" * 64, 4)],
)
SHARD = ShardEntry(names=["a", "b"], refs=[("0" * 64, 3), ("1" * 64, 4)])


def test_a_turn_comes_back_with_the_entry_of_its_chunk() -> None:
    entry = ChunkEntry(names=["3:1"], refs=[], last=[False], batch=3, turn=TURN)
    assert ChunkEntry.unpack(entry.pack()) == entry
    assert ChunkEntry.unpack(entry.pack()).turn == TURN


def test_an_entry_without_a_turn_is_packed_as_it_was_before_turns() -> None:
    entry = ChunkEntry(names=["a"], refs=[("0" * 64, 3)], last=[True], batch=2)
    assert wire.unpack(entry.pack()) == [["a"], [["0" * 64, 3]], [True], 2, None, wire.LEAST_PART_BYTES]


@pytest.mark.parametrize(
    "wrong",
    [
        {"round": -1}, {"round": "3"}, {"shard": 4}, {"shards": 0}, {"seconds": -1.0}, {"seconds": float("nan")},
        {"seconds": float("inf")}, {"kind": None}, {"base": None}, {"more": 1}, {"views": []},
        {"views": [[2, False, "0" * 64, 9]]}, {"views": [[2, True, "0" * 63, 9]]}, {"views": [[2, True, "0" * 64, -1]]},
        {"views": [[2, 1, "0" * 64, 9]]}, {"views": [["2", True, "0" * 64, 9]]}, {"views": [[2, True, "0" * 64, 9, 0]]},
        {"views": [[2, True, "0" * 64, 9], [2, False, "0" * 64, 9]]},
    ],
)  # fmt: skip
def test_a_turn_of_another_shape_is_refused(wrong: dict[str, Any]) -> None:
    given = [["a"], [], [False], 3, None, 1, {**TURN.model_dump(), **wrong}]
    with pytest.raises(wire.BadMessage, match="what the ledger holds of this chunk cannot be read"):
        ChunkEntry.unpack(wire.pack(given))
    given[-1] = TURN.model_dump()
    assert ChunkEntry.unpack(wire.pack(given)).turn == TURN


def test_an_entry_with_two_turns_is_refused() -> None:
    turn = TURN.model_dump()
    with pytest.raises(wire.BadMessage):
        ChunkEntry.unpack(wire.pack([["a"], [], [False], 3, None, 1, turn, turn]))


def test_a_shard_comes_back_with_its_bytes_or_their_addresses() -> None:
    for kept in (SHARD, SHARD.model_copy(update={"data": [b"\xff\0a", b"four"]})):
        assert ShardEntry.unpack(kept.pack()) == kept
    assert SHARD.size_bytes == 7


@pytest.mark.parametrize(
    "given",
    [
        b"", [], [["a"], [["0" * 64, 3]]], [["a"], [["0" * 64, 3]], None, 1], [["a", "b"], [["0" * 64, 3]], None],
        [["a"], [["0" * 64, 3]], []], [["a"], [["0", 3]], None], [["a"], [["0" * 64, -3]], None],
        [[1], [["0" * 64, 3]], None],
    ],
)  # fmt: skip
def test_a_shard_of_another_shape_is_refused(given: Any) -> None:
    with pytest.raises(wire.BadMessage):
        ShardEntry.unpack(given if isinstance(given, bytes) else wire.pack(given))
