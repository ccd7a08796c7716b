"""Spark MLlib's forest: ``ensembles_spark.py ROWS PARTS TREES OUTPUT``. One forest of PARTS x TREES trees.

Writes the classes of the test rows. Its time is that of fitting. Trees are as deep as MLlib allows, for otherwise they
are five deep.
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
MOST_DEPTH = 30
MEMORY = "6g"


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
    model = RandomForestClassifier(numTrees=trees, maxDepth=MOST_DEPTH).fit(training)
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
