"""The job predict on real nodes, one of which is killed: all rows are answered once, in the order of the input."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster
from cluster.bundles import content
from cluster.client import Client
from tests.kit import predict_models
from tests.kit.predict_models import ANSWERS, ROWS
from tests.kit.programs import RedisServer, Worker
from tests.kit.programs import cluster as command
from tests.kit.waiting import wait_until

pytest.importorskip("numpy")
NUMBER, BLOCK = 3000, 10


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[str, Worker]]:
    """A Redis with two nodes of one slot, and the one that may be killed."""
    flags = ("-c", "1", "-Q", "predict")
    with (
        RedisServer(tmp_path / "redis") as server,
        Worker("first", server.url, tmp_path / "first", *flags),
        Worker("second", server.url, tmp_path / "second", *flags) as second,
    ):
        yield server.url, second


def push(client: Client, folder: Path) -> str:
    made = content.read_folder(Path(predict_models.write(folder / "model")))
    return client.model_store.bundles.push("kinds", made, "a test").manifest.ref


def table(folder: Path, odd: int | None = None) -> Path:
    rows = [list(ROWS[at % len(ROWS)]) for at in range(NUMBER)]
    if odd is not None:
        rows[odd][1] = "odd"
    (folder / "rows.csv").write_text(predict_models.csv(rows))
    return folder / "rows.csv"


def test_a_killed_node_loses_no_row(nodes: tuple[str, Worker], tmp_path: Path) -> None:
    url, second = nodes
    path = table(tmp_path)
    with cluster.connect(url) as client:
        run = client.submit("predict", path, model=push(client, tmp_path), chunk_size=BLOCK, keep="name")
        wait_until("both nodes have done a block", lambda: len(run.status().nodes) == 2, 60)
        second.kill()
        found = run.result(120)
        run.write(tmp_path / "said.csv", format="csv")
    assert found["row"] == list(range(NUMBER))
    assert found["label"] == [ANSWERS[at % len(ROWS)] for at in range(NUMBER)]
    assert found["name"] == [ROWS[at % len(ROWS)][0] for at in range(NUMBER)]
    with (tmp_path / "said.csv").open(newline="") as opened:
        assert [int(row["row"]) for row in csv.DictReader(opened)] == list(range(NUMBER))


def test_a_row_that_cannot_be_read_is_named_and_the_command_exits_with_3(
    nodes: tuple[str, Worker], tmp_path: Path
) -> None:
    url, _ = nodes
    path = table(tmp_path, odd=1234)
    with cluster.connect(url) as client:
        model = push(client, tmp_path)
    said = tmp_path / "said.csv"
    done = command(
        "submit", "--job", "predict", "--model", model, "--chunk-size", "100", "--format", "csv", "-o", said, path,
        "--broker", url,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "rows.csv rows 1200-1299: row 1234: 'size' has 'odd', which is no number" in done.stderr
    with said.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == NUMBER
    assert [row["label"] for row in rows[1233:1236]] == [ANSWERS[1233 % 6], "", ANSWERS[1235 % 6].replace("=", "'=")]
