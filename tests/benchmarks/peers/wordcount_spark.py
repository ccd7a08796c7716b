r"""Spark: ``wordcount_spark.py example|frames FOLDER OUTPUT``. Writes a folder of JSON lines, sorted by count.

*example* is the word count among Spark's own examples, all settings by default. *frames* is the fast way: data frames,
which run in Java alone, with more memory and fewer partitions than by default. Its pattern is Python's idea of white
space; with ``\s+``, as people write it, it would give other words.
"""

from __future__ import annotations

import json
import os
import sys
import time
from operator import add
from typing import Any

os.environ["PYSPARK_PYTHON"] = sys.executable
SPACE = r"(?U)[\s\x1c-\x1f]+"
FAST = {"spark.driver.memory": "6g", "spark.sql.shuffle.partitions": "8"}


def example(spark: Any, folder: str, output: str) -> None:
    """Words as Python objects."""
    lines = spark.sparkContext.textFile(folder)
    counts = lines.flatMap(str.split).map(lambda word: (word, 1)).reduceByKey(add)
    pairs = counts.sortBy(lambda pair: pair[1], ascending=False)
    pairs.map(lambda pair: json.dumps({"word": pair[0], "count": pair[1]})).saveAsTextFile(output)


def frames(spark: Any, folder: str, output: str) -> None:
    """Words in columns."""
    from pyspark.sql import functions as f

    words = spark.read.text(folder).select(f.explode(f.split("value", SPACE)).alias("word")).filter("word != ''")
    words.groupBy("word").count().orderBy(f.desc("count")).write.json(output)


def main() -> None:
    """Count all files of a folder."""
    from pyspark.sql import SparkSession

    way, folder, output = sys.argv[1:]
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    for name, value in (FAST if way == "frames" else {}).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    print(json.dumps({"ready": time.time()}), flush=True)
    (frames if way == "frames" else example)(spark, folder, output)
    print(json.dumps({"done": time.time()}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
