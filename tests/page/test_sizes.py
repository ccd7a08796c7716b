"""How much the page's folders hold, measured by one thread at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.web import system


def test_one_thread_measures_while_others_get_the_last_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "a").write_bytes(b"1234")
    sizes, begun, go_on = system.Sizes(), threading.Event(), threading.Event()
    before = {"uploads": 4, "results": 0, "pictures": 0}
    assert sizes.of(tmp_path) == before

    def measure(folder: Path) -> int:
        assert not begun.is_set() or go_on.is_set()
        begun.set()
        go_on.wait(20)
        return 5

    monkeypatch.setattr(system, "_size_bytes", measure)
    monkeypatch.setattr(system, "MEASURE_S", 0.0)
    with ThreadPoolExecutor() as threads:
        measured = threads.submit(sizes.of, tmp_path)
        try:
            assert begun.wait(20)
            assert sizes.of(tmp_path) == before
        finally:
            go_on.set()
        assert measured.result(20) == {"uploads": 5, "results": 5, "pictures": 5}
