"""What was trained of a run: the model that it has made, and those that learnt the faces which people named in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import errors, names

if TYPE_CHECKING:
    from cluster.client.run import Status
    from cluster.web.context import Web


def models(web: Web, run: str) -> list[str]:
    """The models that a run has made, or that were trained of its faces: NAME:VERSION.

    Of a version whose training the cluster has forgotten the name alone is known.
    """
    found = {_made(web, run)}
    for bundle, trained in web.decisions.trainings(run):
        if not names.is_run(trained):
            found.add(trained)  # a version that needed no run
        elif training(web, trained) is None:
            found.add(bundle)
        else:
            found.add(_made(web, trained))
    return sorted(found - {""})


def trainings(web: Web, run: str) -> list[Status]:
    """The runs that were trained of its faces, as far as the cluster knows them."""
    ids = sorted(trained for _, trained in web.decisions.trainings(run) if names.is_run(trained))
    return [status for status in (training(web, one) for one in ids) if status is not None]


def training(web: Web, run: str) -> Status | None:
    """A run, if the cluster knows it.

    Raises:
        errors.ClusterError: That cannot be said now.
    """
    try:
        return web.client.run(run).status(failures=False)
    except errors.UnknownRun:
        return None


def _made(web: Web, run: str) -> str:
    report = web.client.run(run).report
    return str(report.get("model") or "") if report else ""
