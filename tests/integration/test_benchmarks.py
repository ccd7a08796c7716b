"""The benchmarks still run, and still notice a wrong answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import measure, ocr, oracle
from tests.benchmarks.measure import Failed
from tests.kit.programs import ROOT, environment, find_redis


@pytest.mark.parametrize("name", ["wordcount", "many-files"])
def test_a_benchmark_runs_and_finds_its_answer_right(name: str, tmp_path: Path) -> None:
    find_redis()
    target = tmp_path / "figures.json"

    ended = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", name, "--small", "--json", str(target)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    for case in json.loads(target.read_bytes())["cases"]:
        [run] = case["runs"]
        assert {"submitter", "redis", "guard", "worker", "child"} <= set(run["rss_bytes"]), case
        assert 0 < run["run_s"] < run["wall_s"]


@pytest.mark.parametrize("name", ["bundles", "faces-speed"])
def test_a_benchmark_that_compares_works(name: str, tmp_path: Path) -> None:
    find_redis()
    command = [sys.executable, "-m", "tests.benchmarks", name, "--small"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"b": 1, "a": 2}, "order of their counts"), ({"a": 2}, "'b'"), ({"a": 2, "b": 1, "c": 1}, "'c'")],
)
def test_the_plain_count_refuses_a_wrong_answer(answer: dict[str, int], said: str, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "one.txt").write_text("a b\na")
    (tmp_path / "answer.json").write_text(json.dumps(answer))

    ended = subprocess.run(
        [sys.executable, oracle.__file__, tmp_path / "answer.json", texts],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert said in ended.stderr


def test_a_run_that_fails_has_no_time(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no such file"):
        measure.submit("wordcount", [tmp_path / "missing"], tmp_path / "counts.json")


def test_word_recall_counts_words_as_a_multiset_in_lower_case() -> None:
    truth = {"1.jpg": "Total 5.00\n5.00", "2.jpg": "thanks"}

    assert ocr.recall(truth, {"1.jpg": "TOTAL: total 5.00"}) == 2 / 4
