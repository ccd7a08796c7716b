"""``python -m tests.benchmarks``."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from tests.benchmarks import (
    Benchmark,
    Case,
    Options,
    battle,
    bundles,
    cost,
    empty,
    faces,
    faces_speed,
    goals,
    many_files,
    ocr,
    ocr_engines,
    ocr_peers,
    ocr_quality,
    page,
    predict,
    report,
    scaling,
    startup,
    wordcount,
    wordcount_peers,
)
from tests.benchmarks.ensembles import fit, quality
from tests.benchmarks.measure import Failed
from tests.benchmarks.scans import only_new, searchable, thousand
from tests.benchmarks.serving import faults as serving_faults
from tests.benchmarks.serving import speed as serving_speed
from tests.benchmarks.training import accuracy, kills, peers, quantized, speed, uneven
from tests.kit import forking

BENCHMARKS: Mapping[str, Benchmark] = {
    "ocr": ocr.cases,
    "ocr-peers": ocr_peers.cases,
    "ocr-quality": ocr_quality.cases,
    "ocr-engines": ocr_engines.cases,
    "wordcount": wordcount.cases,
    "wordcount-peers": wordcount_peers.cases,
    "empty": empty.cases,
    "startup": startup.cases,
    "cost": cost.cases,
    "many-files": many_files.cases,
    "faces": faces.cases,
    "faces-speed": faces_speed.cases,
    "bundles": bundles.cases,
    "scaling": scaling.cases,
    "training": accuracy.cases,
    "training-speed": speed.cases,
    "training-quantized": quantized.cases,
    "training-uneven": uneven.cases,
    "training-peers": peers.cases,
    "training-kills": kills.cases,
    "ensembles": quality.cases,
    "ensembles-fit": fit.cases,
    "predict": predict.cases,
    "scans": searchable.cases,
    "scans-thousand": thousand.cases,
    "scans-only-new": only_new.cases,
    "serving": serving_speed.cases,
    "serving-faults": serving_faults.cases,
    "page": page.cases,
    "battle": battle.cases,
}
BY_DEFAULT = tuple(name for name in BENCHMARKS if name not in ("battle", "training-kills"))
"""Without those that take as long as their kills do, and measure no speed."""
COMPARED = (
    "ocr-quality", "ocr-engines", "faces", "faces-speed", "bundles", "scaling", "training-peers", "training-kills",
    "battle",
)  # fmt: skip
"""Whose cases stand side by side in a table of their own."""


@click.command(epilog="Exit codes: 0 all right, 1 a wrong answer, a failed run or a limit exceeded.")
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)), metavar=f"[{'|'.join(BENCHMARKS)}]...")
@click.option("--small", is_flag=True, help="Sizes that end within seconds, to see that the benchmarks work.")
@click.option("--repeat", type=click.IntRange(min=1), help="Run each case so often.  [default: 5, small 1]")
@click.option("--against", multiple=True, metavar="PATTERN", help="Only others in whose name it is found.")
@click.option("--files", type=click.IntRange(min=100), help="How many files many-files has.")
@click.option(
    "--kills",
    type=click.IntRange(min=1),
    help="How many kills a battle, or training-kills, has.  [default: 20 and 8, small 4 and 3]",
)
@click.option("--nodes", type=click.IntRange(min=1), help="How many nodes scaling has.  [default: 5, then 50; small 2]")
@click.option("--seed", type=int, default=1, show_default=True, help="What the plan of the kills is drawn from.")
@click.option("--system", type=click.Choice(battle.SYSTEMS), help="Fight the battle on this one only.")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Leave a battle's records and logs there."
)
@click.option("--json", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there.")
@click.pass_context
def main(
    ctx: click.Context, names: tuple[str, ...], small: bool, repeat: int | None, against: tuple[str, ...],
    files: int | None, kills: int | None, nodes: int | None, seed: int, system: str | None, keep: Path | None,
    target: Path | None,
) -> None:  # fmt: skip
    """Run the benchmarks, all but the battle without NAMES, and print what they took."""
    options = Options(
        small=small,
        repeat=repeat or (1 if small else 5),
        against=against,
        files=files,
        kills=kills,
        nodes=nodes,
        seed=seed,
        system=system,
        keep=keep,
    )
    done: list[Case] = []
    headed = False
    for name in names or BY_DEFAULT:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            try:
                for case in BENCHMARKS[name](options, Path(folder)):
                    done.append(case)
                    if case.runs:
                        click.echo(report.row(case) if headed else f"{report.head()}\n{report.row(case)}")
                        headed = True
                    elif case.skipped:
                        click.echo(f"{case.name}: skipped: {case.skipped}", err=True)
            except Failed as error:
                done.append(Case(name=name, problem=str(error)))
    for name in COMPARED:
        if compared := [case for case in done if case.name.startswith(f"{name}, ") and not case.skipped]:
            click.echo(report.side_by_side(compared))
    if rows := [row for case in done for row in case.rows]:
        click.echo(f"\n{goals.table(rows)}")
    for case in done:
        if case.rows and case.notes and case.name.partition(", ")[0] not in COMPARED:
            click.echo(f"\n{report.side_by_side([case])}")
    if target:
        target.write_text(json.dumps(report.as_json(done, options), indent=1, default=str) + "\n", encoding="utf-8")
    wrong = [case for case in done if case.problem]
    if wrong:
        click.echo("\n".join(f"WRONG: {case.name}: {case.problem}" for case in wrong), err=True)
        ctx.exit(1)


if __name__ == "__main__":
    os.environ[forking.SWITCH] = "0"  # a start costs what it costs users
    main(prog_name="python -m tests.benchmarks")
