r"""Spark: ``wordcount_spark.py FOLDER OUTPUT``. Data frames, two cores; writes a folder of JSON lines, sorted by count.

More memory and fewer partitions than by default, which is faster here. The pattern is Python's idea of white space;
with ``\s+``, as people write it, it would give other words.
"""

from __future__ import annotations

import json
import sys
import time

SPACE = r"(?U)[\s\x1c-\x1f]+"


def main() -> None:
    """Count all files of a folder."""
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as f

    folder, output = sys.argv[1:]
    settings = {"spark.ui.enabled": "false", "spark.driver.memory": "6g", "spark.sql.shuffle.partitions": "8"}
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    print(json.dumps({"ready": time.time()}), flush=True)
    words = spark.read.text(folder).select(f.explode(f.split("value", SPACE)).alias("word")).filter("word != ''")
    words.groupBy("word").count().orderBy(f.desc("count")).write.json(output)
    print(json.dumps({"done": time.time()}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
