"""Spark MLlib's forest: ``ensembles_spark.py ROWS PARTS TREES OUTPUT``. One forest of PARTS x TREES trees.

Writes the classes of the test rows. Its time is that of fitting. By default trees are five deep, too little for 26
classes; and there is memory for so few nodes at a time that deep trees take many passes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

os.environ["PYSPARK_PYTHON"] = sys.executable
DEPTH = 20
MEMORY, AT_A_TIME_MB = "6g", 2048


def main() -> None:
    """Fit on the training rows of an npz, and say what the test rows are."""
    from pyspark.ml.classification import RandomForestClassifier
    from pyspark.sql import SparkSession

    rows, output = np.load(sys.argv[1]), Path(sys.argv[4])
    trees = int(sys.argv[2]) * int(sys.argv[3])
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.driver.memory", MEMORY).getOrCreate()
    training = frame(spark, rows["X"], rows["y"]).repartition(2).cache()
    training.count()
    print(json.dumps({"ready": time.time()}), flush=True)
    forest = RandomForestClassifier(numTrees=trees, maxDepth=DEPTH, maxMemoryInMB=AT_A_TIME_MB, seed=0)
    model = forest.fit(training)
    print(json.dumps({"done": time.time()}), flush=True)
    said = model.transform(frame(spark, rows["test_X"], np.zeros(len(rows["test_X"])))).collect()
    output.write_text(json.dumps([int(row["prediction"]) for row in said]))
    spark.stop()


def frame(spark: Any, X: Any, y: Any) -> Any:
    """Rows as Spark's learners take them."""
    from pyspark.ml.linalg import Vectors

    pairs = [(Vectors.dense(row), float(of)) for row, of in zip(X.astype(float).tolist(), y, strict=True)]
    return spark.createDataFrame(pairs, ["features", "label"])


if __name__ == "__main__":
    main()
