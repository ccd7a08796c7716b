"""The devices on which this machine reckons, found without PyTorch."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import subprocess

from cluster.worker import capacity

TIMEOUT_S = 10.0
QUERY = "--query-gpu=index,uuid,memory.total"
log = logging.getLogger(__name__)


@functools.cache
def found() -> tuple[str, ...]:
    """``cpu x4``, then ``cuda:0 24 GiB`` for each GPU that this process may use, in the order of nvidia-smi."""
    gpus = seen(_asked(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    return (f"cpu x{capacity.cores()}", *(f"cuda:{number} {memory} GiB" for number, memory in enumerate(gpus)))


def seen(answer: str, visible: str | None) -> list[int]:
    """The GiB of each GPU.

    Args:
        answer: Lines ``index, uuid, MiB`` of nvidia-smi; others are passed over.
        visible: ``CUDA_VISIBLE_DEVICES``: indices and the beginnings of UUIDs, up to the first that is neither.
    """
    rows = [[word.strip() for word in line.split(",")] for line in answer.splitlines()]
    gpus = [(row[0], row[1], round(int(row[2]) / 1024)) for row in rows if len(row) == 3 and row[2].isdigit()]
    if visible is None:
        return [memory for *_, memory in gpus]
    chosen = []
    for wanted in (word.strip() for word in visible.split(",")):
        fits = [memory for index, uuid, memory in gpus if wanted and (index == wanted or uuid.startswith(wanted))]
        if not fits:
            break
        chosen.append(fits[0])
    return chosen


def _asked() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        asked = [program, QUERY, "--format=csv,noheader,nounits"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("nvidia-smi does not tell the GPUs: %s", error, extra={"event": "gpus-unknown"})
        return ""
