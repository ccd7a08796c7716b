"""One of the faults of ``make chaos``, so that `make test` sees at once when they cannot be brought."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import faults
from tests.kit.faults import Fault


@pytest.mark.parametrize(
    "fault",
    [Fault.CONNECTION_RESET],
    ids=lambda fault: fault.name,
)
def test_a_run_gives_its_answer_although(fault: Fault, tmp_path: Path) -> None:
    # This job takes seconds on any machine: a test that is late still finds it at work.
    with faults.scene(fault, "measure", tmp_path) as scene:
        faults.bring(fault, scene)
        scene.check()
