"""Dask: ``wordcount_dask.py FOLDER OUTPUT``. A bag of lines; a Counter a block, added up in pairs and more.

Its own ``.str.split().flatten().frequencies()`` gives the same and is slower.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def main() -> None:
    """Count all files of a folder."""
    import dask.bag
    from distributed import Client, LocalCluster

    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        print(json.dumps({"ready": time.time()}), flush=True)
        lines = dask.bag.read_text(f"{folder}/*", blocksize="16MB", errors="replace", encoding="utf-8")
        total = lines.reduction(count, add, split_every=8).compute()
        with output.open("w", encoding="utf-8") as stream:
            json.dump(dict(total.most_common()), stream, ensure_ascii=False)
        print(json.dumps({"done": time.time()}), flush=True)


def count(lines: Iterable[str]) -> Counter[str]:
    """The words of a block."""
    found: Counter[str] = Counter()
    for line in lines:
        found.update(line.split())
    return found


def add(counters: Iterable[Counter[str]]) -> Counter[str]:
    """Of several blocks."""
    return sum(counters, Counter())


if __name__ == "__main__":
    main()
