"""Dask-ML's voting: ``ensembles_dask.py ROWS PARTS TREES OUTPUT``. A forest a block, each block with all rows.

Writes the classes of the test rows. Its time is that of fitting.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Fit on the training rows of an npz, and say what the test rows are."""
    import dask.array
    from dask_ml.ensemble import BlockwiseVotingClassifier
    from distributed import Client, LocalCluster
    from sklearn.ensemble import RandomForestClassifier

    rows, output = np.load(sys.argv[1]), Path(sys.argv[4])
    parts, trees = int(sys.argv[2]), int(sys.argv[3])
    X, y = (dask.array.from_array(rows[name], chunks=-1) for name in ("X", "y"))
    forest = RandomForestClassifier(trees, n_jobs=1)
    model = BlockwiseVotingClassifier(forest, voting="soft", classes=np.unique(rows["y"]).tolist())
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        print(json.dumps({"ready": time.time()}), flush=True)
        model.fit(dask.array.concatenate([X] * parts), dask.array.concatenate([y] * parts))
        print(json.dumps({"done": time.time()}), flush=True)
        found = model.predict(dask.array.from_array(rows["test_X"], chunks=-1)).compute()
    output.write_text(json.dumps(np.asarray(found).tolist()))


if __name__ == "__main__":
    main()
