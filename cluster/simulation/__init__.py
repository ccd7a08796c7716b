"""Train on a simulated network: real numbers in virtual time.

``network`` reads where machines are, ``policies`` say when a round is closed, ``engine`` does a run, ``report`` tells
what came of it. ``cluster.rounds.Course`` makes the rounds, as it does in ``Job.run_locally``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from aggregators import Model, NoResult
from cluster import errors
from cluster.inputs import Source, sift
from cluster.job import Job
from cluster.rounds import Bound, Course, about_of
from cluster.simulation import network as networks
from cluster.simulation.engine import Run, Used
from cluster.simulation.network import Network
from cluster.simulation.planned import Shapes
from cluster.simulation.policies import POLICIES, Policy
from cluster.simulation.pool import Pool, is_worth
from cluster.topology import AUTO, SHAPES
from splitters import Chunk

__all__ = ["Network", "Policy", "Simulated", "simulate"]
FIXED_STEPS = 25
"""As ``tasks.train.options.FIXED_STEPS``."""
LEFT_OUT = ("model", "from_model", "checkpoint", "save")
"""Options of ``train`` about models that are kept: a simulation keeps none."""


class Simulated(NamedTuple):
    """What came of a run."""

    policy: str
    topology: str
    options: Mapping[str, Any]
    """All of the run."""
    rows: Sequence[Mapping[str, Any]]
    """Of the curve; ``at`` is in virtual seconds since the run began."""
    links: Sequence[Used]
    seconds: float
    """Virtual ones of the whole run."""
    metrics: Mapping[str, Any]
    """On the validation rows and the test rows, of the best weights."""
    sha256: str
    """Of the file of the weights."""


def require(job: Job) -> None:
    """See that this machine can simulate runs of a job.

    Raises:
        errors.NotInstalled: simpy is missing.
        errors.JobUnavailable: What the job's task needs is.
    """
    how = f'{sys.executable} -m pip install "cluster[simulate]"'
    if importlib.util.find_spec("simpy") is None:
        raise errors.NotInstalled(f"a simulation needs simpy: {how}")
    if why := job.why_not_here():
        raise errors.JobUnavailable(f"a simulation does the turns of the job {job.name} here: {why}; to add it: {how}")


def simulate(
    job: Job, source: Source, network: Network | Path, policies: Sequence[Policy | str] = ("given",), *,
    topology: str = "star", seconds: float = 0,
    on_round: Callable[[str, Mapping[str, Any]], None] = lambda name, row: None,
    **given: Any,
) -> list[Simulated]:  # fmt: skip
    """Simulate a run under each of some policies; the same call gives the same again.

    Args:
        job: One that goes in rounds: ``train``.
        source: Its input.
        network: Or the path of its file.
        policies: Names of ``policies.POLICIES``, or policies of one's own, each new.
        topology: "star", "tree", "ring", or "auto": the one that is predicted to be the fastest, as a driver does it.
        seconds: Virtual ones after which a run ends; 0: after its rounds.
        on_round: Called with the name of a policy and each row of its curve.
        given: Options of the job; ``shards`` is as many as there are terminals where it is not given.

    Raises:
        errors.UsageError: Something cannot be used; says what, and what to do.
        errors.JobUnavailable: A library is missing.
        errors.RunFailed: A run cannot go on, or a round can never be closed.
    """
    require(job)
    seed = given.get("seed") or 0
    place = networks.read(network, seed) if isinstance(network, Path) else network
    chosen = [_policy(each) for each in policies]
    cut = _Cut(job, source)
    return [
        _one(job, cut, place, policy, topology, _options(job, policy, place, seconds, given), on_round)
        for policy in chosen
    ]


def _policy(given: Policy | str) -> Policy:
    if isinstance(given, Policy):
        return given
    if given not in POLICIES:
        raise errors.UsageError(f"there is no policy {given!r}; there are: {', '.join(POLICIES)}")
    return POLICIES[given]()


def _options(
    job: Job, policy: Policy, network: Network, seconds: float, given: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """All options of a run under a policy."""
    if odd := [name for name in LEFT_OUT if given.get(name)]:
        raise errors.UsageError(f"a simulation keeps no models: leave out {', '.join(odd)}")
    known = {"shards": len(network.terminals), **given, **policy.options(given)}
    if seconds:
        known["minutes"] = seconds / 60
    told = {name: value for name, value in known.items() if value is not None}
    needed = {option.name: "simulated" for option in job.options if option.required and option.name == "model"}
    return job.options_of_run({**needed, **told})


class _Cut:
    """The input, cut once for all runs whose options cut it alike."""

    def __init__(self, job: Job, source: Source) -> None:
        self._job, self._source = job, source
        self._known: dict[str, tuple[bytes, list[Chunk]]] = {}

    def by(self, options: Mapping[str, Any]) -> tuple[bytes, list[Chunk]]:
        """What the splitter tells about the input, and the shards."""
        from cluster.functions import taken

        key = repr(sorted(taken(self._job.split, options).items()))
        if key not in self._known:
            chunks = self._job.chunks(self._source, options)
            about = about_of(next(chunks))
            self._known[key] = about, [sift(chunk)[0] for chunk in chunks]
        return self._known[key]


def _one(
    job: Job, cut: _Cut, network: Network, policy: Policy, topology: str, options: dict[str, Any],
    on_round: Callable[[str, Mapping[str, Any]], None],
) -> Simulated:  # fmt: skip
    about, shards = cut.by(options)
    _check_shape(topology, network, job)
    if not shards:
        raise errors.NothingToDo(f"the input has no shards for the job {job.name}")
    course = Course(Bound(job, options, about), len(shards))
    steps = 1 if options.get("mode") == "sync" else options.get("steps") or FIXED_STEPS
    shapes = Shapes(topology, network, steps, _can(job))
    work = steps * len(shards) * options.get("rounds", 1)
    try:
        with Pool(course.bound, shards) if is_worth(job, work) else nullcontext() as pool:
            run = Run(
                course, shards, network, policy, steps, shapes, options.get("seed", 0),
                lambda row: on_round(policy.name, row), pool,
            )  # fmt: skip
            run.run()
        result = course.result()
    except NoResult as error:
        raise errors.RunFailed(str(error)) from None
    return Simulated(policy.name, topology, options, course.rows, run.used(), run.env.now, *_told(result))


def _check_shape(topology: str, network: Network, job: Job) -> None:
    """See that parts can travel that way.

    Raises:
        errors.UsageError: They cannot.
    """
    if topology not in (AUTO, *SHAPES):
        raise errors.UsageError(f"there is no topology {topology!r}; there are: {', '.join((AUTO, *SHAPES))}")
    can = _can(job)
    if topology == "tree" and "tree" not in can:
        raise errors.UsageError(f"the job {job.name} joins no parts, as a tree needs")
    if topology == "tree" and not any(edge.aggregates for edge in network.edges.values()):
        raise errors.UsageError("no edge of this network has `aggregates = true`, as a tree needs")
    if topology == "ring" and "ring" not in can:
        raise errors.UsageError(f"the job {job.name} has no batches, as a ring needs")
    if topology == "ring" and all(terminal.of == networks.CLOUD for terminal in network.terminals):
        raise errors.UsageError("no two terminals of this network are behind one edge, as a ring needs")


def _can(job: Job) -> set[str]:
    """The shapes that a job's rounds can take."""
    joins = job.rounds is not None and job.rounds.join is not None
    has_batches = "batch_size" in job.options_schema["properties"]
    return {"star", *(["tree"] if joins else []), *(["ring"] if has_batches else [])}


def _told(result: Any) -> tuple[Mapping[str, Any], str]:
    if not isinstance(result, Model):
        return {}, ""
    weights = next((data for name, data in result.files.items() if name.endswith(".safetensors")), b"")
    return result.parameters.get("metrics", {}), hashlib.sha256(weights).hexdigest()
