"""`cluster curve` of a run in a real Redis, whose rounds the test closes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster import client
from cluster.stores import Stores
from cluster.texts import curve_texts
from tests.kit.commands import cluster
from tests.kit.played_rounds import PlayedRounds
from tests.kit.programs import emptied, start_cluster
from tests.kit.waiting import line_with

TIMES = ("wait", "fetch", "compute", "encode", "push", "read", "step", "write")


def row(round_: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "train", "at": 1.5 * (round_ + 1), "wall_s": 1.5, "parts": 3, "late": 0, "rejected": {},
        "up_bytes": 3000, "down_bytes": 6000, "times": dict.fromkeys(TIMES, 0.1), "loss": 2.0 - round_,
        "accuracy": 0.5 + round_ / 10, "steps": 75, **more,
    }  # fmt: skip


def closed(run: PlayedRounds, *rounds: int, last: int = -1, **more: Any) -> None:
    for round_ in rounds:
        run.do(*(run.chunk(round_, shard) for shard in range(run.shards)))
        run.close(round_, row=row(round_, **more), last=round_ == last)


@pytest.fixture
def redis_url(broker: str) -> str:
    return broker


@pytest.fixture
def stores(broker: str) -> Stores:
    return emptied(broker)


@pytest.fixture
def settings(redis_url: str) -> dict[str, str]:
    return {"CLUSTER_BROKER_URL": redis_url}


def test_a_late_part_is_lost_until_it_comes(stores: Stores, redis_url: str) -> None:
    run = PlayedRounds(stores)
    late = run.claim(2, "slow")
    run.do(0, 1)
    run.close(0, row=row(0, late=1))
    closed(run, 1)
    with client.connect(redis_url) as c:
        asked = c.run(run.run)
        assert [(found["round"], found["late"], found["lost"]) for found in asked.curve()] == [(0, 1, 1), (1, 0, 0)]
        run.commit(2, late, "slow")
        assert [found["lost"] for found in asked.curve()] == [0, 0]
        assert [found["round"] for found in asked.curve(after=1)] == [1]
        assert "late_chunks" not in asked.curve()[0]


def test_a_step_that_the_job_does_not_tell_about_is_no_row(stores: Stores, redis_url: str) -> None:
    run = PlayedRounds(stores)
    run.do(0, 1, 2)
    run.close(0, row={})
    closed(run, 1)
    with client.connect(redis_url) as c:
        assert [found["round"] for found in c.run(run.run).curve()] == [1]


def test_the_curve_is_printed_and_written_for_the_latest_run_with_rounds(
    stores: Stores, settings: dict[str, str], tmp_path: Path
) -> None:
    run = PlayedRounds(stores)
    closed(run, 0, 1, rejected={"1": "its norm is \x1b[2J"})
    stores.ledger.runs.create("wordcount-00000000", "wordcount", "", {}, "test")
    shown = cluster("curve", "--csv", tmp_path / "rows.csv", settings=settings)
    assert shown.returncode == 0, shown.stderr
    head, first, second, _, *summary = shown.stdout.splitlines()
    assert head.split()[:6] == ["round", "kind", "at", "s", "loss", "accuracy"]
    assert first.split()[:6] == ["0", "train", "1.5", "2.0000", "0.5000", "3"]
    assert second.split()[:6] == ["1", "train", "3.0", "1.0000", "0.6000", "3"]
    assert summary[0] == "2 rounds in 3.0 s, best accuracy 0.6000 in round 1"
    assert "round 1: shard 1 rejected: its norm is \\x1b[2J" in summary
    with (tmp_path / "rows.csv").open() as file:
        assert [(found["round"], found["rejected"]) for found in csv.DictReader(file)] == [("0", "1"), ("1", "1")]
    told = json.loads(cluster("curve", run.run, "--json", settings=settings).stdout)
    assert [found["times"]["push"] for found in told] == [0.1, 0.1]
    assert "2 of 5 rounds, accuracy 0.600" in cluster("runs", settings=settings).stdout
    status = cluster("status", run.run, settings=settings).stdout
    assert "  rounds       2 of 5 rounds, accuracy 0.600" in status


def test_a_run_without_rounds_has_no_curve(stores: Stores, settings: dict[str, str]) -> None:
    stores.ledger.runs.create("wordcount-00000000", "wordcount", "", {}, "test")
    assert cluster("curve", settings=settings).stderr == "cluster: no run of this cluster goes in rounds yet\n"
    refused = cluster("curve", "wordcount-00000000", settings=settings)
    assert refused.returncode == 2
    assert "its job wordcount does not go in rounds" in refused.stderr


def test_what_cannot_be_written_is_told_before_the_curve_is_read(
    stores: Stores, settings: dict[str, str], tmp_path: Path
) -> None:
    run = PlayedRounds(stores)
    for where in (tmp_path, tmp_path / "none" / "rows.csv"):
        refused = cluster("curve", run.run, "--follow", "--csv", where, settings=settings)
        assert refused.returncode == 2
        assert "--csv" in refused.stderr
    same = cluster("curve", run.run, "--csv", "same", "--png", "same", settings=settings)
    assert "--csv and --png are both same" in same.stderr
    assert "no round is closed yet" in cluster("curve", run.run, settings=settings).stderr


def test_the_picture_is_whole_and_replaces_the_one_before(
    stores: Stores, settings: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    run = PlayedRounds(stores)
    closed(run, 0)
    (tmp_path / "curve.png").write_bytes(b"the one before")
    drawn = cluster("curve", run.run, "--png", tmp_path / "curve.png", settings=settings)
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "curve.png").read_bytes().endswith(b"IEND\xaeB`\x82")
    assert [path.name for path in tmp_path.iterdir()] == ["curve.png"]


def test_rows_are_followed_as_they_come_until_the_run_ends(stores: Stores, settings: dict[str, str]) -> None:
    run = PlayedRounds(stores)
    closed(run, 0)
    with start_cluster("curve", run.run, "--follow", settings=settings) as following:
        assert following.stdout is not None
        assert line_with("round", following.stdout).split()[0] == "round"
        assert line_with("0.5000", following.stdout).split()[0] == "0"
        closed(run, 1)
        assert line_with("0.6000", following.stdout).split()[0] == "1"
        closed(run, 2, last=2)
        rest, _ = following.communicate(timeout=30)
    assert rest.splitlines()[0].split()[0] == "2"
    assert "3 rounds in 4.5 s" in rest
    assert following.returncode == 0


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_ctrl_c_ends_the_watching_and_not_the_run(
    flags: tuple[str, ...], stores: Stores, settings: dict[str, str], tmp_path: Path
) -> None:
    run = PlayedRounds(stores)
    closed(run, 0)
    table = tmp_path / "rows.csv"
    with start_cluster("curve", run.run, "--follow", "--csv", table, *flags, settings=settings) as following:
        assert following.stdout is not None
        line = line_with('"accuracy"' if flags else "0.5000", following.stdout)
        following.send_signal(signal.SIGINT)
        _, said = following.communicate(timeout=30)
    if flags:
        assert json.loads(line)["accuracy"] == 0.5
    assert following.returncode == 130
    assert f"{run.run} goes on" in said
    assert run.status.state == "running"
    assert len(table.read_text().splitlines()) == 2


def test_the_rows_of_a_real_run_come_one_by_one_and_end_with_it() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLUSTER_CONFIG", os.devnull)
        with client.local(slots=2, slots_in_use=100) as c:
            run = c.submit("count-turns", ["x"], rounds=8)
            rows = list(run.watch_curve(0.05))
            assert run.status().state == "done"
            assert [found["round"] for found in rows] == list(range(8))
            assert rows == run.curve()
    head, *lines = [words.split() for words in table_of(rows)]
    assert "turns" in head  # a number of that job
    assert all(len(line) == len(lines[0]) for line in lines)


def table_of(rows: list[dict[str, Any]]) -> list[str]:
    table = curve_texts.Table(rows[0])
    return [table.head, *map(table.line, rows)]


def test_looking_at_a_curve_imports_no_matplotlib_and_no_numpy() -> None:
    code = "import sys, cluster.cli.curve; print(sorted({'numpy', 'matplotlib', 'torch', 'celery'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
