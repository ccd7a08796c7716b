"""Every fault, during a run of every job: the answer is that of ``Job.run_locally``, and every chunk counts once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import catalog
from tests.kit import faults, inputs
from tests.kit.faults import Fault


@pytest.mark.timeout(200)
@pytest.mark.parametrize("job", [*inputs.TABLE, "measure"])
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
def test_a_run_gives_its_answer_although(fault: Fault, job: str, tmp_path: Path) -> None:
    if problem := catalog.get(job).why_not_here():
        pytest.skip(problem)
    with faults.scene(fault, job, tmp_path) as scene:
        faults.bring(fault, scene)
        scene.check()
