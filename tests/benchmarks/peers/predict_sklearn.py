"""Fit a model on a table, then read another table and predict its rows, in one process: KIND TRAINING INPUT OUTPUT.

Prints the seconds of reading, predicting and writing. The table is read by NumPy's reader of text (np.loadtxt).
"""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

KINDS: dict[str, Any] = {
    "rf": lambda: RandomForestClassifier(100, n_jobs=1, random_state=0),
    "hgb": lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0),
}


def main(kind: str, training: Path, given: Path, output: Path) -> None:
    """Do it."""
    with training.open(newline="") as opened:
        _, *rows = csv.reader(opened)
    model = KINDS[kind]().fit(np.array([row[:-1] for row in rows], np.float64), [row[-1] for row in rows])
    began = time.monotonic()
    X = np.loadtxt(given, delimiter=",", skiprows=1)
    read = time.monotonic()
    labels = model.predict(X)
    predicted = time.monotonic()
    with output.open("w", newline="") as out:
        out.write("row,label\n")
        out.writelines(f"{at},{label}\n" for at, label in enumerate(labels))
    print(json.dumps({"read_s": read - began, "predict_s": predicted - read, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:5]))
