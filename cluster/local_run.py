"""Do a job in this process, without a broker: what the job means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cluster import rounds, wire
from cluster.inputs import Source, sift
from cluster.job import Job, Options, Outcome
from splitters import PassedOver


def outcome(job: Job, source: Source, options: Options) -> Outcome:
    """Do a run with all its options; gives the result, and the items that are missing from it.

    Args:
        job: The job.
        source: Files and folders, or items in memory.
        options: As ``Job.options_of_run`` gives them.
    """
    if job.rounds:
        return rounds.locally(job, source, options)
    failures: dict[str, str] = {}
    passed_over = PassedOver()

    def parts() -> Iterator[Any]:
        for chunk in job.chunks(source, options, passed_over):
            readable, problems = sift(chunk)
            failures.update(problems)
            if readable:
                part = job.run_task(readable, options)
                names = {item.name for item in readable}
                failures.update({name: why for name, why in part.failures.items() if name in names})
                yield wire.unpack(wire.pack(part.value))  # as it comes from a node: no tuples, say
        if job.absent and failures:
            yield job.absent(failures)

    return Outcome(job.result(parts(), options), failures, passed_over.shown())
