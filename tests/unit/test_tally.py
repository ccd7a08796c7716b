"""Counting words in columns of numbers, against a plain count; with numpy, and without."""

from __future__ import annotations

import importlib.util
import io
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregators import counts, slots, tally
from cluster import catalog
from tests.benchmarks import texts
from tests.kit.programs import ROOT

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="numpy is not installed")

WORDS = [
    b"a",
    b"b",
    b"the",
    b"eightlet",
    b"ninelette",
    b"x" * 16,
    b"x" * 17,
    b"x" * 32,
    b"x" * 33,
    b"nul\0",
    b"nul",
    b"\0",
]
SPACES = [b" ", b"\n", b"\r\n", b"\t", b"\x1c", b"\x1f", b"", "\x85".encode(), "\u2003".encode(), "\u3000".encode()]
PIECES = st.one_of(
    st.sampled_from([*WORDS, *SPACES, *texts.HARD, *map(str.encode, texts.FOREIGN), b"\xc2", b"\xe2\x80", b"\xe3"]),
    st.binary(max_size=4),
)


@pytest.fixture(params=["with numpy", "with numpy where parts are large", "without"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_has_numpy", lambda: request.param != "without")
    monkeypatch.setattr(counts, "FEW_BYTES", 20 if "large" in request.param else -1)
    monkeypatch.setattr(counts, "MUCH_BYTES", counts.FEW_BYTES)
    monkeypatch.setattr(counts, "MANY_WORDS", 3)


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Else no text of a test has more than one block."""
    before, tally.BLOCK_BYTES = tally.BLOCK_BYTES, 24
    yield
    tally.BLOCK_BYTES = before


def as_dict(found: tally.Tally) -> dict[str, int]:
    words = found.words.decode().split("\n")[:-1]
    assert len(set(words)) == len(words) == len(found.counts)
    return dict(zip(words, found.counts.tolist(), strict=True))


def added(tables: list[dict[str, int]]) -> dict[str, int]:
    return as_dict(tally.add(map(counts._opened, map(counts.of, tables))))


@settings(max_examples=60)
@given(st.lists(PIECES, max_size=60).map(b"".join))
def test_a_text_has_the_words_that_split_gives(data: bytes) -> None:
    assert as_dict(tally.of_text(data)) == Counter(data.decode(errors="replace").split())


def test_all_white_space_of_unicode_is_known() -> None:
    spaces = {chr(code) for code in range(0x110000) if chr(code).isspace()}
    assert spaces == {*tally.SPACE.decode(), *tally.WIDE_SPACE}


def test_a_long_text_has_the_words_that_split_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "BLOCK_BYTES", 5_000)
    chance = random.Random(7)
    data = b" ".join(texts.pick(chance, 40_000, 20_000))
    assert as_dict(tally.of_text(data)) == Counter(data.decode(errors="replace").split())


TABLES = st.lists(
    st.dictionaries(st.one_of(st.text("ab\0é \r", max_size=3), st.text("xy", min_size=30)), st.integers(1, 2**40))
)


@settings(max_examples=60)
@given(TABLES)
def test_parts_add_up_like_counters_whatever_words_hold_but_a_newline(tables: list[dict[str, int]]) -> None:
    total: Counter[str] = Counter()
    for table in tables:
        total.update(table)
    assert added(tables) == total


@pytest.mark.parametrize("space", [b"\r", b"\t", b" "])
def test_a_text_without_the_usual_spaces_is_cut_as_well(space: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "BLOCK_BYTES", 1000)
    text = space.join(b"%d" % number for number in range(100_000))
    blocks = list(tally._blocks(text, tally.SPACE))
    assert space.join(blocks) == text
    assert len(blocks) < 2 * len(text) / 1000


def test_words_without_a_slot_are_summed_up_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "BLOCK_BYTES", 2**20)
    monkeypatch.setattr(slots, "MIN_HELD_ROWS", 40_000)
    table = slots.Table(1)
    block = tally._of_text(b" ".join(b"%06d" % number for number in range(30_000)))
    for _ in range(60):
        table.add(tally._rows(block, 1))
        assert slots._number(table._held) <= 60_000
    summed, left = table.end()
    assert slots._number(left) == 0
    assert sum(rows.number for rows in summed) == 30_000
    assert {int(count) for rows in summed for count in rows.counts()} == {60}


@pytest.mark.parametrize("group_rows", [1, 100, 10_000])
def test_rows_divided_into_groups_are_summed_up_alike(group_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "BLOCK_BYTES", 3000)
    monkeypatch.setattr(slots, "GROUP_ROWS", group_rows)
    monkeypatch.setattr(slots, "BATCH_ROWS", 700)
    tables = [{f"{number}" * (1 + number % 9): 1 + number for number in range(most)} for most in (1_000, 3_000, 1)]
    assert added(tables) == sum(map(Counter, tables), Counter())
    ordered = tally.add_in_order(map(counts._opened, map(counts.of, tables)))
    assert Counter({w: c for one in ordered for w, c in as_dict(one).items()}) == added(tables)
    for one in ordered:
        assert all(one.counts[:-1] >= one.counts[1:])


def test_words_of_all_lengths_become_numbers_and_text_again(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [b"x" * length + b"\xc3\xbf" for length in range(slots.MAX_WIDTH * 8 - 1)]
    chance = random.Random(5)
    monkeypatch.setattr(tally, "BLOCK_BYTES", 3000)
    for _ in range(20):
        chance.shuffle(words)
        block = tally._of_text(b" ".join(words))
        widths = tally._widths(block)
        places = {width: (widths == width).nonzero()[0] for width in range(1, slots.MAX_WIDTH + 1)}
        written = b"".join(tally._rows(block.at(some), width).text() for width, some in places.items())
        assert sorted(written.split(b"\n")) == sorted([*words, b""])


def test_words_that_never_find_a_slot_are_counted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "MULTIPLIERS", [[0] * slots.MAX_WIDTH] * slots.ROUNDS)
    data = b" ".join(b"%d %d-of-many-numbers" % (number % 90, number % 70) for number in range(300))
    assert as_dict(tally.of_text(data)) == Counter(data.decode().split())


def test_large_counts_are_exact_and_too_large_ones_an_error(way: None) -> None:
    parts = [counts.of({"a": 2**62, "b": 1}), counts.of({"a": 2**61 - 5})]
    assert counts.to_dict(counts.add(parts)) == {"a": 2**62 + 2**61 - 5, "b": 1}
    with pytest.raises(OverflowError):
        counts.add([*parts, counts.of({"a": 2**63 + 2**62})])


@pytest.mark.parametrize(
    "part",
    [
        {"words": b"a\nb", "counts": b"\1" + bytes(7)},
        {"words": b"", "counts": bytes(16)},
        {"words": b"a", "counts": b"\1"},
    ],
)
def test_a_part_with_columns_of_different_length_is_refused(way: None, part: Any) -> None:
    with pytest.raises(ValueError, match=r"a part of|multiple of item size"):
        counts.add([counts.of({"c": 1}), part])


def test_parts_of_nodes_with_and_without_numpy_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    data, parts = "naïve café\n言葉 café\n".encode(), []
    for has in (True, False):
        monkeypatch.setattr(counts, "_has_numpy", lambda has=has: has)
        parts.append(counts.of_text(data))
    for has in (True, False):
        monkeypatch.setattr(counts, "_has_numpy", lambda has=has: has)
        assert counts.to_dict(counts.add(parts)) == {"café": 4, "naïve": 2, "言葉": 2}


def write(parts: list[counts.Counts], **options: Any) -> bytes:
    out = io.BytesIO()
    catalog.WORDCOUNT.writer("json", {"top": None, "chunk_size": 9, **options}).write(parts, out)
    return out.getvalue()


@pytest.mark.parametrize("make", [dict, lambda: {'a"\\\x01\x08\x1f\x7f\u2028': 3, "é": 10, "z": 3, "y": 1}])
def test_json_has_all_words_the_most_frequent_first(way: None, make: Callable[[], dict[str, int]]) -> None:
    table = make()
    written = write([counts.of(table), counts.of(table)])
    assert written.endswith(b"\n")
    found = json.loads(written)
    assert found == {word: 2 * count for word, count in table.items()}
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_json_has_only_the_top_words_if_so_ordered(way: None) -> None:
    assert write([counts.of({"b": 2, "a": 2, "c": 9})], top=2) == b'{\n  "c": 9,\n  "a": 2\n}\n'


def test_few_words_are_counted_and_written_without_importing_numpy() -> None:
    program = """
import io, sys
from aggregators import counts
parts = [counts.of_text(b"some words of a letter"), counts.of({f"word-{number}": 1 for number in range(9000)})]
for part in parts:
    counts.check(part)
counts.write_json(parts, io.BytesIO())
counts.write_json(parts, io.BytesIO(), top=3)
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
