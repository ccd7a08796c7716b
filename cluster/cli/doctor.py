"""``cluster doctor``."""

from __future__ import annotations

from typing import Any

import click

from cluster import errors, logs
from cluster.cli import print_text, shared
from cluster.client import machine


@click.command("doctor", epilog="\b\nExample:\n  cluster doctor --json")
@shared.broker
@shared.as_json
def command(broker: str | None, as_json: bool) -> int:
    """Show what this machine can run, why not, which Redis it would use, and what bundles require of it.

    Exits with 0 when it can run at least one job, with 6 when it can run none, with 4 without a Redis.
    """
    found = machine.report(broker)
    if as_json:
        shared.print_json(found)
    else:
        _print(found)
    if found["redis_problem"]:
        return errors.BrokerError.exit_code
    return 0 if any(not job["problem"] for job in found["jobs"]) else errors.JobUnavailable.exit_code


def _print(found: dict[str, Any]) -> None:
    gib = 2**30
    print_text(f"cluster   {found['version']} on Python {found['python']}, {found['system']}")
    print_text(
        f"capacity  {found['slots']} slots: {found['cores']} cores,"
        f" {found['memory_available_bytes'] / gib:.1f} of {found['memory_total_bytes'] / gib:.1f} GiB memory free"
    )
    print_text(f"redis     {logs.of_error(found['redis'] or found['redis_problem'])}")
    for job in found["jobs"]:
        if not job["problem"]:
            print_text(f"job       {job['name']}: yes")
            continue
        hint = f"; to add it: {job['to_add']}" if job["to_add"] else ""
        print_text(f"job       {job['name']}: no, {logs.plain(job['problem'])}{hint}")
    for bundle in found["bundles"]:
        answer = f"no, {logs.plain(bundle['problem'])}" if bundle["problem"] else "yes"
        print_text(f"bundle    {bundle['bundle']} for {bundle['job']}: {answer}")
    if found["engines"]["ocr"]:
        ocr = found["engines"]["ocr"]
        print_text(f"ocr       {ocr['engine']}, languages: {', '.join(ocr['languages']) or 'none'}")
