"""Names of pages and documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitters import page_names


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("scans/book.pdf#0017", ("scans/book.pdf", 17)),
        ("book.pdf#12345", ("book.pdf", 12345)),
        ("book.pdf", ("book.pdf", None)),
        ("a%23b.tif#0001", ("a%23b.tif", 1)),
        ("a\nb.pdf#0002", ("a\nb.pdf", 2)),
        ("book.pdf#017", ("book.pdf#017", None)),
        ("book.pdf#٠٠١٧", ("book.pdf#٠٠١٧", None)),
    ],
)
def test_an_item_name_tells_document_and_page(name: str, parsed: tuple[str, int | None]) -> None:
    assert page_names.parse(name) == parsed


@given(st.text("#%235a/\n"), st.integers(1, 20_000))
def test_any_path_and_page_come_back_from_a_name(path: str, number: int) -> None:
    document = page_names.document(path)
    assert "#" not in document
    assert page_names.path(document) == path
    assert page_names.parse(document) == (document, None)
    assert page_names.parse(page_names.page(document, number)) == (document, number)


def test_a_name_without_a_hash_stays_as_it_is() -> None:
    assert page_names.document("100%25 wool/20% off.pdf") == "100%25 wool/20% off.pdf"
