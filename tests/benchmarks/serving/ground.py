"""Servers of the net, each in processes of its own: ours with Redis, nodes and a gateway, and the others."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from cluster import settings
from cluster.bundles import content
from cluster.embedded import redis_server
from cluster.names import Target
from cluster.nodes.registry import Registry
from cluster.services.desired import Service, Services
from cluster.services.messages import Answer, Request
from cluster.services.replicas import Replicas
from cluster.services.tokens import Tokens
from cluster.stores import Stores
from tests.benchmarks.contest import SCRIPTS
from tests.benchmarks.measure import ROOT, Failed
from tests.benchmarks.serving import net
from tests.benchmarks.serving.load import Load
from tests.kit.played_replica import PlayedReplica, doubled, enter
from tests.kit.programs import RedisServer, Worker, environment
from tests.kit.waiting import wait_until

PEERS = ROOT / ".venv-peers-serving"
START_S = 60.0
PEER_START_S = 180.0
"""Ray Serve starts in a minute where others use the machine."""


class Server(NamedTuple):
    """A server to ask."""

    url: str
    """With the path to ask."""
    token: str = ""
    stores: Stores | None = None
    """Ours alone."""
    plain: bool = False
    """It takes and gives rows without names."""

    def load(self, folder: Path, clients: int, seconds: float, most: int | None = None) -> Load:
        """Have so many clients ask for so long, from another process."""
        body = folder / "body.json"
        body.write_bytes(net.body(net.rows()[0], plain=self.plain))
        command = [sys.executable, "-m", "tests.benchmarks.serving.load", self.url, self.token, str(body), str(clients)]
        command += [str(seconds), *([str(most)] if most else [])]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 60, check=True)
        return Load(**json.loads(done.stdout))

    def ask(self, row: net.Array) -> list[float]:
        """What it answers to one row."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        headers["content-type"] = "application/json"
        answer = httpx.post(self.url, content=net.body(row, plain=self.plain), headers=headers, timeout=30)
        answer.raise_for_status()
        found: list[float] = answer.json()[0] if self.plain else answer.json()["outputs"][0]["data"]
        return found


@contextlib.contextmanager
def ours(folder: Path, replicas: int, **wanted: Any) -> Iterator[Server]:
    """Our server: a Redis, a node for each replica, a gateway."""
    folder.mkdir()
    net.write(folder / "net")
    with RedisServer(folder / "redis") as redis, contextlib.ExitStack() as stack:
        stores = Stores.connect(settings.load(broker_url=redis.url))
        stores.models.bundles.push("net", content.read_folder(folder / "net"), "a benchmark")
        token = Tokens(stores.redis).new("load")
        Services(stores.redis).put(Service(name="net", job="onnx", model="net", replicas=replicas, **wanted))
        for number in range(replicas):
            stack.enter_context(Worker(f"node{number}", redis.url, folder / "nodes", "-c", "1"))
        said = stack.enter_context(_gateway(redis.url))
        try:
            wait_until("replicas", lambda: len(ready(stores)) == replicas, START_S)
        except AssertionError:
            told = [one.problems for one in Replicas(stores.redis).read(["net"])["net"]]
            raise Failed(f"no replicas: {told} {Replicas(stores.redis).problems('net')}") from None
        server = Server(f"{said}/v2/models/net/infer", token, stores)
        wait_until("answered", lambda: _answers(server), START_S)
        yield server


@contextlib.contextmanager
def slow(folder: Path, **wanted: Any) -> Iterator[Server]:
    """Ours with a replica that is played: it takes 4 requests at a time and 21 ms for them, so 190 a second."""
    folder.mkdir()
    with RedisServer(folder / "redis") as redis:
        stores = Stores.connect(settings.load(broker_url=redis.url))
        token = Tokens(stores.redis).new("load")
        enter(stores.redis, "net", **wanted)

        def answering(requests: Sequence[Request]) -> Sequence[Answer]:
            time.sleep(0.021)
            return doubled(requests)

        with PlayedReplica(stores.redis, Target("net"), answering=answering, most=4), _gateway(redis.url) as said:
            server = Server(f"{said}/v2/models/net/infer", token, stores)
            wait_until("answered", lambda: server.ask(net.rows()[0]), START_S)
            yield server


def ready(stores: Stores) -> list[int]:
    """The processes of the replicas that take requests."""
    return [one.pid for one in Replicas(stores.redis).read(["net"])["net"] if one.ready]


def can(stores: Stores, capability: str) -> int:
    """How many nodes serve a capability."""
    return sum(node.serves(capability) for node in Registry(stores.redis).nodes())


@contextlib.contextmanager
def _gateway(url: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.serving.gateway"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started: Any = subprocess.Popen(command, cwd=ROOT, env=environment(CLUSTER_BROKER_URL=url), **pipes)  # type: ignore[call-overload]
    try:
        yield started.stdout.readline().strip()
    finally:
        started.stdin.close()
        started.wait(30)
        started.stdout.close()


class Peer(NamedTuple):
    """Another server of the net."""

    name: str
    script: str
    path: str
    own_environment: bool = True

    def why_not(self) -> str:
        """Why it cannot run here, or ""."""
        there = not self.own_environment or (PEERS / ".installed").is_file()
        return "" if there else "`make bench-peers` installs it"

    def command(self, file: Path, port: int) -> Sequence[str]:
        """What starts it."""
        python = str(PEERS / "bin" / "python") if self.own_environment else sys.executable
        if self.script == "serving_bentoml":
            return [python, "-m", "bentoml", "serve", "serving_bentoml:Net", "--port", str(port), "--host", "127.0.0.1"]
        return [python, str(SCRIPTS / f"{self.script}.py"), str(file), str(port)]


STARLETTE = Peer("Starlette, the net in its process", "serving_starlette", "/v2/models/net/infer", False)
LITSERVE = Peer("LitServe, batches of 32", "serving_litserve", "/predict")
RAY = Peer("Ray Serve, batches of 32", "serving_ray", "/infer")
BENTOML = Peer("BentoML, batches of 32", "serving_bentoml", "/infer")


@contextlib.contextmanager
def other(peer: Peer, folder: Path) -> Iterator[Server]:
    """Another server, with all processes that it starts."""
    folder.mkdir()
    file = net.write(folder / "net")
    port = redis_server.free_port("127.0.0.1")
    more: Mapping[str, str] = {"NET": str(file), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPTS)}
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(
            peer.command(file, port), cwd=folder, env={**os.environ, **more}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}{peer.path}", plain=peer is BENTOML)
    try:
        wait_until(peer.name, lambda: _answers(server) or started.poll() is not None, PEER_START_S)
        if started.poll() is not None:
            raise Failed(f"{peer.name} ended: {(folder / 'log').read_text(errors='replace')[-500:]}")
        yield server
    finally:
        inner = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(10)
        for process in inner:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        started.kill()
        started.wait()


def _answers(server: Server) -> bool:
    with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
        return len(server.ask(net.rows()[0])) == 10
    time.sleep(0.1)
    return False
