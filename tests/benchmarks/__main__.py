"""``python -m tests.benchmarks``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from tests.benchmarks import Benchmark, Case, Options, many_files, ocr, report, wordcount
from tests.benchmarks.measure import Failed

BENCHMARKS: Mapping[str, Benchmark] = {
    "ocr": ocr.cases,
    "wordcount": wordcount.cases,
    "many-files": many_files.cases,
}


@click.command(epilog="Exit codes: 0 all right, 1 a wrong answer, a failed run or a limit exceeded.")
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)), metavar="[ocr|wordcount|many-files]...")
@click.option("--small", is_flag=True, help="Sizes that end within seconds, to see that the benchmarks work.")
@click.option("--repeat", type=click.IntRange(min=1), help="Run each case so often.  [default: 3, small 1]")
@click.option("--files", type=click.IntRange(min=100), help="How many files many-files has.")
@click.option("--json", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there.")
@click.pass_context
def main(
    ctx: click.Context, names: tuple[str, ...], small: bool, repeat: int | None, files: int | None, target: Path | None
) -> None:
    """Run the benchmarks, all without NAMES, and print what they took."""
    options = Options(small=small, repeat=repeat or (1 if small else 3), files=files)
    done: list[Case] = []
    click.echo(report.head())
    for name in names or BENCHMARKS:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            try:
                for case in BENCHMARKS[name](options, Path(folder)):
                    done.append(case)
                    click.echo(report.row(case))
            except Failed as error:
                done.append(Case(name=name, problem=str(error)))
                click.echo(report.row(done[-1]))
    if target:
        target.write_text(json.dumps(report.as_json(done, options), indent=1) + "\n", encoding="utf-8")
    wrong = [case.name for case in done if case.problem]
    if wrong:
        click.echo(f"WRONG: {', '.join(wrong)}", err=True)
        ctx.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m tests.benchmarks")
