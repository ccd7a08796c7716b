"""How many pages of a document a run has read."""

from __future__ import annotations

from cluster.client.pages import Pages
from splitters import Item


def page(name: str, *, last: bool = True) -> Item:
    return Item(name, b"", last=last)


def test_the_pages_of_a_document_are_known_when_the_next_one_begins() -> None:
    pages = Pages()
    pages.add([page("a.pdf#0001"), page("a.pdf#0002")])
    assert pages.of("a.pdf") is None
    pages.add([page("a.pdf#0003"), page("b.png")])
    assert (pages.of("a.pdf"), pages.of("b.png")) == (3, None)
    pages.add([page("c.pdf#0001")])
    pages.end()
    assert pages.of("c.pdf") == 1
    pages.clear()
    assert pages.of("a.pdf") is None
