"""Dask: ``ocr_dask.py pytesseract|tesserocr FOLDER OUTPUT``.

With pytesseract all defaults; with tesserocr two workers of one thread each: the library is not to be used by two
threads at once.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import reading


def main() -> None:
    """Read all pictures of a folder."""
    from distributed import Client, LocalCluster

    way, folder, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    settings = {} if way == "pytesseract" else {"n_workers": 2, "threads_per_worker": 1}
    with LocalCluster(dashboard_address=None, **settings) as cluster, Client(cluster) as client:
        print(json.dumps({"ready": time.time()}), flush=True)
        paths = [str(path) for path in sorted(folder.iterdir())]
        texts = client.gather(client.map(reading.WAYS[way], paths))
        names = [path.rpartition("/")[2] for path in paths]
        output.write_text(json.dumps(dict(zip(names, texts, strict=True)), ensure_ascii=False))
        print(json.dumps({"done": time.time()}), flush=True)


if __name__ == "__main__":
    main()
