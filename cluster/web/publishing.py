"""Who may make which version of a model: a submitter the first one of a new name, an operator the next one, too.

It is asked when a run begins. By its end others may have made a model of that name, so the run itself carries what it
may publish, and whoever publishes it heeds that: see ``coordinator.publish_model``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import catalog, errors, names
from cluster.client.run import Publishes, Run, Status
from cluster.roles import Role
from cluster.web import runs
from cluster.web.problems import Problem

if TYPE_CHECKING:
    from cluster.web.routes import Asked, Who


def publishes(who: Who) -> Publishes:
    """What somebody may publish."""
    return "any" if who.may(Role.OPERATOR) else "first"


def require_may_train(asked: Asked, job: str, options: dict[str, Any]) -> None:
    """See that a run trains no next version of a bundle that other people's runs get, unless an operator begins it.

    Raises:
        Problem: It would, or gives the option ``changes`` (403).
    """
    if not catalog.get(job).trains or asked.who.may(Role.OPERATOR):
        return
    if options.get("changes"):
        raise Problem(403, f"only an operator may begin a run of {job} with --changes")
    if bundle := _bundle(options):
        require_new(asked, bundle)


def require_new(asked: Asked, bundle: str) -> None:
    """See that nobody but an operator makes a next version of a bundle: all runs get that.

    Raises:
        Problem: There is one of that name, and a submitter asks (403).
    """
    if asked.who.may(Role.OPERATOR):
        return
    try:
        known = asked.web.client.models.get(bundle)
    except errors.UnknownBundle:
        return
    raise Problem(
        403, f"{known.ref} is there already, and all runs would get the next version of {bundle}: ask an operator, or"
        " train a model of a new name",
    )  # fmt: skip


def require_may_publish(asked: Asked, run: Run, status: Status) -> None:
    """See that one may publish what a run that is done has trained.

    Raises:
        Problem: The run is somebody else's, or others have made a model of that name (403).
    """
    if not runs.may_change(asked, run.belongs):
        whose = f"{status.owner} or an operator publishes" if status.owner else "an operator publishes"
        raise Problem(403, f"{whose} the model of the run {run.id}")
    if bundle := _bundle(status.options):
        require_new(asked, bundle)


def _bundle(options: dict[str, Any]) -> str:
    model = options.get("model")
    return names.ModelRef.parse(model).name if isinstance(model, str) and not names.is_folder(model) else ""
