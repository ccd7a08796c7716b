"""Go on with the run that the same command has begun, or begin one that the same command can go on with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import errors, names
from cluster.client import origin as origins
from cluster.client import resume
from cluster.client.origin import Begun
from cluster.ledger.row import RunPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.client.run import Run, Status
    from cluster.client.session import Input
    from cluster.client.submission import Submission

CHANGED = (
    "its input has changed since, so another run begins. What was done of it is kept for a while:"
    " `cluster resume {run} INPUT...`, `cluster cancel {run}`"
)


def run_of(
    submission: Submission, given: Input, tell: Callable[[str], None], tell_begun: Callable[[Status], None], *,
    anew: bool,
) -> Run:  # fmt: skip
    """The run of a command that is typed again, or a new one; it goes on in the thread that waits for it first.

    Args:
        submission: Has an ``origin``, unless its run cannot be gone on with.
        given: The input.
        tell: Told a sentence about what is not as one would expect.
        tell_begun: Told how far the run is that is gone on with.
        anew: Begin one in any case.
    """
    c = submission.client
    found = find(submission, tell, anew=anew)
    if c.is_private and submission.origin and not c.keeps:
        _keep(submission, tell)
    if found is None:
        return submission.start(given, background=False)
    try:
        status = c.run(found).status(failures=False)
    except errors.UnknownRun:  # Redis has lost it, or it has expired there
        return submission.start(given, background=False)
    except errors.NoRedisServer as error:
        raise errors.NoRedisServer(f"{error}\nto drop what was done: `cluster cancel {found}`") from None
    tell_begun(status)
    return resume.of_input(c, status, given)


def find(submission: Submission, tell: Callable[[str], None], *, anew: bool = False) -> str | None:
    """The run that the same command has begun; a private one is open from now on. None where there is none."""
    origin, c = submission.origin, submission.client
    if origin is None:
        return None
    if c.is_private:
        from cluster.embedded import private

        root = private.folder(c.config)
        private.sweep(root, RunPolicy.of(c.config).retention_s)
        same = [
            about for about in private.listed(root) if about.command == origin.command and not private.is_held(about)
        ]
        begun = Begun(same[0].run, same[0].seen == origin.seen) if same else None
    else:
        begun = origins.find(c.session.stores.ledger.runs, origin)
    if begun is None:
        return None
    if anew or not begun.is_same_input:
        if not anew:
            tell(f"{begun.run}: {CHANGED.format(run=begun.run)}")
        if c.is_private:
            private.disown(private.folder(c.config), begun.run)
        else:
            c.run(begun.run).settle()
        return None
    if c.is_private:
        c.keep_in(private.reopen(private.folder(c.config), begun.run))
    return begun.run


def is_there(submission: Submission) -> bool:
    """Whether the same command has begun a run with the same input that it can go on with."""
    origin, c = submission.origin, submission.client
    if origin is None:
        return False
    if not c.is_private:
        found = origins.find(c.session.stores.ledger.runs, origin)
        return found is not None and found.is_same_input
    from cluster.embedded import private

    return any(
        (about.command, about.seen) == tuple(origin) and not private.is_held(about)
        for about in private.listed(private.folder(c.config))
    )


def holder(submission: Submission) -> str:
    """The run of the same command and input that a living process reads now; "" where there is none."""
    origin, c = submission.origin, submission.client
    if origin is None:
        return ""
    if not c.is_private:
        return origins.held(c.session.stores.ledger.runs, origin)
    from cluster.embedded import private

    return next((
        about.run for about in private.listed(private.folder(c.config))
        if (about.command, about.seen) == tuple(origin) and private.is_held(about)
    ), "")  # fmt: skip


def _keep(submission: Submission, tell: Callable[[str], None]) -> None:
    """Keep the run of a private cluster on disk, where that can be."""
    from cluster.embedded import private

    c, origin = submission.client, submission.origin
    assert origin is not None  # noqa: S101 - the caller looked
    root, job = private.folder(c.config), submission.job.name
    try:
        c.keep_in(private.make(root, names.new_run(job), job, *origin))
    except OSError as error:
        tell(f"nothing of this run is kept if it is stopped: {error.filename or root}: {error.strerror or error}")
