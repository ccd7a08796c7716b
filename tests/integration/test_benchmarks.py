"""The benchmarks still notice a wrong answer; those marked slow see that they still run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner

from tests.benchmarks import Benchmark, Case, Options, contest, measure, ocr, ocr_peers, oracle, tally, wordcount_peers
from tests.benchmarks.__main__ import BENCHMARKS, main
from tests.benchmarks.contest import Peer, Timed
from tests.benchmarks.measure import Failed
from tests.kit.programs import ROOT, environment, find_redis


def test_every_module_with_cases_is_a_benchmark() -> None:
    files = (path for path in (ROOT / "tests" / "benchmarks").rglob("*.py") if "\ndef cases(" in path.read_text())
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files}
    assert names == {cases.__module__ for cases in BENCHMARKS.values()}


def test_a_wrong_answer_has_no_row_and_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(options: Options, folder: Path) -> Iterator[Case]:
        assert options.small
        yield Case(name="empty", problem="counts differ")

    monkeypatch.setitem(cast(dict[str, Benchmark], BENCHMARKS), "empty", wrong)
    done = CliRunner().invoke(main, ["--small", "empty"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "WRONG: empty: counts differ" in done.stderr


@pytest.mark.slow
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


def benchmark(*arguments: str | Path) -> str:
    """Run benchmarks at their small size; what they printed."""
    find_redis()
    command = [sys.executable, "-m", "tests.benchmarks", "--small", *map(str, arguments)]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bundles", "faces-speed", "scaling"])
def test_a_benchmark_that_compares_works(name: str) -> None:
    benchmark(name)


@pytest.mark.slow
def test_races_compare_with_what_needs_no_other_environment(tmp_path: Path) -> None:
    """The others need `make bench-peers`; see the slow one below."""
    target = tmp_path / "figures.json"

    told = benchmark(
        *("ocr-peers", "wordcount-peers", "empty", "startup", "--json", target),
        *("--against", "limit", "--against", "pool", "--against", "plain Celery"),
    )

    rows = [row for case in json.loads(target.read_bytes())["cases"] for row in case["rows"]]
    assert len(rows) == 6, told
    for row in rows:
        assert not row["skipped"], row
        assert len(row["ours"]) == len(row["theirs"]) == len(row["ratios"]) == 1, row


@pytest.mark.slow
@pytest.mark.skipif(not (contest.PEERS / ".installed").is_file(), reason="`make bench-peers` was not run")
def test_races_compare_with_all_others(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"

    told = benchmark("ocr-peers", "wordcount-peers", "empty", "--json", target)

    rows = [row for case in json.loads(target.read_bytes())["cases"] for row in case["rows"]]
    assert not [row for row in rows if row["skipped"] and "java" not in row["skipped"]], told


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


def test_texts_of_another_engine_are_told_and_other_texts_refused() -> None:
    true = {"1.png": "one two three four five six seven eight nine ten", "2.png": "a"}

    assert ocr_peers.differences(true, {**true, "2.png": "a\n"}) == ""
    assert "1 texts differ" in ocr_peers.differences(true, {**true, "2.png": "b"})
    with pytest.raises(Failed, match="of the words"):
        ocr_peers.differences(true, {**true, "1.png": "one"})
    with pytest.raises(Failed, match=r"2\.png"):
        ocr_peers.differences(true, {"1.png": true["1.png"]})


def test_counts_that_differ_only_in_how_invalid_bytes_are_shown_are_told(tmp_path: Path) -> None:
    def figures(text: str) -> dict[str, object]:
        (tmp_path / "counts").write_text(text)
        counts = tally.read(tmp_path / "counts")
        return tally.figures(counts)

    true = figures('{"a": 3, "b\ufffd\ufffd": 2}')

    assert (
        wordcount_peers.differences(true, figures('{"word": "a", "count": 3}\n{"word": "b\ufffd\ufffd", "count": 2}'))
        == ""
    )
    assert wordcount_peers.differences(true, figures('{"a": 3, "b\ufffd": 2}')) == wordcount_peers.INVALID
    for wrong in ('{"a": 3}', '{"b\ufffd\ufffd": 2, "a": 3}', '{"a": 3, "b\ufffd": 1, "b\ufffd\ufffd": 2}'):
        with pytest.raises(Failed):
            wordcount_peers.differences(true, figures(wrong))


def test_a_peer_whose_answer_is_wrong_has_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "SCRIPTS", tmp_path)
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")  # as our OCR leaves it, and no peer of ours should find it
    script = "import os, sys, time, json\nassert 'OMP_THREAD_LIMIT' not in os.environ\n"
    script += "open(sys.argv[-1], 'w').write(sys.argv[1])\n"
    (tmp_path / "peer.py").write_text(script + "print(json.dumps({'done': time.time()}))")
    right, wrong = (
        Peer(name=name, script="peer.py", arguments=[name], own_environment=False) for name in ("right", "wrong")
    )

    def ours(output: Path) -> Timed:
        output.write_text("right")
        return Timed(1.0)

    def check(output: Path) -> str:
        if output.read_text() != "right":
            raise Failed("another answer")
        return ""

    rows = contest.race("w", ours, [right, wrong], check, options=Options(repeat=2), folder=tmp_path)

    assert [len(row.theirs) for row in rows] == [2, 0]
    assert [row.skipped for row in rows] == ["", "another answer"]
