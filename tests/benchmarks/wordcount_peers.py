"""Count the words of 200 MB: a ready cluster against Spark, Dask, a process pool of Counters, and polars."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import MB, Case, Options, contest, ready, tally, texts
from tests.benchmarks.contest import Peer
from tests.benchmarks.goals import Goal
from tests.benchmarks.measure import TIMEOUT_S, Failed
from tests.benchmarks.wordcount import SEED, SIZE_BYTES, VOCABULARY

SMALL_SIZE_BYTES, SMALL_VOCABULARY = MB, 50_000
INVALID = "a run of bytes that are not UTF-8 is one sign for it"


def peers(books: Path) -> list[Peer]:
    """Each writes all words, the most frequent first."""
    return [
        Peer(name="polars, one process", script="wordcount_polars.py", arguments=[books], goal=Goal("<=", 1.8)),
        Peer(
            name="process pool of Counters",
            script="wordcount_pool.py",
            arguments=[books],
            goal=Goal(">", 1),
            own_environment=False,
        ),
        Peer(name="Dask", script="wordcount_dask.py", arguments=[books], goal=Goal(">", 1)),
        Peer(
            name="Spark, its own example",
            script="wordcount_spark.py",
            arguments=["example", books],
            goal=Goal(">=", 6),
            needs="java",
        ),
        Peer(
            name="Spark, data frames",
            script="wordcount_spark.py",
            arguments=["frames", books],
            goal=Goal(">", 1),
            needs="java",
        ),
    ]


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """One race."""
    size_bytes, vocabulary = (SMALL_SIZE_BYTES, SMALL_VOCABULARY) if options.small else (SIZE_BYTES, VOCABULARY)
    books = folder / "books"
    texts.write_books(books, size_bytes, vocabulary, SEED)
    true = _figures("--count", str(books))

    def check(output: Path) -> str:
        return differences(true, _figures(str(output)))

    with ready.cluster(folder) as cluster:
        warm = folder / "warm.txt"
        warm.write_text("one word")
        cluster.submit("wordcount", [warm], folder / "warm")
        size = sum(path.stat().st_size for path in books.iterdir()) / MB
        rows = contest.race(
            f"word count, {size:.0f} MB, {true['distinct']:,} distinct words",
            lambda output: cluster.submit("wordcount", [books], output),
            peers(books),
            check,
            folder=folder,
            options=options,
        )
    yield Case(name="wordcount-peers", rows=rows)


def differences(true: dict[str, Any], found: dict[str, Any]) -> str:
    """How a count differs from the true one; "" if it does not.

    Raises:
        Failed: It is wrong, or the words do not stand in the order of their counts.
    """
    if not found["falling"]:
        raise Failed("the words do not stand in the order of their counts")
    if found["exact"] == true["exact"]:
        return ""
    if found["lenient"] == true["lenient"]:
        return INVALID
    raise Failed(f"{found['words']:,} words, {found['distinct']:,} distinct, differ from the true ones")


def _figures(*arguments: str) -> dict[str, Any]:
    """In a process of its own: so many words would stay in this one's memory."""
    command = [sys.executable, "-S", "-E", tally.__file__, *arguments]
    told = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if told.returncode:
        raise Failed(f"the answer cannot be read: {told.stderr.strip()}")
    found: dict[str, Any] = json.loads(told.stdout)
    return found
