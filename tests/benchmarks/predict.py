"""How long a table takes through a model on two slots, beside scikit-learn in one process that reads the same file."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from aggregators import predictor
from aggregators.likeliest import likeliest
from cluster import catalog, client
from cluster.bundles.content import Content
from splitters.tables.encoding import Encoder
from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.peers import predict_sklearn
from tests.kit.programs import DATA, RedisServer, Worker, cluster

LETTER = DATA / "tables" / "letter.csv"
ROWS, SMALL_ROWS = 1_000_000, 20_000
KINDS = {"rf": "rf:trees=100", "hgb": "hgb:trees=20"}
LEAST, MOST = 1.7, 4.0
EXACT_ROWS = 20_000
"""Of the comparison without ONNX Runtime."""
SLOTS = 2
TIMEOUT_S = 3600


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Each kind of model: on the cluster, and NumPy alone in one process."""
    if not LETTER.exists() or not find_spec("sklearn"):
        yield Case(name="predict", skipped="needs ../shared/data/tables and scikit-learn")
        return
    number = SMALL_ROWS if options.small else ROWS
    given = draw(folder / "rows.csv", number)
    with RedisServer(folder / "redis") as server, Worker("one", server.url, folder / "one", "-c", str(SLOTS)) as worker:
        for kind in KINDS:
            model = fit(kind, folder / kind)
            yield _on_cluster(kind, model, given, number, server.url, worker, options)
            yield _in_numpy(kind, model, given, options)


def draw(path: Path, number: int) -> Path:
    """Write a table of rows that are drawn from the letters, without their classes."""
    head, *lines = (line.rpartition(",")[0] for line in LETTER.read_text().splitlines())
    chosen = np.random.default_rng(0).integers(0, len(lines), number)
    with path.open("w") as out:
        out.write(f"{head}\n")
        out.writelines(f"{lines[at]}\n" for at in chosen)
    return path


def fit(kind: str, folder: Path) -> Path:
    """Fit a model on the letters; gives the folder of its bundle."""
    made = catalog.get("ensemble").run_locally(
        LETTER, model="letters", target="letter", kind=KINDS[kind], by="all", parts=1
    )
    for name, data in made.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def _on_cluster(
    kind: str, model: Path, given: Path, number: int, url: str, worker: Worker, options: Options
) -> Case:  # fmt: skip
    files = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    ours, theirs, peaks = [], [], []
    with client.connect(url) as c:
        pushed = c.model_store.bundles.push(kind, Content("predict", files), "a benchmark").manifest.ref
    _submit(url, pushed, draw(given.with_name("few.csv"), 100))  # nodes have the model now
    for _ in range(options.repeat):
        ours.append(_seconds(lambda: _submit(url, pushed, given)))
        peaks.append(max(_memory_mb(worker.process.pid)))
        theirs.append(_sklearn(kind, given))
    _check(given.with_name("ours.csv"), model, given)
    has_onnx = find_spec("onnxruntime") is not None and (model / predictor.ONNX).exists()
    engine = "with ONNX Runtime" if has_onnx else "without ONNX Runtime"
    return Case(
        name=f"predict, {kind}, cluster",
        notes={"memory of a slot, MB": round(max(peaks))},
        rows=[
            Row(
                work=f"predict {kind}, {number:,} rows x 16 of CSV to CSV, {SLOTS} slots, {engine}",
                against="scikit-learn, one process, np.loadtxt",
                ours=ours, theirs=theirs, goal=Goal(">=", LEAST, "x") if has_onnx else Goal("<=", MOST),
            )
        ],
    )  # fmt: skip


def _submit(url: str, model: str, given: Path) -> None:
    output = given.with_name("ours.csv")
    options = ("-q", "--job", "predict", "--model", model, "--format", "csv", "-o", output)
    done = cluster("submit", *options, given, "--broker", url, timeout_s=TIMEOUT_S)
    if done.returncode:
        raise Failed(f"the run ended with code {done.returncode}: {done.stderr}")


def _in_numpy(kind: str, model: Path, given: Path, options: Options) -> Case:
    """The same rows in one process each, without ONNX Runtime."""
    X = np.loadtxt(given, delimiter=",", skiprows=1, max_rows=EXACT_ROWS)
    found = predictor.load(model, prefer_onnx=False)
    encoded = Encoder.of(found.card).array(X)
    peer = _fitted(kind)
    ours, theirs = [], []
    for _ in range(options.repeat):
        ours.append(_seconds(lambda: found.scores(encoded)))
        theirs.append(_seconds(lambda: peer.predict(X)))
    row = Row(
        work=f"predict {kind}, {len(X):,} rows, NumPy alone", against="scikit-learn", ours=ours, theirs=theirs,
        goal=Goal("<=", MOST),
    )  # fmt: skip
    return Case(name=f"predict, {kind}, NumPy", rows=[row])


def _fitted(kind: str) -> Any:
    head, *lines = csv.reader(LETTER.read_text().splitlines())
    assert head[-1] == "letter"
    return predict_sklearn.KINDS[kind]().fit(
        np.array([line[:-1] for line in lines], float), [line[-1] for line in lines]
    )


def _seconds(work: Any) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _sklearn(kind: str, given: Path) -> float:
    command = [sys.executable, predict_sklearn.__file__, kind, LETTER, given, given.with_name("theirs.csv")]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"scikit-learn failed: {done.stderr}")
    return float(json.loads(done.stdout)["seconds"])


def _memory_mb(pid: int) -> list[float]:
    """Of a process and those that it started."""
    process = psutil.Process(pid)
    return [one.memory_info().rss / 1e6 for one in (process, *process.children(recursive=True))]


def _check(said: Path, model: Path, given: Path) -> None:
    """See that each row has the label that the model gives it in one process, in the order of the input.

    Raises:
        Failed: It has not.
    """
    found = predictor.load(model)
    encoder = Encoder.of(found.card)
    with said.open(newline="") as opened:
        reader = csv.reader(opened)
        next(reader)
        X = np.loadtxt(given, delimiter=",", skiprows=1)
        for start in range(0, len(X), EXACT_ROWS):
            codes = likeliest(found.scores(encoder.array(X[start : start + EXACT_ROWS])))
            for at, code in enumerate(codes.tolist(), start):
                if (line := next(reader, None)) != [str(at), found.card["classes"][code]]:
                    raise Failed(f"row {at} is {line}, and its class is {found.card['classes'][code]}")
        if next(reader, None) is not None:
            raise Failed("there are more rows than in the input")
