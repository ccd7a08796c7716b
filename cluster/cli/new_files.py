"""``cluster submit --only-new`` and ``--retry-failed``: what an output lacks, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import errors, logs
from cluster.cli import say, texts
from cluster.client import begun, missing_items, only_new, origin, result
from cluster.client import memory as memories
from cluster.client.missing_items import Mender
from cluster.client.only_new import Keeper, Selection, Wanted
from splitters import tell_passed_over

if TYPE_CHECKING:
    from cluster.cli.output import Target
    from cluster.client.memory import Memory
    from cluster.client.missing_items import Missing
    from cluster.client.source import Given
    from cluster.client.standing_still import StandingStill
    from cluster.client.submission import Submission
    from splitters.items import Chosen

MOST_TOLD = 5
Go = Callable[["Given", "Target"], int]
"""Does a run and writes its result; gives the exit code."""


def submit(submission: Submission, to: Target, go: Go, *, tried: Collection[str] = ()) -> int:
    """Read the files of the input that the output lacks; gives the exit code.

    Those that this command has ``tried`` already are left out, and the report goes on behind theirs.
    """
    with remembered(submission, to) as memory:
        selection = only_new.select(submission.job, to.source, memory)
        wanted = [one for one in selection.wanted if one.choice.name not in tried]
        if wanted:
            require_free(submission, wanted, memory, to)
            say(f"{texts.count(len(wanted), 'file')} to read, {selection.known} known")
            goes_behind = bool(tried)
            return add(selection._replace(wanted=wanted), memory, to._replace(reports_behind=goes_behind), go)
        if not tried:
            say(nothing_new(selection, to.source))
        return 0


def go_on(submission: Submission, to: Target, go: Go, *, tried: set[str] | None = None) -> int:
    """Go on with the run of the last such command, where it was stopped; gives its exit code, 0 where it was not.

    It reads the files that were new then: those whose results are there by now, too, as the run has read them. Their
    names go to ``tried``.
    """
    with remembered(submission, to) as memory:
        wanted = only_new.begun(memory)
        if not wanted:
            return 0
        submission.origin = origin.of(submission, only_new.chosen(wanted), to.output, to.name, kept=True)
        if not begun.is_there(submission):
            return 0
        code = add(Selection(wanted, 0, {}), memory, to, go)
        if tried is not None:
            tried.update(one.choice.name for one in wanted)
        return code


def look(
    submission: Submission, to: Target, go: Go, *, still: StandingStill, clock: Callable[[], float] = time.monotonic
) -> int:
    """Read the new files that stand still, as one run; gives its exit code, 0 where there are none."""
    with remembered(submission, to) as memory:
        selection = only_new.select(submission.job, to.source, memory)
        if not (ready := still.ready(selection.wanted, clock())):
            return 0
        require_free(submission, ready, memory, to)
        try:
            code = add(selection._replace(wanted=ready), memory, to, go)
        except errors.RunError:
            still.tried(ready)
            raise
        still.tried(ready)
        return code


def require_free(submission: Submission, wanted: Sequence[Wanted], memory: Memory, to: Target) -> None:
    """See that no other such command reads these files now: last night's, say, that has not ended.

    Raises:
        errors.RunBusy: One does.
    """
    others = only_new.begun(memory)
    same = {one.choice.name for one in others} & {one.choice.name for one in wanted}
    if not same:
        return
    submission.origin = origin.of(submission, only_new.chosen(others), to.output, to.name, kept=True)
    if run := begun.holder(submission):
        files = texts.count(len(same), "file")
        raise errors.RunBusy(f"the run {run} of another command reads {files} of these for the same output: let it end")


def remembered(submission: Submission, to: Target, options: Mapping[str, Any] | None = None) -> Memory:
    """The memory of where the result goes; of results that were made with ``options``, by default the run's.

    Raises:
        errors.UsageError: Nothing can be added there.
        errors.ClusterError: It is damaged.
    """
    output = only_new.require_possible(submission.job, to.name, to.output)
    decisive = submission.options if options is None else options
    cache = submission.client.config.cache_folder
    return only_new.opened(submission.job, to.chosen, to.name, decisive, output, cache)


def nothing_new(selection: Selection, inputs: Sequence[str]) -> str:
    """A line about an input of which the output has it all."""
    others = f"; {told}" if (told := tell_passed_over(selection.passed_over)) else ""
    return f"nothing new: the output has {texts.count(selection.known, 'file')} of {', '.join(inputs)}{others}"


def add(selection: Selection, memory: Memory, to: Target, go: Go) -> int:
    """Read the files that are wanted, and add what they give to the output."""
    assert to.output is not None  # noqa: S101 - there is no memory without
    only_new.begin(memory, selection.wanted)
    keeper = Keeper(memory, selection.wanted, to.output)
    code = _kept(keeper, selection.wanted, to._replace(passed_over=selection.passed_over), go)
    only_new.begin(memory, ())  # it has ended: nothing is left to go on with
    return code


def foreseen(submission: Submission, to: Target) -> tuple[Chosen, int]:
    """The files that the output lacks, and how many others there are; makes no memory where there is none."""
    with ExitStack() as held:
        memory = None
        if _place(submission, to).exists():
            memory = held.enter_context(remembered(submission, to))
        selection = only_new.select(submission.job, to.source, memory)
        return only_new.chosen(selection.wanted), selection.known


def retry(submission: Submission, to: Target, go: Go, *, missing: Missing) -> int:
    """Do what is missing from a run, and add it to the output; gives the exit code."""
    if not missing.items:
        say(f"nothing is missing from {missing.run}")
        return 0
    output = only_new.require_possible(submission.job, to.name, to.output)
    has_words = all(missing.options.get(name) == value for name, value in to.chosen.sets.items())
    earlier = submission.client.run(missing.run).parts if missing.is_kept and has_words else None
    wanted = missing_items.select(submission.job, to.source, missing, whole=to.chosen.folder and earlier is None)
    say(f"{texts.count(len(missing.items), 'item')} of {texts.count(len(wanted), 'file')}")
    with ExitStack() as held:
        memory = None
        if _place(submission, to).exists():
            memory = held.enter_context(remembered(submission, to, missing.options))
        return _kept(Mender(memory, wanted, output, missing, earlier), wanted, to, go)


def _place(submission: Submission, to: Target) -> Path:
    output = only_new.require_possible(submission.job, to.name, to.output)
    return memories.place(output, submission.client.config.cache_folder, is_folder=to.chosen.folder)


def _kept(keeper: Keeper, wanted: Sequence[Wanted], to: Target, go: Go) -> int:
    originals = only_new.chosen(wanted, whole=True)
    to = to._replace(chosen=keeper.format(result.with_source(to.chosen, originals)), keeper=keeper)
    code = go(only_new.chosen(wanted), to)
    if keeper.changed:
        names = logs.plain(", ".join(keeper.changed[:MOST_TOLD]))
        more = f" and {len(keeper.changed) - MOST_TOLD} more" if len(keeper.changed) > MOST_TOLD else ""
        say(f"changed while they were read, so the next --only-new reads them again: {names}{more}")
    return code
