"""Hand a bundle of 50 MB to 20 machines while a node works on chunks: how much longer do the chunks take?

The machines are processes of this one, each with a cache of its own, so they also share its cores with the node; on
twenty machines only Redis and the network are shared.
"""

from __future__ import annotations

import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from cluster import settings
from cluster.bundles.cache import Cache
from cluster.bundles.content import Content
from cluster.stores import Stores
from tests.benchmarks import Case, Options
from tests.benchmarks.measure import Failed
from tests.kit.programs import RedisServer, Worker, cluster

SIZE_BYTES, MACHINES = 50 * 10**6, 20
CHUNKS, CHUNK_S, SLOTS = 160, 0.1, 2
SMALL_SIZE_BYTES, SMALL_MACHINES, SMALL_CHUNKS = 3 * 10**6, 2, 20
SEED = 1
TIMEOUT_S = 120


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """One run while all is quiet and one while all fetch, as often as is asked for."""
    size = SMALL_SIZE_BYTES if options.small else SIZE_BYTES
    machines = SMALL_MACHINES if options.small else MACHINES
    source = folder / "in"
    source.mkdir()
    for number in range(SMALL_CHUNKS if options.small else CHUNKS):
        (source / f"{number:04}.txt").write_text("x")
    with RedisServer(folder / "redis") as server, Worker("one", server.url, folder, "-c", str(SLOTS)):
        stores = Stores.connect(settings.load(broker_url=server.url))
        data = random.Random(SEED).randbytes(size)
        ref = stores.models.bundles.push("big", Content("nobody", {"net.onnx": data}), "a benchmark").manifest.ref
        quiet, busy, fetches = [], [], []
        for turn in range(options.repeat):
            quiet.append(_run(server.url, stores, source))
            seconds, run = _fetched(
                server.url, ref, machines, folder / str(turn), lambda: _run(server.url, stores, source)
            )
            busy.append(run)
            fetches += seconds
    yield Case(
        name=f"bundles, {size // 10**6} MB to {machines}",
        notes={
            "run while all is quiet, s": f"{statistics.median(quiet):.2f}",
            "run while all fetch, s": f"{statistics.median(busy):.2f}",
            "a fetch, s, median": f"{statistics.median(fetches):.2f}",
            "a fetch, s, max": f"{max(fetches):.2f}",
        },
    )


def _run(url: str, stores: Stores, source: Path) -> float:
    """Seconds of a run of chunks that take ``CHUNK_S`` each, whatever else goes on.

    Raises:
        Failed: Its answer is wrong.
    """
    done = cluster("submit", "-q", "--job", "measure", "--seconds", str(CHUNK_S), source, "--broker", url)
    if done.returncode or done.stdout.count('"1"') != len(list(source.iterdir())):
        raise Failed(f"the run ended with code {done.returncode}: {done.stderr}")
    return stores.ledger.runs.latest(1)[0].seconds


def _fetched(
    url: str, ref: str, machines: int, folder: Path, meanwhile: Callable[[], float]
) -> tuple[list[float], float]:
    """Seconds that each machine took to fetch the bundle, and what was measured meanwhile.

    Raises:
        Failed: One of them did not get it whole.
    """
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(machines + 1), context.Queue()
    fetchers = [
        context.Process(target=_fetch, args=(url, ref, folder / str(number), ready, told)) for number in range(machines)
    ]
    for fetcher in fetchers:
        fetcher.start()
    ready.wait(TIMEOUT_S)
    measured = meanwhile()
    for fetcher in fetchers:
        fetcher.join(TIMEOUT_S)
        if fetcher.exitcode != 0:
            raise Failed(f"a machine did not get the bundle: its process ended with {fetcher.exitcode}")
    return [told.get(timeout=TIMEOUT_S) for _ in fetchers], measured


def _fetch(url: str, ref: str, folder: Path, ready: Barrier, told: Any) -> None:
    models = Stores.connect(settings.load(broker_url=url)).models
    manifest = models.manifest(ref)
    ready.wait(TIMEOUT_S)
    begun = time.monotonic()
    Cache(folder, 2 * SIZE_BYTES).fetch(manifest, models.bundles.read)
    seconds = time.monotonic() - begun
    if Cache(folder, 2 * SIZE_BYTES).get(manifest) is None:  # read again and compared
        raise Failed("what was fetched is not what was pushed")
    told.put(seconds)
