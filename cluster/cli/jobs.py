"""``cluster jobs``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cluster import catalog
from cluster.cli import new_job, print_text, shared
from cluster.functions import path_of
from cluster.job import Job


@click.group(
    "jobs", invoke_without_command=True, epilog="\b\nExamples:\n  cluster jobs --json\n  cluster jobs new birds"
)
@shared.as_json
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the jobs with their parts and options, and whether this machine can do them; or begin a job of your own."""
    if ctx.invoked_subcommand is not None:
        return
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
        if job["why_unavailable"]:
            hint = f"; to add it: {job['to_add']}" if job["to_add"] else ""
            print_text(f"  not on this machine: {job['why_unavailable']}{hint}")


def _describe(job: Job) -> dict[str, Any]:
    problem = job.why_not_here()
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
        "why_unavailable": problem,
        "to_add": catalog.how_to_add(job.name) if problem else "",
    }


@command.command("new", epilog="\b\nExample:\n  cluster jobs new birds")
@click.argument("name")
def new(name: str) -> None:
    """Write a small package with a job of your own into the new folder NAME.

    It has a splitter, a task, an aggregator, an example input and a test that passes. Change the functions from there.
    """
    written = new_job.write(name, Path())
    for path in written:
        print_text(f"wrote {path}")
    print_text("Next:")
    for line in new_job.next_steps(name):
        print_text(f"  {line}")
