"""Whether the declaration of a job holds together: its names, and whether its functions take its options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from cluster import functions, names
from cluster.functions import Lazy

if TYPE_CHECKING:
    from cluster.job import Job

RESERVED = frozenset(
    {"chunk_size", "job", "job_name", "output", "annotate", "format", "format_name", "detach", "quiet", "run", "broker"}
    | {"report"}
    | {"if_no_node", "log_format", "inputs", "help", "plan", "chunk", "source", "passed_over", "save"}
)
"""Names that no option of a job may have: `cluster submit` and the parts themselves use them."""

RESERVED_OF_SERVED = frozenset(
    {"name", "replicas", "host", "port", "max_waiting", "deadline", "deadline_s", "canary", "shadow"}
    | {"cert", "key", "as_json", "json"}
)
"""Names that no option of a job that serves may have besides: `cluster serve` uses them."""


def check(job: Job) -> None:
    """See that what shows without importing anything is right.

    Raises:
        ValueError: It is not; the message names the job and what is wrong.
    """
    if not re.fullmatch(names.JOB, job.name):
        raise ValueError(f"the job name {job.name!r} must be up to {names.MAX_JOB_CHARS} ASCII letters, digits and '-'")
    if not re.fullmatch(names.VERSION, job.version):
        raise ValueError(f"job {job.name}: the version {job.version!r} must be ASCII letters, digits and '.-_'")
    taken = set(RESERVED | RESERVED_OF_SERVED if job.serves else RESERVED)
    for option in job.options:
        if option.name in taken:
            raise ValueError(f"job {job.name}: the option name {option.name!r} is taken")
        taken.add(option.name)
    if missing := set(job.needs) - {option.name for option in job.options}:
        raise ValueError(f"job {job.name}: it needs {missing.pop()!r}, which is none of its options")
    if job.bundles and not job.trains and "model" not in job.needs:
        raise ValueError(f"job {job.name}: it has bundles, so it must need an option 'model'")
    if not isinstance(job.split, Lazy):
        _verify_splitter(job)
    if not any(isinstance(function, Lazy) for function in _functions(job)):
        _verify_options(job)


def verify(job: Job) -> None:
    """See that the functions take the options; see ``Job.verify``."""
    for function in _functions(job):
        if isinstance(function, Lazy) and not callable(function.function):
            raise ValueError(f"job {job.name}: {function.path} is no function")
    _verify_splitter(job)
    _verify_options(job)


def _verify_splitter(job: Job) -> None:
    size = inspect.signature(job.split).parameters.get("chunk_size")
    if size is None or not isinstance(size.default, int):
        raise ValueError(f"job {job.name}: its splitter needs a parameter chunk_size with a number as default")


def _verify_options(job: Job) -> None:
    writers = [format_.write for format_ in job.formats.values()]
    parts = (job.split, job.task, job.aggregate, job.finish, job.why_unavailable, *writers)
    named = set().union(*(functions.parameters(part) for part in parts if part))
    if job.trains:
        named.add("model")  # where the result goes
    if job.rounds:
        named |= {"from_model", *functions.parameters(job.rounds.begin)}
        if job.rounds.join:
            named |= {"topology", *functions.parameters(job.rounds.join)}
    for option in job.options:
        if option.name not in named:
            raise ValueError(f"job {job.name}: no part has a parameter {option.name!r}")


def _functions(job: Job) -> Iterator[Callable[..., Any]]:
    found = [getattr(job, each.name) for each in fields(job)] + [each.write for each in job.formats.values()]
    return (function for function in found if callable(function))
