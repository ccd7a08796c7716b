"""The record of a page that was read: what is taken from other people's machines, and how parts are joined."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from aggregators import readings

RECORD: dict[str, Any] = {
    "text": "a b\n", "confidence": 90, "seconds": 1.5, "node": "pc1", "digest": "0123456789abcdef",
    "source": "pdf", "turn": 180, "page": [100, 200, 300],
    "lines": [[1, 1, 0.01, -2.0, [["a", 0, 0, 10, 12, 90], ["b", 20, 0, 100, 200, 80]]]],
}  # fmt: skip


def test_a_record_as_a_node_gives_it_passes() -> None:
    bare = {key: RECORD[key] for key in ("text", "confidence", "seconds", "node", "digest")}
    readings.check({"a.png": RECORD, "b.png": bare}, {"a.png", "b.png"})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"text": b"a"}, "b'a' as its text"),
        ({"text": "a\0"}, "control characters"),
        ({"confidence": 101}, "101 as its confidence"),
        ({"confidence": True}, "True as its confidence"),
        ({"confidence": 9.5}, "9.5 as its confidence"),
        ({"seconds": math.nan}, "nan as its seconds"),
        ({"seconds": math.inf}, "inf as its seconds"),
        ({"seconds": -1.0}, "-1.0 as its seconds"),
        ({"node": "pc\n"}, "as its node"),
        ({"digest": "0123456789ABCDEF"}, "16 hex digits"),
        ({"source": "psychic"}, "'psychic' as its source"),
        ({"turn": 45}, "45 as its turn"),
        ({"turn": [90]}, "[90] as its turn"),
        ({"colour": "red"}, "'colour', which no record has"),
        ({"page": [100, 200]}, "as its page"),
        ({"page": [100, 0, 300]}, "as its page"),
        ({"page": [100, 200, 2**40]}, "as its page"),
        ({"lines": "a b"}, "'a b' as its lines"),
        ({"lines": [[1, 1, 0.0, 0.0, []]]}, "as a line"),
        ({"lines": [[1, 1, math.nan, 0.0, [["a", 0, 0, 1, 1, 9]]]]}, "as a line"),
        ({"lines": [[1, 1, 0.0, 0.0, [["a", 0, 0, 101, 1, 9]]]]}, "as a word"),
        ({"lines": [[1, 1, 0.0, 0.0, [["a", 9, 0, 8, 1, 9]]]]}, "as a word"),
        ({"lines": [[1, 1, 0.0, 0.0, [["a", 0, 0, 1.0, 1, 9]]]]}, "as a word"),
        ({"lines": [[1, 1, 0.0, 0.0, [["", 0, 0, 1, 1, 9]]]]}, "as a word"),
        ({"lines": [[1, 1, 0.0, 0.0, [["a\n", 0, 0, 1, 1, 9]]]]}, "as a word"),
        ({"lines": [[1, 1, 0.0, 0.0, [["a", 0, 0, 1, 1, 9]] * (readings.MOST_WORDS + 1)]]}, "more than 200000 words"),
    ],
)
def test_a_record_that_no_page_has_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=r"its record of 'a\.png' has") as refused:
        readings.check({"a.png": {**RECORD, **change}})
    assert told in str(refused.value)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("key", ["text", "confidence", "seconds", "node", "digest"])
def test_a_record_without_what_each_has_is_refused(key: str) -> None:
    record = {name: value for name, value in RECORD.items() if name != key}
    with pytest.raises(ValueError, match=f"has None as its {key}"):
        readings.check({"a.png": record})


def test_words_without_their_page_are_refused() -> None:
    record = {name: value for name, value in RECORD.items() if name != "page"}
    with pytest.raises(ValueError, match="belong together"):
        readings.check({"a.png": record})


@pytest.mark.parametrize("part", [["a.png"], {"b.png": RECORD}, {"a.png": None}, {"a.png": "text"}])
def test_a_part_that_no_node_gives_is_refused(part: Any) -> None:
    with pytest.raises(ValueError, match=r"maps no items|none of its items|its record of 'a\.png' is a"):
        readings.check(part, {"a.png"})


def test_a_failed_page_gives_way_to_what_was_read_of_it() -> None:
    record: Any = copy.deepcopy(RECORD)
    missing = readings.absent(["a.png", "b.png"])
    expected = {"a.png": record, "b.png": None}
    assert readings.join([{"a.png": record}, missing]) == readings.join([missing, {"a.png": record}]) == expected


def test_two_parts_of_one_page_join_only_if_equal() -> None:
    first: Any = {"a.png": RECORD}
    assert readings.join([first, copy.deepcopy(first)]) == first
    other: Any = {"a.png": {**RECORD, "text": "c"}}
    with pytest.raises(ValueError, match=r"another record for 'a\.png'"):
        readings.join([first, other])


def test_the_result_is_texts_or_with_words_records() -> None:
    joined: Any = {"a.png": RECORD, "b.png": None}
    assert readings.texts(joined) == {"a.png": "a b\n"}
    assert readings.texts(joined, words=True) == {"a.png": RECORD}
