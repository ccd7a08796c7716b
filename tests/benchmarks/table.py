"""One table of several files that ``--json`` wrote: ``python -m tests.benchmarks.table FILE...``.

So that each benchmark may run when the machine is free. The rounds of the same row in several files become one row.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from tests.benchmarks import goals


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def main(files: tuple[Path, ...]) -> None:
    """Print the table (Markdown)."""
    cases = [case for file in files for case in json.loads(file.read_bytes())["cases"]]
    click.echo(goals.table(goals.of_json(row for case in cases for row in case["rows"])))


if __name__ == "__main__":
    main()
