"""Dask: ``empty_dask.py NUMBER OUTPUT``. Empty tasks and a sum of what they give, two workers of one thread."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Count the tasks that ran."""
    from distributed import Client, LocalCluster

    number, output = int(sys.argv[1]), Path(sys.argv[2])
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.submit(sum, [1]).result()
        print(json.dumps({"ready": time.time()}), flush=True)
        found = client.submit(sum, client.map(nothing, range(number), pure=False)).result()
        output.write_text(json.dumps({"items": found}))
        print(json.dumps({"done": time.time()}), flush=True)


def nothing(number: int) -> int:
    """Counts as one."""
    return 1


if __name__ == "__main__":
    main()
