"""Plain CSV text is read column by column into what the module csv and Python's float give."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy")

from splitters.rows import csv_text, plain_csv  # noqa: E402 - needs NumPy
from splitters.tables import values  # noqa: E402

ODD = (
    "", "", "0", "-0", "-0.0", ".5", "5.", "007", "1e5", "1E-3", "+3", " 4", "4 ", "nan", "0.1", "123456789012345",
    "1234567890123456", "0.123456789012345", "9007199254740993", "inf", "-", ".", "-.", "1-", "1.2.3", "1_0", "nan(1)",
    "x", "NA", "1,5", "\u0661",
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.decimals(-1000, 1000, places=3).map(str),
    st.floats(allow_infinity=False).map(repr),
    st.sampled_from(ODD),
)
TEXTS = st.sampled_from(["", "red", " a b ", "é", "7", "-", "NA", "x'y"])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(NUMBERS, TEXTS, NUMBERS), min_size=1, max_size=8),
    st.sampled_from(["\n", "\r\n"]), st.booleans(),
)  # fmt: skip
def test_it_gives_what_csv_and_float_give_or_nothing(
    rows: Sequence[tuple[str, str, str]], line_end: str, has_end: bool
) -> None:  # fmt: skip
    data = line_end.join(";".join(row) for row in rows).encode() + (line_end.encode() if has_end else b"")
    read = plain_csv.read(data, ";", 3, [0, 2], [1])
    expected, problems = csv_text.rows(data, ";", 3)
    if read is None:
        return
    number, columns = read
    assert (number, problems) == (len(expected), {})
    assert columns[1] == [row[1] for row in expected]
    for at in (0, 2):
        numbers, is_text = values.numbers([row[at] for row in expected])
        assert not is_text.any()
        assert np.array_equal(columns[at], numbers, equal_nan=True)


@pytest.mark.parametrize("number", ["7", "-0.25", "", ".5", "5.", "0.1", "123456789012345", "1e5", "2.5e-3", " 4"])
def test_plain_numbers_are_read_here(number: str) -> None:
    read = plain_csv.read(f"{number},a\n1,b\n".encode(), ",", 2, [0], [])
    assert read is not None
    expected = [float(number) if number else np.nan, 1]
    assert np.array_equal(np.asarray(read[1][0]), expected, equal_nan=True)


@pytest.mark.parametrize(
    "text",
    ["x,1\n", "1,2,3\n", "1\n", "1,2\n\n3,4\n", '"1",2\n', "1\r2,3\n", "1_0,2\n", "nan(1),2\n", "1,2\n3\n4,5,6\n"],
)
def test_what_only_the_module_csv_can_tell_is_left_to_it(text: str) -> None:
    assert plain_csv.read(text.encode(), ",", 2, [0], []) is None


def test_texts_that_are_no_text_in_utf8_are_left_to_the_module_csv() -> None:
    assert plain_csv.read(b"1,\xff\n", ",", 2, [0], [1]) is None
    assert plain_csv.read(b"1,\xff\n", ",", 2, [0], []) is not None


@pytest.mark.parametrize("data", [b"\n1\n2\n", b"\r\n1\r\n2\r\n", b"1\n\n2\n", b"1\n2\n\n"])
def test_blank_lines_of_one_column_are_no_rows(data: bytes) -> None:
    read = plain_csv.read(data, ",", 1, [0], [])
    assert read is None  # the module csv reads it
    assert len(csv_text.rows(data, ",", 1)[0]) == 2
