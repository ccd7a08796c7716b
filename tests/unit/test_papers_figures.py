"""What the figures of ``cluster reproduce`` are made of, without training anything."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster import errors
from cluster.client import figures
from cluster.simulation.papers import Finding, clients, page, quantization, sorting, trainings
from cluster.simulation.papers.trainings import Curve, Trained, Training
from splitters import tables

CARD = {"classes": ["a", "b"], "rows": {"train": 300, "valid": 100}, "class_rows": {"valid": [60, 40]}, "shards": 3}


def curve(*ends: float) -> Curve:
    runs = [Trained(Training("x", {}), [{"accuracy": 0.5, "steps": 3}, {"accuracy": end}], CARD) for end in ends]
    return Curve("x", runs)


def test_a_net_that_guesses_is_told() -> None:
    assert "nothing was learnt" in curve(0.6, 0.62).why_worthless()
    assert "diverged" in curve(float("nan")).why_worthless()
    assert curve(0.95, 0.93).why_worthless() == ""


def test_a_training_that_diverged_is_told_and_has_no_curve() -> None:
    diverged = Trained(Training("x", {}, 1), [], {}, "the weights are not finite")
    both = Curve("x", [curve(0.9).runs[0], diverged])
    assert "1 of 2 trainings failed: the weights are not finite" in both.why_worthless()
    assert both.values("accuracy") == []


def test_simulated_nodes_share_the_work_and_the_link() -> None:
    pytest.importorskip("simpy")
    chunks = [clients.Chunk(2.0, 1000, 10)] * 40
    free = clients.Hub(0, 0, 0, 1e9, 0)
    assert clients.simulate(chunks, 1, free) == pytest.approx(80, rel=1e-3)
    assert clients.simulate(chunks, 4, free) == pytest.approx(20, rel=1e-3)
    narrow = free._replace(bytes_s=1000)  # a second for the bytes of a chunk: the link is full
    assert clients.simulate(chunks, 40, narrow) > 40


def test_epochs_count_the_rows_that_steps_saw() -> None:
    assert trainings.epochs(curve(0.9).runs[0]) == [0.0, pytest.approx(3 * 32 / 300)]


def test_a_round_takes_its_bytes_over_the_link() -> None:
    row = {"up_bytes": 8000, "down_bytes": 2000, "steps": 4}
    link = quantization.Link(bytes_s=1e4, latency_s=0.1, step_s=0.5)
    assert link.round_s(row, shards=4) == pytest.approx(0.25 + 0.2 + 0.5)


def test_sorted_shards_hold_the_same_rows_by_class(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    np.savez(tmp_path / "in.npz", X=random.standard_normal((200, 3)), y=random.integers(0, 4, 200))
    about, *sorted_shards = sorting.split([tmp_path / "in.npz"], shards=4)
    _, *shards = tables.split([tmp_path / "in.npz"], shards=4)
    arrays = [tables.arrays(shard) for shard in sorted_shards]
    y = np.concatenate([each["y"] for each in arrays])
    assert (np.diff(y) >= 0).all()
    before = np.concatenate([tables.arrays(shard)["X"] for shard in shards])
    after = np.concatenate([each["X"] for each in arrays])
    assert sorted(map(tuple, before.tolist())) == sorted(map(tuple, after.tolist()))
    assert json.loads(about[0].data)["shard_rows"] == [len(each["y"]) for each in arrays]


def test_a_page_says_claim_finding_and_where_it_was_made() -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": 2.5}, {"a": 3, "c": None}]
    finding = Finding("f", "Title", ["claimed"], ["seen"], [], ["weak"], rows[:1], rows, lambda figure: None, {"k": 1})
    told = page.text(finding, "cluster reproduce f", page.machine())
    for wanted in ("# Title", "f.png", "- weak", "- claimed", "- seen", "| 1 | 2.5 |", "cluster reproduce f", "cores"):
        assert wanted in told
    assert page.csv_of(rows) == "a,b,c\n1,2.5,\n3,,\n"


def test_without_matplotlib_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(errors.NotInstalled, match=r"cluster\[plots\]"):
        figures.reproduce("clients", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
