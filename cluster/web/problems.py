"""What is wrong with a request, as people and programs read it."""

from __future__ import annotations

import errno
from typing import Any

import redis
from pydantic import BaseModel, ValidationError

from cluster import errors


class Problem(Exception):
    """A request that cannot be done. ``status`` is HTTP's, the text says what to do."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None, *, field: str = "") -> None:
        super().__init__(text)
        self.status, self.text, self.headers, self.field = status, text, headers or {}, field


class ProblemBody(BaseModel):
    """A problem as JSON (RFC 9457, without a type)."""

    status: int
    detail: str
    """What is wrong, and what to do."""
    field: str = ""
    """Of what was sent: the one that is wrong, as "model" or "options.lang"; "" where no single one is."""


STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.UnknownRun, 404),
    (errors.UnknownBundle, 404),
    (errors.UnknownJob, 404),
    (errors.UnknownService, 404),
    (errors.RunOver, 409),
    (errors.RunBusy, 409),
    (errors.RunFailed, 409),
    (errors.RunNotFinished, 409),
    (errors.RunCancelled, 409),
    (errors.JobUnavailable, 409),
    (errors.BrokerError, 503),
    (redis.RedisError, 503),
    (errors.UsageError, 422),
    (errors.ClusterError, 500),
)
FULL = "the disk of this page is full: forget runs that are not needed"
AWAY = "the cluster's Redis does not answer; this page goes on by itself once it does"


def of(error: BaseException) -> Problem | None:
    """The problem that an error of ours is for the one who asks; None: it is a defect of this program."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValidationError):
        return Problem(422, "; ".join(map(_told, error.errors())))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem(507, FULL)
    for kind, status in STATUSES:
        if isinstance(error, kind):
            return Problem(status, AWAY if isinstance(error, redis.RedisError) else str(error))
    return None


def _told(problem: Any) -> str:
    where = ".".join(map(str, problem["loc"])) or "the body"
    return f"{where}: {problem['msg']}"
