"""A few of the faults of ``make chaos``, so that `make test` sees at once when one does harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import faults
from tests.kit.faults import Fault


@pytest.mark.parametrize(
    ("fault", "job"),
    [
        (Fault.CHILD_KILLED, "wordcount"),
        (Fault.CONNECTION_RESET, "wordcount"),
        (Fault.REDIS_RESTARTED, "measure"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else value,
)
def test_a_run_gives_its_answer_although(fault: Fault, job: str, tmp_path: Path) -> None:
    with faults.scene(fault, job, tmp_path) as scene:
        faults.bring(fault, scene)
        scene.check()
