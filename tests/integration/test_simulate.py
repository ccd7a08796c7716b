"""``cluster simulate`` as it is typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tasks import train
from tests.kit.programs import cluster

NETWORK = '[[terminal]]\ncount = 3\nlatency = "5 ms"\ncompute = "10 ms/step"\nup = "1 Mb/s"\n'


@pytest.fixture
def table(tmp_path: Path) -> Path:
    if problem := train.why_unavailable():
        pytest.skip(problem)
    random = np.random.default_rng(1)
    y = np.arange(300) % 2
    np.savez(tmp_path / "table.npz", X=random.standard_normal((300, 3)) + y[:, None], y=y)
    (tmp_path / "net.toml").write_text(NETWORK)
    return tmp_path / "table.npz"


def test_policies_are_compared_as_table_csv_and_json(table: Path) -> None:
    words: list[str | Path] = [
        table,
        "--network",
        table.with_name("net.toml"),
        "--net",
        "mlp:4",
        "--rounds",
        "2",
        "--steps",
        "3",
    ]
    rows = table.with_name("rows.csv")
    told = cluster("simulate", *words, "--policy", "barrier", "--policy", "async", "--csv", rows)
    assert told.returncode == 0, told.stderr
    assert [line.split()[0] for line in told.stdout.splitlines()[:3]] == ["policy", "barrier", "async"]
    with rows.open() as opened:
        read = list(csv.DictReader(opened))
    assert {row["policy"] for row in read} == {"barrier", "async"}
    assert all(float(row["at_s"]) > 0 for row in read)
    told = cluster("simulate", *words, "--json")
    [found] = json.loads(told.stdout)
    assert (found["policy"], found["rounds"], len(found["links"])) == ("given", 2, 3)


def test_a_bad_network_is_told_in_a_sentence(table: Path) -> None:
    (table.parent / "bad.toml").write_text('[[terminal]]\nof = "lab"\n')
    told = cluster("simulate", table, "--network", table.parent / "bad.toml")
    assert told.returncode == 2
    assert "the terminal 't' cannot reach the cloud: it is behind 'lab', and there is no such edge" in told.stderr
