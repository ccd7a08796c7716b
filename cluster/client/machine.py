"""Report which jobs this machine can do for a cluster, and why it cannot do the others."""

from __future__ import annotations

import platform
import tempfile
from typing import TYPE_CHECKING, Any

from cluster import __version__, catalog, errors, redis_client, redis_url, settings
from cluster.stores import Stores
from cluster.worker import capacity

if TYPE_CHECKING:
    from cluster.bundles.manifest import Manifest
    from cluster.bundles.store import ModelStore
    from cluster.job import Job
    from cluster.settings import Settings


def require_model_can_be_made(job: Job) -> None:
    """See that this machine can make the model of the parts, if the job trains one: before the work, not after.

    Raises:
        errors.JobUnavailable: It cannot; the message says what to type.
    """
    problem = ""
    if job.trains:
        problem = job.rounds.why_unavailable() if job.rounds else job.why_not_here()
    if problem:
        hint = "" if job.rounds else catalog.how_to_add(job.name)  # which names what its task needs
        raise errors.JobUnavailable(
            f"the model of {job.name} is made on the machine that submits, and this one cannot: {problem}"
            f"{f'; to add it: {hint}' if hint else ''}"
        )


def require_model_can_be_kept(job: Job, config: Settings) -> None:
    """See that a model that is trained without a broker can be kept on this machine: before the work, not after.

    Raises:
        errors.UsageError: Its folder cannot be written to.
    """
    if not job.trains or config.broker_url is not None:
        return
    try:
        config.models_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=config.models_folder):
            pass
    except OSError as error:
        raise errors.UsageError(
            f"the model is to be kept in {config.models_folder}: {error.strerror}; name another folder with"
            " CLUSTER_MODELS_DIR"
        ) from None


def slots(config: Settings, memory_bytes: int | None) -> int:
    """How many chunks this machine does at a time for itself.

    Args:
        config: Its settings.
        memory_bytes: What a chunk takes; None: as much as any.
    """
    usual = config.slots or capacity.slots(config)
    if memory_bytes is None:
        return usual
    spare_bytes = capacity.memory().available_bytes - config.reserve_memory_bytes
    return max(1, min(usual, spare_bytes // memory_bytes))


def report(broker: str | None) -> dict[str, Any]:
    """Return the report that ``cluster doctor --json`` prints."""
    config = settings.load(broker_url=broker)
    redis, redis_problem = _redis(config)
    jobs = [
        {"name": name, "problem": problem, "to_add": catalog.how_to_add(name) if problem else ""}
        for name, problem in catalog.abilities().items()
    ]
    return {
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


def _redis(config: settings.Settings) -> tuple[str, str]:
    """Which Redis would be used, and what is wrong with it."""
    from cluster.embedded import redis_server

    try:
        if config.broker_url is not None:
            url = config.require_broker()
            redis_client.check(url)
            return redis_url.masked(url), ""
        server = redis_server.find()
    except errors.ClusterError as error:
        return "", str(error)
    return f"a private one, {server.path} ({server.origin})", ""


def _bundles(config: settings.Settings) -> list[dict[str, str]]:
    """The bundles of the cluster, without a broker those of this machine, and why they cannot be used here."""
    from cluster.bundles import store

    models = Stores.connect(config, patient=False).models if config.broker_url else store.here(config)
    return [
        {"bundle": manifest.ref, "job": manifest.job, "problem": _problem(models, manifest)}
        for manifest in models.current()
    ]


def _problem(models: ModelStore, manifest: Manifest) -> str:
    """Why a bundle cannot be used here, or ""; one that was not fetched yet is not tried, for that may take long."""
    job = catalog.jobs().get(manifest.job)
    if job is None:
        return "there is no such job here"
    if lacks := models.lacks(manifest):
        return f"it requires {lacks}"
    if job.why_not_here() and not manifest.requirements:
        return "that job cannot be done here"
    return models.problem(job, {"model": manifest.ref}) if models.cache.get(manifest) else ""


def _ocr() -> dict[str, Any] | None:
    import tasks.ocr

    if catalog.get("ocr").why_not_here():
        return None
    return {"engine": tasks.ocr.engine_name(), "languages": tasks.ocr.languages()}
