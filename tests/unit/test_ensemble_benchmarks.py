"""The benchmarks of ensembles: how answers are judged before their time counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import contest
from tests.benchmarks.ensembles import made_sets, peers
from tests.benchmarks.measure import Failed
from tests.kit.ensembles import Made
from tests.kit.tables import save


def test_accuracy_takes_the_first_of_equal_classes_as_reports_do() -> None:
    third = np.float64(1) / 3
    scores = np.array([[third, third + 1e-9, third], [0.2, 0.3, 0.5]])

    assert made_sets.accuracy(scores, np.array([0, 2])) == 1


@pytest.mark.parametrize(
    ("said", "told"),
    [([0, 1, 2], "3 rows"), ([0, 1, 2, 1, 1, 1], "50.00%"), ([0, 1, 2, 0, 2, 1], None)],
)
def test_a_peer_counts_where_it_is_about_as_good(said: list[int], told: str | None) -> None:
    y = np.array([0, 1, 2, 0, 0, 0])
    if told is None:
        peers.check("Spark", np.array(said), y, 0.68)
        return
    with pytest.raises(Failed, match=told):
        peers.check("Spark", np.array(said), y, 0.68)


def test_peers_are_chosen_and_say_why_they_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(dask, of_dask), (spark, of_spark)] = peers.all_of(tmp_path, 2, 400)
    assert (of_dask, of_spark) == (800, peers.SPARK_TREES)
    assert [peer.name for peer, _ in peers.all_of(tmp_path, 2, 400, ["Spark"])] == [spark.name]

    monkeypatch.setattr(contest, "PEERS", tmp_path)
    assert "make bench-peers" in dask.why_not()
    (tmp_path / ".installed").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (dask.why_not(), spark.why_not()) == ("", "there is no java")


def test_peers_get_all_rows_that_ours_are_fitted_on(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    chance = np.random.default_rng(0)
    source = save(tmp_path / "made.npz", X=chance.normal(size=(200, 3)), y=np.arange(200) % 2)

    made = Made(source, kind="rf:trees=2", parts=2, by="all")
    test_y = peers.write(made, tmp_path / "rows.npz")

    found = np.load(tmp_path / "rows.npz")
    assert found["X"].shape == (made.card["rows"]["train"], 3)
    assert len(found["y"]) == len(found["X"])
    assert len(found["test_X"]) == len(test_y) == made.card["rows"]["test"]
