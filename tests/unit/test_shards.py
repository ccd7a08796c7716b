"""How many shards a run in rounds gets where nobody says it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cluster.client.submission import MOST_SHARDS, Submission
from tests.kit.jobs.cluster_testturns import COUNT_TURNS


def submission(slots: list[int], shards: int, *, is_private: bool = False) -> Submission:
    """One to a cluster whose nodes have so many slots; the last node lacks the job."""
    jobs = [*[["count-turns"]] * (len(slots) - 1), ["ocr"]]
    nodes = [SimpleNamespace(state="online", slots=each, jobs=known) for each, known in zip(slots, jobs, strict=True)]
    client: Any = SimpleNamespace(
        is_private=is_private, stores=SimpleNamespace(nodes=SimpleNamespace(nodes=lambda: nodes))
    )
    return Submission(client, COUNT_TURNS, {"shards": shards, "chunk_size": 1})


@pytest.mark.parametrize(
    ("slots", "asked", "shards"),
    [
        ([4, 4, 16], 0, 0),  # the splitter chooses
        ([4, 6, 16], 0, 10),
        ([40, 6, 16], 0, MOST_SHARDS),
        ([40, 6, 16], 3, 3),
    ],
)
def test_a_large_cluster_gets_a_shard_for_each_slot(slots: list[int], asked: int, shards: int) -> None:
    asking = submission(slots, asked)
    asking.read(["x"])
    assert asking.options["shards"] == shards


def test_a_private_cluster_leaves_the_shards_to_the_splitter() -> None:
    asking = submission([40, 40], 0, is_private=True)
    asking.read(["x"])
    assert asking.options["shards"] == 0
