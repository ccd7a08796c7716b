"""Count the words of 200 MB of text with about two million distinct ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import MB, Case, GiB, Options, checked, over, texts
from tests.benchmarks.sampling import KINDS

SEED = 20261121
SIZE_BYTES, VOCABULARY = 200 * MB, 2_450_000
SMALL_SIZE_BYTES, SMALL_VOCABULARY = 5 * MB, 200_000
LIMIT_BYTES = 2 * GiB


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """One case; no process may hold more than ``LIMIT_BYTES``."""
    size_bytes, vocabulary = (SMALL_SIZE_BYTES, SMALL_VOCABULARY) if options.small else (SIZE_BYTES, VOCABULARY)
    books = folder / "books"
    texts.write_books(books, size_bytes, vocabulary, SEED)
    runs, found = checked.count_words(books, folder / "counts.json", options.repeat)
    yield Case(
        name="wordcount",
        amount=sum(path.stat().st_size for path in books.iterdir()) / MB,
        unit="MB",
        runs=runs,
        notes={"words": found["words"], "distinct words": found["distinct"]},
        problem=over(runs, dict.fromkeys(KINDS, LIMIT_BYTES)),
    )
