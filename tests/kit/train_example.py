"""Train a network on two workers, one of which is killed in the middle: ``make train-example``.

Nothing here is played: a Redis on a free port of this machine, two workers, `kill -9`, and the commands that a person
would type. It draws the letters to learn from, and leaves the model, its curve and its report in a folder.
"""

from __future__ import annotations

import argparse
import runpy
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster import client, logs
from cluster.client import Run
from tests.kit.programs import ROOT, RedisServer, Worker, cluster

DRAW = ROOT / "deploy" / "examples" / "draw_letters.py"
MODEL = "letters"
OPTIONS: Mapping[str, Any] = {
    "model": MODEL, "net": "cnn:16,32", "shards": 4, "rounds": 30, "round_seconds": 0.5, "seed": 1,
}  # fmt: skip
PLAIN = {"PYTHONPATH": ""}
"""Without the jobs of the tests."""
COMMAND_S = 600
"""A machine that does other things, too, may take long."""
WORKER = {**PLAIN, "CLUSTER_SLOTS": "1", "OMP_NUM_THREADS": "1"}


def main(folder: Path, rows: int, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Train, kill a worker in the middle, tell how it went; gives the report."""
    folder.mkdir(parents=True, exist_ok=True)
    runpy.run_path(str(DRAW))["write"](folder / "letters.npz", rows, 0)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        with (
            RedisServer(place / "redis") as redis,
            Worker("first", redis.url, place / "first", "-Q", "train", **WORKER),
            Worker("second", redis.url, place / "second", "-Q", "train", **WORKER) as second,
            client.connect(redis.url) as c,
        ):
            run = c.submit("train", folder / "letters.npz", **options)
            say(f"{run.id}: {rows} pictures of letters, {options['shards']} shards, two workers of one slot each")
            follow(run, second, options["rounds"] // 2)
            report: Mapping[str, Any] = run.result()
            settings = {**PLAIN, "CLUSTER_BROKER_URL": redis.url}
            tell(settings, "result", run.id, "-o", folder / "report.json")
            tell(settings, "curve", run.id, "--csv", folder / "curve.csv")
            tell(settings, "models", "show", report["model"])
            shutil.rmtree(folder / "bundle", ignore_errors=True)
            tell(settings, "models", "pull", report["model"], folder / "bundle")
    say(f"the model, its curve and its report are in {folder}")
    return report


def follow(run: Run, second: Worker, half: int) -> None:
    """Tell of each round, and kill the second worker once half of them are over."""
    is_alive = True
    for row in run.watch_curve():
        score = f", accuracy {row['accuracy']:.3f}" if "accuracy" in row else ""
        say(f"round {row['round']} ({row['kind']}): {row['parts']} parts, {row['late']} late{score}, {row['at']:.1f} s")
        if is_alive and row["round"] + 1 >= half:
            second.kill()
            is_alive = False
            say("kill -9 of the second worker")
    if is_alive:
        raise AssertionError("the run was over before half of its rounds were")


def tell(settings: Mapping[str, str], *arguments: str | Path) -> None:
    """Run a command and show it with what it prints."""
    say(f"$ cluster {' '.join(map(str, arguments))}")
    done = cluster(*arguments, timeout_s=COMMAND_S, settings=settings)
    say(f"{done.stdout}{done.stderr}".rstrip("\n"))
    if done.returncode:
        sys.exit(done.returncode)


def say(text: str) -> None:
    print(logs.plain_lines(text), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train letters on two workers, one of which is killed in the middle.")
    parser.add_argument("folder", type=Path, help="for the model, its curve and its report")
    parser.add_argument("--rows", type=int, default=6000, help="how many pictures of letters")
    given = parser.parse_args()
    main(given.folder, given.rows, OPTIONS)
