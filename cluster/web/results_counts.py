"""Words that a run has counted, as a table with a filter and bars of the most frequent ones."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from aggregators import counts
from cluster.client.run import Run, Status
from cluster.web.kept import Kept
from cluster.web.routes import Asked
from cluster.web.stop_words import STOP_WORDS

if TYPE_CHECKING:
    from cluster.web.results import Query

MOST_WORDS = 100_000
"""Words of a run that the page knows, the most frequent ones: 15 MB of memory."""
BARS = 30
MOST_ROWS = 100
"""Of a page of the table."""
NO_STOP_WORDS = "no-stop-words"
"""``show`` of the query, to leave out such words as "the" and "und"."""
EDGES = ".,;:!?()[]{}\"'`*_-–—…«»„“”‚‘’/\\|"
"""Signs around a word that do not keep it from being a stop word."""
_kept: Kept[Words] = Kept(3)


class Words(NamedTuple):
    """The words of a run, the most frequent first, of equal ones in the order of their characters."""

    rows: list[tuple[str, int]]
    distinct: int
    """All of them, also those that are not in ``rows``."""
    total: int
    """How often any word was met."""


class WordRow(BaseModel):
    """A word."""

    rank: int
    word: str
    times: int
    share: float
    """Of all words that were met."""
    length: float
    """Of its bar: 1 of the longest."""


class WordCounts(BaseModel):
    """The words that a run has counted."""

    without_stop_words: bool
    after: int
    """Words that are passed over before ``rows``."""
    most: int
    """Words that ``rows`` has at most."""
    distinct: int
    """Different words in the run."""
    total: int
    """Words in the run."""
    matching: int
    """Different words that are looked for: with ``q`` in them, in capitals or not."""
    is_cut: bool
    """Rarer words than ``MOST_WORDS`` are in downloads alone."""
    top: list[WordRow]
    """The most frequent ones, for bars."""
    rows: list[WordRow]
    """This page of the table."""


def show(asked: Asked, run: Run, status: Status) -> WordCounts | None:
    """The words of a run; None as long as it goes on, as its parts are no result before they are joined.

    Raises:
        errors.ClusterError: It has no result.
    """
    if status.state == "running":
        return None
    return shown(_kept.get(run.id, lambda: read(run.parts(), status.options)), asked.query)


def read(parts: Iterable[Any], options: Mapping[str, Any]) -> Words:
    """The words in the parts of a run with these options."""
    joined = counts.add(parts)
    most = options.get("top") or MOST_WORDS
    rows = list(counts.to_dict(joined, top=min(most, MOST_WORDS)).items())
    column = counts.numbers(joined)
    distinct = min(len(column), options.get("top") or len(column))
    return Words(rows, distinct, sum(column))


def shown(words: Words, query: Query) -> WordCounts:
    """What is shown of them."""
    looked_for, without = query.q.casefold(), query.show == NO_STOP_WORDS
    found = [
        (rank, word, times)
        for rank, (word, times) in enumerate(words.rows, 1)
        if (not looked_for or looked_for in word.casefold()) and not (without and is_stop_word(word))
    ]
    longest, most = found[0][2] if found else 1, min(query.most, MOST_ROWS)

    def row(rank: int, word: str, times: int) -> WordRow:
        return WordRow(rank=rank, word=word, times=times, share=times / max(1, words.total), length=times / longest)

    return WordCounts(
        without_stop_words=without, after=query.after, most=most, distinct=words.distinct, total=words.total,
        matching=len(found), is_cut=words.distinct > len(words.rows), top=[row(*one) for one in found[:BARS]],
        rows=[row(*one) for one in found[query.after : query.after + most]],
    )  # fmt: skip


def is_stop_word(word: str) -> bool:
    """Whether a word is one of those that are frequent in any text, whatever signs stand around it."""
    bare = word.strip(EDGES).casefold()
    at = bisect_left(STOP_WORDS, bare)
    return not bare or (at < len(STOP_WORDS) and STOP_WORDS[at] == bare)
