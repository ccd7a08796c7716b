"""Which pages are wanted."""

from __future__ import annotations

import pytest

from splitters import page_ranges


@pytest.mark.parametrize(
    ("text", "number", "wanted"),
    [
        (None, 3, [1, 2, 3]),
        ("2", 3, [2]),
        ("1-40,90-", 100, [*range(1, 41), *range(90, 101)]),
        (" 3 , 1-2, 2-3 ", 9, [1, 2, 3]),
        ("5-", 4, []),
        ("1-999999999", 2, [1, 2]),
    ],
)
def test_pages_are_given_in_order_and_once(text: str | None, number: int, wanted: list[int]) -> None:
    assert list(page_ranges.of(page_ranges.parse(text), number)) == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it must be numbers and ranges of pages"),
        ("1,,2", "it must be numbers and ranges of pages"),
        ("-5", "it must be numbers and ranges of pages"),
        ("a-b", "it must be numbers and ranges of pages"),
        ("٣", "it must be numbers and ranges of pages"),
        ("0-3", "with page 0"),
        ("40-1", "the range 40-1 ends before it begins"),
    ],
)
def test_a_range_that_makes_no_sense_is_named(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        page_ranges.parse(text)
    assert repr(text) in str(refused.value)
