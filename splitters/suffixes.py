"""The files that splitters take from folders, by the ends of their names, in lower case. Loads nothing else."""

from __future__ import annotations

from collections.abc import Collection

PICTURES = frozenset(
    {
        ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp", ".tif", ".tiff", ".btf",
        ".mpo", ".bmp", ".dib", ".webp", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm",
    }
)  # fmt: skip
HEIF = frozenset({".heic", ".heif", ".hif", ".avif"})
"""Of pictures of phones, which are read where pi-heif is installed."""
PDF, ZIP = ".pdf", ".zip"
DOCUMENTS = PICTURES | HEIF | {PDF, ZIP}
"""What has pages."""
ROWS = frozenset({".csv", ".tsv", ".npz", ".json", ".jsonl", ".ndjson", ".parquet"})
"""Tables."""
KINDS = (
    ("pictures", PICTURES), ("PDF", frozenset({PDF})), ("TIFF", frozenset({".tif"})), ("HEIC", HEIF),
    ("ZIP", frozenset({ZIP})), ("tables (CSV, JSON, Parquet, npz)", ROWS),
)  # fmt: skip
"""A word -> the files that people call so."""


def in_words(suffixes: Collection[str]) -> str:
    """The kinds of files with these suffixes for people: "pictures, TIFF and HEIC"; "" of none."""
    *first, last = [word for word, kind in KINDS if not kind.isdisjoint(suffixes)] or [""]
    return f"{', '.join(first)} and {last}" if first else last
