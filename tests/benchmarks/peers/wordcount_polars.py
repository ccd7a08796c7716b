"""polars in one process, a thread a core: ``wordcount_polars.py FOLDER OUTPUT``. Writes a line of JSON a word.

It knows neither invalid UTF-8 nor Python's idea of white space by itself: the first is what "lossy" is for, the second
are the replacements.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "2"
OTHER_SPACES = [chr(code) for code in range(0x110000) if chr(code).isspace() and chr(code) not in " \n"]


def main() -> None:
    """Count all files of a folder."""
    import polars as pl

    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    print(json.dumps({"ready": time.time()}))
    lines = pl.concat([read(path) for path in sorted(folder.iterdir())])
    words = lines.lazy().select(
        pl.col("column_1").str.replace_many(OTHER_SPACES, [" "]).str.split(" ").explode().alias("word")
    )
    counts = words.filter(pl.col("word") != "").group_by("word").len("count").sort("count", descending=True)
    counts.collect().write_ndjson(output)
    print(json.dumps({"done": time.time()}))


def read(path: Path):  # type: ignore[no-untyped-def]
    """Its lines, in a column."""
    import polars as pl

    return pl.read_csv(
        path, has_header=False, separator="\x01", quote_char=None, encoding="utf8-lossy",
        schema={"column_1": pl.String}, truncate_ragged_lines=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
