"""``cluster search``."""

from __future__ import annotations

from pathlib import Path

import click

from aggregators import readings_search
from aggregators.readings_search import Hit
from cluster import errors, logs
from cluster.cli import print_text, say, shared


@click.command(
    "search",
    epilog="\b\nExamples:\n"
    "  cluster submit --job ocr ./scans --format sqlite -o scans.sqlite\n"
    '  cluster search "invoice 2041" scans.sqlite\n'
    "  cluster search 'inv* \"net amount\"' scans.sqlite --most 50 --json\n"
    '  cluster search --expression "invoice NOT draft" scans.sqlite',
)
@click.argument("words", nargs=-1, required=True, metavar="WORDS...")
@click.argument("file", type=shared.PATH)
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True, help="How many pages to list.")
@click.option("--expression", is_flag=True, help="WORDS are an expression of SQLite's FTS5, with AND, OR, NOT, NEAR.")
@shared.as_json
def command(words: tuple[str, ...], file: Path, most: int, expression: bool, as_json: bool) -> None:
    """Find the pages that hold all WORDS in FILE, which --format sqlite wrote; the best ones first.

    Neither case nor accents count. Words in double quotes must stand one after another; inv* finds all words that
    begin so.
    """
    try:
        found = readings_search.find(file, " ".join(words), most + 1, is_expression=expression)
    except ValueError as error:
        raise errors.UsageError(str(error)) from None
    except OSError as error:
        raise errors.UsageError(f"{file}: {error.strerror}") from None
    if as_json:
        shared.print_json([_told(hit) for hit in found[:most]])
    else:
        for hit in found[:most]:
            _print(hit)
    if not found:
        say("no page holds that")
    elif len(found) > most:
        say(f"and more than these {most}: list them with --most")


def _told(hit: Hit) -> dict[str, object]:
    return {**hit._asdict(), "marks": [list(mark) for mark in hit.marks]}


def _print(hit: Hit) -> None:
    sure = "its own text" if hit.source == "pdf" else f"{hit.confidence} %"
    print_text(f"{logs.plain(hit.document)}, page {hit.page} ({sure})")
    print_text(f"  {_marked(hit)}")


def _marked(hit: Hit) -> str:
    """The snippet, with brackets around what was found."""
    told, end = "", 0
    for begin, after in hit.marks:
        told += f"{hit.snippet[end:begin]}[{hit.snippet[begin:after]}]"
        end = after
    return told + hit.snippet[end:]
