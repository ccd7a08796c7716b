"""Flower: ``training_flwr.py SETTINGS``. A SuperLink and SuperNodes of this machine, FedAvg, all else by default.

A round is a client's share of the samples; its optimizer begins anew each time, as Flower's own examples do. This file
is the app as well: Flower loads it in processes of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import training
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

SETTINGS, TOLD = "TRAINING_SETTINGS", "TRAINING_TOLD"
SUPERLINK_PORT, NODE_PORT = 8000, 9094
PYPROJECT = """
[project]
name = "training"
version = "1.0.0"
license = "MIT"
[tool.flwr.app]
publisher = "benchmark"
[tool.flwr.app.components]
serverapp = "training_flwr:server"
clientapp = "training_flwr:client"
[tool.flwr.app.config]
rounds = 1
"""
server = ServerApp()
client = ClientApp()


def train(message: Message, context: Context) -> Message:
    """One round of one client."""
    given = training.settings(os.environ[SETTINGS])
    torch.set_num_threads(1)
    at = int(context.node_config["partition-id"])
    rows = training.part(training.read(given), at, given.nodes)
    net = training.build(rows, given)
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    moves = training.optimizer(net, given)
    number = int(message.content["config"]["server-round"])
    steps = given.samples // given.batch_size // given.nodes // given.rounds
    drawn = training.batches(rows, given.batch_size, given.seed + 1000 * number + at)
    for _, (x, y) in zip(range(steps), drawn, strict=False):
        training.step(net, moves, x, y)
    metrics = MetricRecord({"num-examples": steps * given.batch_size})
    content = RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)


def serve(grid: Grid, context: Context) -> None:
    """All rounds; the accuracy is looked at here."""
    given = training.settings(os.environ[SETTINGS])
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    rows = training.read(given)
    net = training.build(rows, given)
    sys.stdout = Path(os.environ[TOLD]).open("a")  # noqa: SIM115 - until the process ends
    clock = training.Clock()

    def look(number: int, arrays: ArrayRecord) -> MetricRecord:
        net.load_state_dict(arrays.to_torch_state_dict())
        clock.look(net, rows, number / given.rounds, round=number)
        return MetricRecord({"accuracy": training.accuracy(net, rows)})

    # One client is enough to go on with: the kindest setting for when one is lost.
    kind = FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1)
    while len(list(grid.get_node_ids())) < given.nodes:
        time.sleep(0.1)
    kind.start(grid, ArrayRecord(net.state_dict()), num_rounds=given.rounds, evaluate_fn=look)


# By calls, as decorators that have no types would take the functions theirs.
client.train()(train)
server.main()(serve)


def main() -> None:
    """Start all of it, and hand on what the server tells, until the run is over."""
    given = training.settings(sys.argv[1])
    programs = Path(sys.executable).parent
    with tempfile.TemporaryDirectory(prefix="flower-") as name:
        folder = Path(name)
        (folder / "config.toml").write_text(
            '[superlink]\ndefault = "here"\n'
            f'[superlink.here]\naddress = "127.0.0.1:{SUPERLINK_PORT}"\ninsecure = true\n'
        )
        app = folder / "app"
        app.mkdir()
        (app / "pyproject.toml").write_text(PYPROJECT)
        for file in ("training.py", "training_flwr.py"):
            (app / file).write_bytes((Path(__file__).parent / file).read_bytes())
        told = folder / "told.jsonl"
        told.touch()
        environment = os.environ | {
            "FLWR_HOME": str(folder), "FLWR_TELEMETRY_ENABLED": "0", SETTINGS: sys.argv[1], TOLD: str(told),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }  # fmt: skip
        started: list[subprocess.Popen[bytes]] = []

        def start(*command: str) -> subprocess.Popen[bytes]:
            started.append(subprocess.Popen(
                [str(programs / command[0]), *command[1:]], env=environment, cwd=app, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=sys.stderr,
            ))  # fmt: skip
            return started[-1]

        try:
            start("flower-superlink", "--insecure", "--disable-runtime-dependency-installation")
            for at in range(given.nodes):
                node = start(
                    *("flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{SUPERLINK_PORT}"),
                    *("--port", str(NODE_PORT + at), "--node-config", f"partition-id={at}"),
                )
                training.tell(worker=node.pid, rank=at)
            time.sleep(5)  # there is no way to ask the SuperLink whether it is up
            run = start("flwr", "run", ".", "here", "--stream")
            with told.open() as lines:
                while run.poll() is None or lines:
                    line = lines.readline()
                    if line:
                        sys.stdout.write(line)
                        sys.stdout.flush()
                        if json.loads(line)["share"] >= 1:
                            break
                    elif run.poll() is not None:
                        sys.exit(f"flwr run ended with code {run.returncode}")
                    else:
                        time.sleep(0.05)
        finally:
            for process in started:
                end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """It and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    main()
