"""``cluster jobs``."""

from __future__ import annotations

from typing import Any

import click

from cluster import catalog
from cluster.cli import print_text, shared
from cluster.job import Job, path_of


@click.command("jobs", epilog="\b\nExample:\n  cluster jobs --json")
@shared.as_json
def command(as_json: bool) -> None:
    """List the jobs with their parts and options, and whether this machine can do them."""
    found = [_describe(job) for job in catalog.jobs().values()]
    if as_json:
        shared.print_json(found)
        return
    for job in found:
        print_text(f"{job['name']}: {job['about']}")
        print_text(f"  parts    {job['split']} → {job['task']} → {job['aggregate']}")
        for option in job["options"]:
            default = "" if option["default"] is None else f" (default {option['default']})"
            print_text(f"  option   {option['flag']}: {option['help']}{default}")
        print_text(f"  formats  {', '.join(job['formats'])}")
        if job["unavailable"]:
            hint = f"; to add it: {job['to_add']}" if job["to_add"] else ""
            print_text(f"  not on this machine: {job['unavailable']}{hint}")


def _describe(job: Job) -> dict[str, Any]:
    problem = job.why_unavailable()
    return {
        "name": job.name,
        "version": job.version,
        "about": job.about,
        "split": path_of(job.split).replace(":", "."),
        "task": path_of(job.task).replace(":", "."),
        "aggregate": path_of(job.aggregate).replace(":", "."),
        "options": [
            {
                "name": option.name,
                "flag": option.flag,
                "type": option.type.__name__,
                "default": option.default,
                "help": option.help,
            }
            for option in (*job.options, job.chunk_size)
        ],
        "schema": job.options_schema,
        "needs": job.needs,
        "formats": job.format_names,
        "unavailable": problem,
        "to_add": _how_to_add(job) if problem else "",
    }


def _how_to_add(job: Job) -> str:
    from cluster.client import machine  # imports much of a node

    return machine.how_to_add(job.name)
