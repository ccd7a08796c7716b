"""``cluster doctor``."""

from __future__ import annotations

import platform
from typing import Any

import click

from cluster import __version__, catalog, errors, logs, nodes, redis_client, runs, settings
from cluster.bundles import shelf
from cluster.bundles.manifest import Manifest
from cluster.cli import print_text, shared
from cluster.embedded import redis_server
from cluster.nodes import capacity


@click.command("doctor", epilog="\b\nExample:\n  cluster doctor --json")
@shared.broker
@shared.as_json
def command(broker: str | None, as_json: bool) -> int:
    """Show what this machine can run, why not, which Redis it would use, and what bundles require of it.

    Exits with 0 when it can run at least one job, with 6 when it can run none, with 4 without a Redis.
    """
    config = settings.load(broker_url=broker)
    redis, redis_problem = _redis(config)
    jobs = [
        {"name": name, "problem": problem, "to_add": nodes.how_to_add(name) if problem else ""}
        for name, problem in nodes.abilities().items()
    ]
    found: dict[str, Any] = {
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": capacity.cores(),
        "memory_total_bytes": capacity.memory().total_bytes,
        "memory_available_bytes": capacity.memory().available_bytes,
        "slots": config.slots or capacity.slots(config),
        "redis": redis,
        "redis_problem": redis_problem,
        "jobs": jobs,
        "bundles": [] if redis_problem else _bundles(config),
        "engines": {"ocr": _ocr()},
    }
    if as_json:
        shared.print_json(found)
    else:
        _print(found)
    if redis_problem:
        return errors.BrokerError.exit_code
    return 0 if any(not job["problem"] for job in jobs) else errors.JobUnavailable.exit_code


def _redis(config: settings.Settings) -> tuple[str, str]:
    """Which Redis would be used, and what is wrong with it."""
    try:
        if config.broker_url is not None:
            url = config.require_broker()
            redis_client.check(url)
            return redis_client.masked(url), ""
        server = redis_server.find()
    except errors.ClusterError as error:
        return "", str(error)
    return f"a private one, {server.path} ({server.origin})", ""


def _bundles(config: settings.Settings) -> list[dict[str, str]]:
    """The bundles of the cluster, without a broker those of this machine, and why they cannot be used here."""
    models = runs.connect(config, patient=False).models if config.broker_url else shelf.here(config)
    return [
        {"bundle": manifest.ref, "job": manifest.job, "problem": _problem(models, manifest)}
        for manifest in models.current()
    ]


def _problem(models: shelf.Shelf, manifest: Manifest) -> str:
    """Why a bundle cannot be used here, or ""; one that was not fetched yet is not tried, for that may take long."""
    job = catalog.jobs().get(manifest.job)
    if job is None:
        return "there is no such job here"
    if lacks := models.lacks(manifest):
        return f"it requires {lacks}"
    if job.why_unavailable() and not manifest.requirements:
        return "that job cannot be done here"
    return models.problem(job, {"model": manifest.ref}) if models.cache.get(manifest) else ""


def _ocr() -> dict[str, Any] | None:
    import tasks.ocr

    if catalog.get("ocr").why_unavailable():
        return None
    return {"engine": tasks.ocr.engine_name(), "languages": tasks.ocr.languages()}


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
