"""The private folder of an embedded cluster, and who else may be about."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

import pytest

from cluster.embedded import folder


def test_a_folder_that_another_one_sweeps_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    flock, swept = fcntl.flock, list[Path]()

    def flock_late(lock: IO[str], operation: int) -> None:
        if not swept:
            monkeypatch.setattr(fcntl, "flock", flock)
            swept.extend(folder.sweep())
        flock(lock, operation)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    made, lock = folder.make()
    with lock:
        assert len(swept) == 1
        assert made not in swept
        assert folder.sweep() == []
        assert (made / folder.LOCK).exists()
