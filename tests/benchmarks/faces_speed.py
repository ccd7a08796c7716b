"""Recognise people in two slots of a cluster that is ready, and in two bare processes: what the cluster costs.

The bare processes are the limit: each takes the next picture from a list they share, finds and names its faces by the
same functions, and the answers are written as one file. They are loaded before their time begins, as the worker is.
The cluster's time is that of ``cluster submit``, from its start until the result is on disk; ``submit alone`` is what
of this a run of a single picture takes.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from splitters import files
from splitters.suffixes import PICTURES
from tasks import faces
from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Goal, Row
from tests.benchmarks.measure import ROOT, Failed
from tests.kit.programs import RedisServer, Worker, cluster

DATA = ROOT.parent / "shared" / "data" / "faces"
EXAMPLES = ROOT / "deploy" / "examples" / "people"
SLOTS = 2
TIMES, LEARNT_PEOPLE = 5, 5
MOST_TIME = 1.1
TIMEOUT_S = 300


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Portraits of 20 people, five of whom are known; each portrait several times."""
    source = EXAMPLES if options.small else DATA
    if problem := faces.why_unavailable() or ("" if source.is_dir() else f"there is no folder {source}"):
        yield Case(name="faces-speed", skipped=problem)
        return
    people = sorted(source.iterdir())
    known, shown, single = folder / "known", folder / "shown", folder / "single"
    for person in people[: 2 if options.small else LEARNT_PEOPLE]:
        shutil.copytree(person, known / person.name)
    for copy in range(1 if options.small else TIMES):
        shutil.copytree(source, shown / str(copy))
    single.mkdir()
    shutil.copy(next(known.glob("*/*")), single)
    with RedisServer(folder / "redis") as server, Worker("one", server.url, folder, "-c", str(SLOTS)):
        settings = {"CLUSTER_BROKER_URL": server.url}
        _command("submit", "--job", "faces-train", "--model", "known", known, settings=settings)
        _command("models", "pull", "known", folder / "model", settings=settings)
        alone, ours, limits = [], [], []
        with Bare(str(folder / "model"), shown, folder / "limit.json") as bare:
            _submitted(single, folder / "single.json", settings)  # each slot loads what it needs
            _submitted(shown, folder / "ours.json", settings)
            for _ in range(options.repeat):
                limits.append(bare.run())
                alone.append(_submitted(single, folder / "single.json", settings))
                ours.append(_submitted(shown, folder / "ours.json", settings))
                _compare(folder / "ours.json", folder / "limit.json")
    pictures = len(json.loads((folder / "limit.json").read_bytes()))
    ratios = sorted(our / limit for our, limit in zip(ours, limits, strict=True))
    less = [our - one for our, one in zip(ours, alone, strict=True)]
    ratio = statistics.median(ratios)
    yield Case(
        name=f"faces-speed, {pictures} portraits",
        notes={
            "cluster, s": f"{statistics.median(ours):.2f} [{min(ours):.2f}-{max(ours):.2f}]",
            "limit, s": f"{statistics.median(limits):.2f} [{min(limits):.2f}-{max(limits):.2f}]",
            "cluster / limit": f"{ratio:.3f} [{ratios[0]:.3f}-{ratios[-1]:.3f}]",
            "pictures per second, cluster": f"{pictures / statistics.median(ours):.1f}",
            "submit alone, s": f"{statistics.median(alone):.2f}",
            "cluster / limit without it": f"{statistics.median(a / b for a, b in zip(less, limits, strict=True)):.3f}",
        },
        rows=[
            Row(
                work=f"faces, {pictures} portraits",
                against="limit: 2 bare processes",
                ours=ours,
                theirs=limits,
                goal=Goal("<=", MOST_TIME),
            )
        ],
    )


class Bare:
    """Two processes that are ready to recognise."""

    def __init__(self, model: str, source: Path, target: Path) -> None:
        self._pictures = list(files.walk([source], PICTURES))
        self._target = target
        context = multiprocessing.get_context("spawn")
        self._next, self._begin, self._told = context.Value("i", 0), context.Barrier(SLOTS + 1), context.SimpleQueue()
        arguments = (model, self._pictures, self._next, self._begin, self._told)
        self._processes = [context.Process(target=_recognise, args=arguments, daemon=True) for _ in range(SLOTS)]

    def __enter__(self) -> Bare:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def run(self) -> float:
        """Recognise all pictures once and write the answer; gives the seconds it took.

        Raises:
            threading.BrokenBarrierError: One of the processes ended.
        """
        self._next.value = 0
        self._begin.wait(TIMEOUT_S)
        begun = time.monotonic()
        answer: dict[str, Any] = {}
        for _ in self._processes:
            answer |= self._told.get()
        self._target.write_text(json.dumps(dict(sorted(answer.items())), ensure_ascii=False), encoding="utf-8")
        return time.monotonic() - begun


def _recognise(model: str, pictures: Sequence[Any], at: Any, begin: Barrier, told: Any) -> None:
    """What one bare process does, again and again."""
    faces.recognise([files.read(pictures[0])], model=model)  # what is loaded once does not count
    while True:
        begin.wait()
        found: dict[str, Any] = {}
        while True:
            with at.get_lock():
                number, at.value = at.value, at.value + 1
            if number >= len(pictures):
                break
            found |= faces.recognise([files.read(pictures[number])], model=model).value
        told.put(found)


def _submitted(source: Path, target: Path, settings: dict[str, str]) -> float:
    """Seconds from the start of ``cluster submit`` until the result is on disk."""
    target.unlink(missing_ok=True)
    begun = time.time()
    _command("submit", "--job", "faces", "--model", "known", source, "-o", target, settings=settings)
    return target.stat().st_mtime - begun


def _command(*arguments: str | Path, settings: dict[str, str]) -> None:
    """Run the command line.

    Raises:
        Failed: It ended badly.
    """
    ended = cluster(*arguments, timeout_s=TIMEOUT_S, settings=settings)
    if ended.returncode:
        raise Failed(f"cluster {' '.join(map(str, arguments))} ended with code {ended.returncode}: {ended.stderr}")


def _compare(ours: Path, limit: Path) -> None:
    """See that the cluster's answer is that of the bare processes.

    Raises:
        Failed: It is another one.
    """
    answer, expected = (json.loads(file.read_bytes()) for file in (ours, limit))
    if answer != expected:
        wrong = sorted(name for name in answer.keys() | expected.keys() if answer.get(name) != expected.get(name))
        raise Failed(f"{len(wrong)} pictures have another answer, {wrong[0]} first")
    if not any(face["label"] != "unknown" for found in answer.values() for face in found):
        raise Failed("nobody was recognised: the model was not used")
