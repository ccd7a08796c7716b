"""The same net on the same rows by us, by DDP and by Flower: how good by seconds and bytes, and with a worker killed.

All learn from as many samples, on two nodes of one thread each. Ours is judged by the validation rows while it learns,
the others by the rows held out. Their bytes are those of a loopback of their own, ours those that Redis received and
sent.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster import settings
from cluster.stores import Stores
from tests.benchmarks import Case, Options
from tests.benchmarks.goals import Row
from tests.benchmarks.measure import Failed
from tests.benchmarks.training import accuracy, others, rows
from tests.benchmarks.training.others import Look, Went
from tests.benchmarks.training.trained import Grounds, Trained, grounds

LEVELS = (0.8, 0.9, 0.94)
KILL_AT = 0.5
LOOK_S = 0.05


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Ours, then each of the others."""
    if problem := rows.missing():
        yield Case(name="training-peers", skipped=problem)
        return
    given = accuracy.letters(0, small=options.small)
    split = rows.as_split(rows.LETTER, folder, given)
    told = accuracy.settings(split, given, [128, 128])
    with grounds(folder / "cluster", {}, {}) as ground:
        ours = ground.train(rows.LETTER, given)
        accuracy.check(ours, given)
        killed = _killed(ground, given)
    our_looks = looks(ours)
    yield Case(
        name="training-peers, ours",
        notes={**figures(our_looks), "a worker is killed at half": _after_kill(ours, killed)},
    )
    for other in (others.SINGLE, others.DDP, others.FLOWER):
        if options.against and not any(re.search(one, other.name) for one in options.against):
            continue
        name = f"training-peers, {other.name}"
        if problem := other.why_not():
            yield Case(name=name, skipped=problem)
            continue
        alone = other.go(told)
        after = "" if other is others.SINGLE else outcome(other.go(told, KILL_AT), alone)
        yield Case(
            name=name,
            notes={**figures(alone.looks), "a worker is killed at half": after, "note": other.note},
            rows=[
                Row(
                    work="letters, 2 nodes, 512,000 samples: accuracy" if not options.small else "letters: accuracy",
                    against=other.name, unit="", more_is_better=True, ours=[ours.accuracy],
                    theirs=[alone.last.accuracy], note=other.note,
                ),
                Row(
                    work="the same: seconds of training", against=other.name, ours=[our_looks[-1].s],
                    theirs=[alone.last.s],
                ),
                Row(
                    work="the same: MB", against=other.name, unit="MB", ours=[ours.redis_bytes / 1e6],
                    theirs=[alone.last.bytes / 1e6] if alone.last.bytes else [],
                ),
            ],
        )  # fmt: skip


def looks(found: Trained) -> list[Look]:
    """Our rows as the others tell theirs: by seconds since round 0 was opened; the last one is of the rows held out."""
    rounds, moved, made = found.rounds, 0, []
    for at, row in enumerate(rounds, 1):
        moved += row["up_bytes"] + row["down_bytes"]
        made.append(Look(at / len(rounds), row["closed_at"] - found.begun_at, moved, row.get("accuracy") or 0.0))
    return [*made[:-1], made[-1]._replace(accuracy=found.accuracy)]


def figures(all_looks: Sequence[Look]) -> dict[str, float | str]:
    """The accuracy at the end, and the seconds and bytes to some levels of it."""
    last = all_looks[-1]
    found: dict[str, float | str] = {
        "accuracy": round(last.accuracy, 4),
        "s": round(last.s, 1),
        "MB": "" if last.bytes is None else round(last.bytes / 1e6, 1),
    }
    for level in LEVELS:
        first = next((look for look in all_looks if look.accuracy >= level), None)
        found[f"s to {level:g}"] = round(first.s, 1) if first else "never"
        found[f"MB to {level:g}"] = round(first.bytes / 1e6, 1) if first and first.bytes else ""
    return found


def outcome(went: Went, alone: Went) -> str:
    """What became of a peer whose worker was killed."""
    if went.code is None:
        return f"hangs: nothing for {others.STALL_S:g} s after {went.looks[-1].share:.0%} of the samples"
    if went.code or went.looks[-1].share < 1:
        return f"ends with code {went.code} at {went.looks[-1].share:.0%} of the samples"
    how = "begins again from 0 %" if went.anew else "goes on"
    return f"{how}; accuracy {went.last.accuracy:.4f}, {went.wall_s:.0f} s instead of {alone.wall_s:.0f} s"


def _killed(ground: Grounds, given: Mapping[str, Any]) -> Trained:
    """Kill a node at half, for good.

    Raises:
        Failed: The run ended before.
    """
    ledger = Stores.connect(settings.load(broker_url=ground.url)).ledger
    before = {each.run for each in ledger.runs.latest(100)}
    with ground.submitted(rows.LETTER, given) as submitted:
        while submitted.process.poll() is None:
            time.sleep(LOOK_S)
            runs = [each.run for each in ledger.runs.latest(1) if each.run not in before]
            row = ledger.rounds.of(runs[0]) if runs else None
            if row and row.round >= KILL_AT * given["rounds"]:
                ground.nodes[-1].send(signal.SIGKILL)
                return ground.ended(submitted)
        raise Failed("the run ended before a node could be killed")


def _after_kill(ours: Trained, killed: Trained) -> str:
    return (
        f"goes on; accuracy {killed.accuracy:.4f}, {killed.wall_s:.0f} s instead of {ours.wall_s:.0f} s; "
        f"late {killed.report['late']}"
    )
