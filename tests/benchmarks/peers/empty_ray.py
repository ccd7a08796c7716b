"""Ray: ``empty_ray.py NUMBER OUTPUT``. Empty tasks on two cores, and a sum of what they give."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


def main() -> None:
    """Count the tasks that ran."""
    import ray

    number, output = int(sys.argv[1]), Path(sys.argv[2])
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False)
    task = ray.remote(nothing)
    ray.get([task.remote(at) for at in range(2)])  # its workers are up
    print(json.dumps({"ready": time.time()}), flush=True)
    found = sum(ray.get([task.remote(at) for at in range(number)]))
    output.write_text(json.dumps({"items": found}))
    print(json.dumps({"done": time.time()}), flush=True)
    ray.shutdown()


def nothing(number: int) -> int:
    """Counts as one."""
    return 1


if __name__ == "__main__":
    main()
