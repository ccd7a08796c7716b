"""Spark: ``ocr_spark.py pytesseract|tesserocr FOLDER OUTPUT``.

With pytesseract as people write it: a folder of files, a function, all defaults. With tesserocr at its best: a
partition for each picture, so that no slot waits for the other, and Python workers that are used again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import reading

os.environ["PYSPARK_PYTHON"] = sys.executable


def main() -> None:
    """Read all pictures of a folder."""
    from pyspark.sql import SparkSession

    way, folder, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    context = spark.sparkContext
    print(json.dumps({"ready": time.time()}), flush=True)
    paths = [str(path) for path in sorted(folder.iterdir())]
    spread = context.parallelize(paths) if way == "pytesseract" else context.parallelize(paths, len(paths))
    texts = dict(spread.map(lambda path: (path.rpartition("/")[2], reading.WAYS[way](path))).collect())
    output.write_text(json.dumps(texts, ensure_ascii=False))
    print(json.dumps({"done": time.time()}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
