"""``cluster curve``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from cluster import catalog, client, errors
from cluster.cli import output as outputs
from cluster.cli import plot, print_text, say, shared
from cluster.client import Client, Run
from cluster.client.run import Status
from cluster.format import Format
from cluster.texts import curve_texts
from cluster.texts.curve_texts import Row

MOST_LOOKED_AT = 200
"""Among this many runs the last one with rounds is looked for."""


@click.command(
    "curve",
    epilog="\b\nExamples:\n"
    "  cluster curve\n"
    "  cluster curve train-1a2b3c4d --follow\n"
    "  cluster curve train-1a2b3c4d --png curve.png --csv rows.csv",
)
@click.argument("run", required=False)
@click.option("--follow", is_flag=True, help="Print each round when it is closed, until the run ends.")
@click.option("--csv", "csv_file", type=shared.PATH, metavar="FILE", help="Write the rows as CSV.")
@click.option("--png", "png_file", type=shared.PATH, metavar="FILE", help="Draw the curve; needs matplotlib.")
@shared.broker
@shared.as_json
def command(
    run: str | None, follow: bool, csv_file: Path | None, png_file: Path | None, broker: str | None, as_json: bool
) -> int:  # fmt: skip
    """Show how RUN learns, a line for each round; by default the latest run that goes in rounds.

    A score stands in the row of the round that began with the weights it is about. Times are in ms: of the nodes
    (wait, fetch, compute, encode, push), then of the coordinator (read, step, write). With --follow, Ctrl-C ends the
    watching and not the run. With --json, the rows are printed as JSON, with --follow one in a line.
    """
    plot.check(csv_file, png_file, "--png")
    with client.existing(broker, patient=follow) as c:
        chosen = _choose(c, run)
        code, rows = 0, list[Row]()
        if follow:
            code = _follow(chosen, rows, as_json=as_json)
        else:
            rows += chosen.curve()
            _print(rows, as_json=as_json)
        if csv_file is not None:
            outputs.write(Format(curve_texts.write_csv), rows, csv_file)
        if png_file is not None:
            status = chosen.status(failures=False)
            outputs.write(Format(lambda found, out: out.write(plot.png(found, _title(status)))), rows, png_file)
        return code


def _choose(c: Client, run: str | None) -> Run:
    """The run that is asked for.

    Raises:
        errors.UnknownRun: None was named, and none of the latest goes in rounds.
        errors.UsageError: Its job does not go in rounds.
    """
    if run is None:
        with_rounds = (found for found in c.runs(MOST_LOOKED_AT) if found.rounds is not None)
        latest = next(with_rounds, None)
        if latest is None:
            raise errors.UnknownRun("no run of this cluster goes in rounds yet")
        return c.run(latest.run)
    chosen = c.run(run)
    status = chosen.status(failures=False)
    job = catalog.jobs().get(status.job)
    if status.rounds is None and job is not None and job.rounds is None:
        raise errors.UsageError(f"the run {run} has no curve: its job {status.job} does not go in rounds")
    return chosen


def _print(rows: Sequence[Row], *, as_json: bool) -> None:
    if as_json:
        shared.print_json(rows)
        return
    if not rows:
        say("no round is closed yet")
        return
    room = _room()
    table = curve_texts.Table(curve_texts.every_field(rows), room)
    print_text("\n".join([table.head, *map(table.line, rows)]))
    _conclude(rows, table, room)


def _conclude(rows: Sequence[Row], table: curve_texts.Table, room: int | None) -> None:
    print_text("\n".join(["", *curve_texts.summary(rows)]))
    if not table.has_times:
        say(f"the times of each round need {table.room_for_times} columns, the terminal has {room}; see also --csv")


def _follow(run: Run, rows: list[Row], *, as_json: bool) -> int:
    """Print rows as they come, and keep them in ``rows``; gives the exit code."""
    room, code = _room(), 0
    table: curve_texts.Table | None = None
    try:
        for row in _kept(run.watch_curve(), rows):
            if as_json:
                shared.print_json_line(row)
                continue
            if table is None:
                table = curve_texts.Table(row, room)
                print_text(table.head)
            print_text(table.line(row))
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = errors.INTERRUPTED_EXIT_CODE
    if table is not None:
        _conclude(rows, table, room)
    if code:
        say(f"{run.id} goes on; `cluster cancel {run.id}` ends it")
    return code


def _kept(found: Iterator[Row], rows: list[Row]) -> Iterator[Row]:
    for row in found:
        rows.append(row)
        yield row


def _room() -> int | None:
    """Characters in a line of the terminal; None where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _title(status: Status) -> str:
    return f"{status.run}: {status.state}"
