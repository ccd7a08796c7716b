"""Train an ensemble on two workers, predict a file with it, serve it, and ask it with curl: ``make serve-example``.

Nothing here is played: a Redis on a free port of this machine, two workers, and the commands of docs/howto/ensembles.md
and docs/howto/serving.md. It leaves the table, the report and the predictions in a folder.
"""

from __future__ import annotations

import argparse
import csv
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.kit.programs import DATA, RedisServer, Worker, find_program, start_cluster
from tests.kit.train_example import PLAIN, WORKER, say, tell
from tests.kit.waiting import line_with

LETTERS = DATA / "tables" / "letter.csv"
MODEL = "letters"
NEW_ROWS, ASKED_ROWS = 200, 3
ANSWER_S = 60


class Table(NamedTuple):
    """The rows to learn from, and new ones, in two files."""

    train: Path
    new: Path
    target: str


def main(folder: Path, table: Path, rows: int, trees: int) -> Mapping[str, Any]:
    """Train, predict, serve, ask; gives the report of the training."""
    folder.mkdir(parents=True, exist_ok=True)
    find_program("curl", "curl")
    found = cut(table, folder, rows)
    predicted = folder / "predicted.csv"
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as held:
        redis = held.enter_context(RedisServer(Path(scratch) / "redis"))
        for name in ("first", "second"):
            place = Path(scratch) / name
            more = {**WORKER, "CLUSTER_CACHE_DIR": str(place / "cache")}
            held.enter_context(Worker(name, redis.url, place, "-Q", "ensemble,predict", **more))
        settings = {**PLAIN, "CLUSTER_BROKER_URL": redis.url}
        tell(
            settings, "submit", "--job", "ensemble", found.train, "--target", found.target, "--model", MODEL,
            "--kind", f"rf:trees={trees}", "-o", folder / "report.json",
        )  # fmt: skip
        tell(settings, "submit", "--job", "predict", found.new, "--model", MODEL, "--format", "csv", "-o", predicted)
        expected = [row["label"] for row in read(predicted)]
        served = ask(settings, read(found.new)[:ASKED_ROWS], found.target)
    report: Mapping[str, Any] = json.loads((folder / "report.json").read_bytes())
    true = [row[found.target] for row in read(found.new)]
    right = sum(one == other for one, other in zip(expected, true, strict=True))
    say(f"{right} of {len(true)} new rows are predicted rightly; the test rows said {report['test']['accuracy']:.3f}")
    check(served == expected[:ASKED_ROWS], f"the service says {served}, the file {expected[:ASKED_ROWS]}")
    check(right / len(true) > report["test"]["accuracy"] - 0.1, "new rows are predicted worse than the test rows")
    say(f"the table, the report and the predictions are in {folder}")
    return report


def ask(settings: Mapping[str, str], rows: Sequence[Mapping[str, str]], target: str) -> list[str]:
    """Serve the model, paste the line that the command prints, and ask for some rows; gives their labels."""
    say(f"$ cluster serve {MODEL} --replicas 2")
    with start_cluster("serve", MODEL, "--replicas", "2", "--port", "0", settings=settings) as program:
        assert program.stdout is not None
        export = line_with("export TOKEN=", program.stdout, ANSWER_S)
        ready = line_with("ready at ", program.stdout, ANSWER_S).strip()
        curl = line_with("curl ", program.stdout).strip()
        say(f"{ready}\n$ {curl}")
        say(paste(export, curl))
        url = ready.removeprefix("ready at ")
        numbers = [{name: float(value) for name, value in row.items() if name != target} for row in rows]
        asked = (
            f"curl -sS -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json'"
            f" -d '{json.dumps(numbers)}' {url}/v1/models/{MODEL}/predict"
        )
        answer = json.loads(paste(export, asked))
        say(f"the first {len(rows)} new rows: {json.dumps(answer)}")
        tell(settings, "services")
        program.send_signal(signal.SIGINT)
        _, told = program.communicate(timeout=ANSWER_S)
        say(told.rstrip("\n"))
        check(program.returncode == 0, f"cluster serve ended with {program.returncode}")
    return [row["label"] for row in answer["rows"]]


def paste(*lines: str) -> str:
    """Run lines in a shell; gives what they print."""
    script = "\n".join(lines)
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False, timeout=ANSWER_S)
    check(done.returncode == 0, f"{lines[-1]}: {done.stderr}")
    return done.stdout


def cut(table: Path, folder: Path, rows: int) -> Table:
    """The first ``rows`` rows of a table whose last column is the target, and ``NEW_ROWS`` that follow."""
    lines = table.read_text().splitlines()
    header, body = lines[0], lines[1:]
    found = Table(folder / "train.csv", folder / "new.csv", header.rpartition(",")[2])
    found.train.write_text("\n".join([header, *body[:rows], ""]))
    found.new.write_text("\n".join([header, *body[rows : rows + NEW_ROWS], ""]))
    return found


def read(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def draw(file: Path, rows: int) -> Path:
    """A table of flowers of three kinds, where there is no other one."""
    import numpy as np

    random = np.random.default_rng(0)
    kinds = random.integers(0, 3, rows)
    values = kinds[:, None] * [2.0, -1.0, 0.5] + random.normal(0, 0.5, (rows, 3))  # (rows, columns)
    lines = [f"{a:.3f},{b:.3f},{c:.3f},{'rst'[kind]}" for (a, b, c), kind in zip(values, kinds, strict=True)]
    file.write_text("\n".join(["height,width,petals,kind", *lines, ""]))
    return file


def check(holds: bool, why: str) -> None:
    """End the example where something is not as it must be."""
    if not holds:
        sys.exit(f"serve-example: {why}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train an ensemble on two workers, predict with it, and serve it.")
    parser.add_argument("folder", type=Path, help="for the table, the report and the predictions")
    parser.add_argument("--table", type=Path, help="a CSV file of numbers whose last column is the class to learn")
    parser.add_argument("--rows", type=int, default=4000, help="how many rows to learn from")
    parser.add_argument("--trees", type=int, default=40, help="trees of each sub-model")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    source = given.table or (LETTERS if LETTERS.exists() else draw(given.folder / "flowers.csv", given.rows + NEW_ROWS))
    main(given.folder, source, given.rows, given.trees)
