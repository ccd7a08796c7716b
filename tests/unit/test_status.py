"""What is told of a run."""

from __future__ import annotations

import pytest

from cluster.runs.status import from_ledger


@pytest.mark.parametrize(("finished", "seconds"), [({}, 7.5), ({"finished_at": "1004"}, 4.0)])
def test_how_long_a_run_takes_is_by_redis_clock_whatever_ours_says(finished: dict[str, str], seconds: float) -> None:
    fields = {"state": "running", "job": "wordcount", "options": "{}", "started_at": "1000", **finished}
    found = from_ledger("run-1", fields, {}, {}, {}, failed=0, running=0, now_s=1007.5)
    assert found.seconds == seconds
    assert found.model_dump(mode="json")["seconds"] == seconds
