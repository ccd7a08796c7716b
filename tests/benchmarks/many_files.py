"""Count the words of very many small files: what the coordinator and Redis hold must not grow with them."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cluster import catalog
from tests.benchmarks import MB, Case, Options, checked, over, texts

SEED = 20261121
LIMITS_BYTES = {"submitter": 200 * MB, "redis": 256 * MB}
FOUR_FILES_BYTES = 1300
"""A chunk size at which a chunk holds about four files of 300 bytes."""


class Variant(NamedTuple):
    """So many files, in chunks of so many bytes (None: the job's default)."""

    name: str
    files: int
    chunk_bytes: int | None = None


def variants(options: Options) -> list[Variant]:
    """A tenth, all, and as many small chunks: a tenth of the files tells whether memory is flat."""
    many, few_in_a_chunk = (2_000, 800) if options.small else (100_000, 40_000)
    if options.files is not None:
        many = few_in_a_chunk = options.files
    return [
        Variant("many-files, a tenth", many // 10),
        Variant("many-files", many),
        Variant("many-files, small chunks, a tenth", few_in_a_chunk // 10, FOUR_FILES_BYTES),
        Variant("many-files, small chunks", few_in_a_chunk, FOUR_FILES_BYTES),
    ]


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """A case for each variant; submitter and Redis must stay within ``LIMITS_BYTES``."""
    for variant in variants(options):
        notes = folder / "notes"
        texts.write_notes(notes, variant.files, SEED)
        flags = [] if variant.chunk_bytes is None else ["--chunk-size", str(variant.chunk_bytes)]
        runs, _ = checked.count_words(notes, folder / "counts.json", options.repeat, *flags)
        chunks = _chunks(notes, variant.chunk_bytes)
        yield Case(
            name=variant.name,
            amount=variant.files,
            unit="files",
            runs=runs,
            notes={"chunks": chunks, "chunks/s": chunks / statistics.median(run.run_s for run in runs)},
            problem=over(runs, LIMITS_BYTES),
        )
        shutil.rmtree(notes)


def _chunks(notes: Path, chunk_bytes: int | None) -> int:
    """How many chunks the splitter makes of them, counted after the runs."""
    job = catalog.get("wordcount")
    given = {} if chunk_bytes is None else {"chunk_size": chunk_bytes}
    return sum(1 for _ in job.chunks(notes, job.check_options(given)))
