"""The one tree of errors. The command line prints the message and exits with the class's code.

    ClusterError                    1  anything we did not foresee
    ├── UsageError                  2  the call is wrong; nothing was started
    │   ├── UnknownJob
    │   ├── UnknownRun
    │   ├── UnknownBundle
    │   ├── NameTaken
    │   ├── UnknownService
    │   ├── BadBundle
    │   ├── BadSetting
    │   ├── NothingToDo
    │   └── InputChanged
    ├── BrokerError                 4  no Redis to talk to
    │   ├── BrokerUnreachable
    │   ├── BrokerRefused
    │   ├── BrokerDenied
    │   └── NoRedisServer
    ├── RunError                    5  the run has no result
    │   ├── RunNotFinished
    │   ├── RunOver
    │   ├── RunBusy
    │   ├── RunCancelled
    │   └── RunFailed
    ├── JobUnavailable              6  this machine cannot do the job, or no node of the cluster can
    │   ├── OtherProcess
    │   └── NotInstalled
    ├── RequestFailed               1  a service gives no answer
    │   ├── RequestRefused
    │   └── RequestLate
    ├── BadPart                        a part is not what its job gives
    ├── NotAllWritten               3  files of a result lack; all others were written
    └── BlobError                      bytes in the store are not what they should be
        ├── BlobMissing
        └── BlobCorrupt

Besides these, 0 is "all done", 3 is "finished with items missing", 130 is "stopped by Ctrl-C".
Every class takes its message as the one positional argument, so that it crosses the broker whole.
"""

from __future__ import annotations

from typing import Self

ITEMS_MISSING_EXIT_CODE = 3
INTERRUPTED_EXIT_CODE = 130


class ClusterError(Exception):
    """Something failed that we did not foresee."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class UsageError(ClusterError):
    """The call is wrong; nothing was started."""

    exit_code = 2


class UnknownJob(UsageError):
    """No job of that name is in the catalog."""


class UnknownRun(UsageError):
    """No run of that id is known to this cluster; it may have expired."""

    @classmethod
    def of(cls, run: str) -> Self:
        """Say it of a run."""
        return cls(f"no run {run!r} in this cluster (`cluster runs` lists them)")


class UnknownBundle(UsageError):
    """No bundle of that name and version is known."""


class NameTaken(UsageError):
    """A bundle of that name is there, and only the first version of a new one was to be made."""


class UnknownService(UsageError):
    """No service of that name is known to this cluster."""


class BadBundle(UsageError):
    """A bundle, or what is to become one, is not what a bundle must be."""


class BadSetting(UsageError):
    """A setting has a value that cannot be used."""


class NothingToDo(UsageError):
    """The input holds nothing that the job can work on."""


class InputChanged(UsageError):
    """The input is not the one that the run was begun with."""


class BrokerError(ClusterError):
    """There is no Redis to talk to."""

    exit_code = 4


class BrokerUnreachable(BrokerError):
    """No connection to Redis, or none of use yet: it is reading its data."""


class BrokerRefused(BrokerError):
    """Redis answers but refuses us."""


class BrokerDenied(BrokerError):
    """Redis lets us in and does not let its user do what a cluster does."""


class NoRedisServer(BrokerError):
    """No Redis program on this machine."""


class RunError(ClusterError):
    """The run has no result."""

    exit_code = 5


class RunNotFinished(RunError):
    """The run is still going on."""


class RunOver(RunError):
    """The run has ended."""


class RunBusy(RunError):
    """Another one coordinates the run."""


class RunCancelled(RunError):
    """The run was cancelled."""


class RunFailed(RunError):
    """The run could not be finished."""


class JobUnavailable(ClusterError):
    """This machine cannot do the job, or no node of the cluster can."""

    exit_code = 6


class OtherProcess(JobUnavailable):
    """This process has already imported other packages than the bundle requires; a new one can do it."""


class NotInstalled(JobUnavailable):
    """What a bundle or a command requires is not on this machine, or could not be installed."""


class RequestFailed(ClusterError):
    """A service gives no answer to a request."""


class RequestRefused(RequestFailed):
    """A service takes no more requests for now, or has no replica: ask again later."""


class RequestLate(RequestFailed):
    """A service gave no answer within the deadline."""


class BadPart(ClusterError):
    """A part is not what its job gives of that chunk."""


class NotAllWritten(ClusterError):
    """Some files of a result could not be written; all others were."""

    exit_code = ITEMS_MISSING_EXIT_CODE


class BlobError(ClusterError):
    """Bytes in the store are not what they should be."""


class BlobMissing(BlobError):
    """The store does not have these bytes (any more)."""


class BlobCorrupt(BlobError):
    """Bytes read from the store have another size or sha256 than those written."""
