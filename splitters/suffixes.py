"""The files that splitters take from folders, by the ends of their names, in lower case. Loads nothing else."""

from __future__ import annotations

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
