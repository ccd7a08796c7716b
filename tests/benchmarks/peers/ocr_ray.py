"""Ray: ``ocr_ray.py pytesseract|tesserocr FOLDER OUTPUT``. A task a picture, on two cores; workers are used again."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import reading

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


def main() -> None:
    """Read all pictures of a folder."""
    import ray

    way, folder, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False)
    read = ray.remote(reading.WAYS[way])
    print(json.dumps({"ready": time.time()}), flush=True)
    paths = [str(path) for path in sorted(folder.iterdir())]
    texts = ray.get([read.remote(path) for path in paths])
    names = [path.rpartition("/")[2] for path in paths]
    output.write_text(json.dumps(dict(zip(names, texts, strict=True)), ensure_ascii=False))
    print(json.dumps({"done": time.time()}), flush=True)
    ray.shutdown()


if __name__ == "__main__":
    main()
