"""``cluster reproduce``: quantization, times, server-lr, partitions, clients."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cluster.cli import foreground, print_text, say, shared
from cluster.cli.steps_bar import StepsBar
from cluster.client import figures

FOLDER = Path("reproduced")
Command = Callable[..., Any]


def _numbers(least: float, most: float = math.inf, *, whole: bool = False) -> Callable[[str], tuple[float, ...]]:
    """Read numbers with commas between."""

    def numbers(value: str) -> tuple[float, ...]:
        found: list[float] = []
        for text in value.split(","):
            try:
                number: float = int(text) if whole else float(text)
            except ValueError:
                raise click.BadParameter(
                    f"{text!r} is no {'whole ' if whole else ''}number; give some with commas between"
                ) from None
            if not (least <= number <= most and math.isfinite(number)):
                limits = f"{least:g} or more" if math.isinf(most) else f"{least:g} to {most:g}"
                raise click.BadParameter(f"{text} is out of range; it must be {limits}")
            if number in found:
                raise click.BadParameter(f"{text} is there twice")
            found.append(number)
        return tuple(found)

    return numbers


def _words(*known: str) -> Callable[[str], tuple[str, ...]]:
    """Read some of a few words, with commas between."""

    def words(value: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(value.split(",")))
        if odd := [word for word in found if word not in known]:
            raise click.BadParameter(f"{odd[0]!r} must be one of {', '.join(known)}")
        return found

    return words


def _common(trains: bool) -> Callable[[Command], Command]:
    options = [
        click.argument("source", metavar="[INPUT]", type=shared.PATH, required=False),
        click.option(
            "-o", "--output", "folder", type=shared.PATH, default=FOLDER, show_default=True, metavar="FOLDER",
            help="Write the picture, the CSV and the page there.",
        ),
        click.option("--quick", is_flag=True, help="Do much less: shows that it runs, and little more."),
        click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
        shared.as_json,
    ]  # fmt: skip
    if trains:
        options += [
            click.option("--target", metavar="NAME", help="The column to learn; of an .npz file y."),
            click.option(
                "--seeds", type=click.IntRange(1, 100), default=None, help="Repetitions; 3, with --quick 1."
            ),
        ]  # fmt: skip

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.group(
    "reproduce",
    epilog="\b\nExamples:\n"
    "  cluster reproduce quantization\n"
    "  cluster reproduce times --bandwidth 10,100,1000 -o figures/\n"
    "  cluster reproduce partitions letter.csv --target letter",
)
def command() -> None:
    """Get the figures of published experiments again, small, on this machine.

    Each command writes a picture (PNG), all points (CSV), and a page (Markdown) that says what the paper claims, what
    came out here, and where they differ.
    """


@command.command("quantization", epilog="\b\nExample:\n  cluster reproduce quantization --quantize 0,50,100 --seeds 5")
@_common(trains=True)
@click.option("--net", metavar="NET", help="A net of the job train; cnn:16,32.")
@click.option(
    "--quantize", "values", type=_numbers(0, 100), metavar="PERCENT,…",
    help="Shares of the rounds whose gradients are quantized; 0,25,50,75,100.",
)  # fmt: skip
def quantization(**given: Any) -> int:
    """Accuracy over epochs and over virtual seconds with more and fewer quantized gradients.

    INPUT is as of the job train; without, the digits of scikit-learn are taken.
    """
    return _make("quantization", **given)


@command.command("times", epilog="\b\nExample:\n  cluster reproduce times --net resnet-s --bandwidth 10,1000")
@_common(trains=True)
@click.option("--net", metavar="NET", help="One net of the job train; cnn:16,32, mlp:128,128 and mlp:960,960.")
@click.option(
    "--bandwidth", "values", type=_numbers(0.001), metavar="MB,…", help="Of the links, in Mb/s; 10,100,1000."
)  # fmt: skip
def times(**given: Any) -> int:
    """Where the time of an iteration goes: compute, encode, transfer, apply.

    Compute, encode and apply are measured here, the transfer is bytes over bandwidth. INPUT is as of the job train.
    """
    return _make("times", **given)


@command.command("server-lr", epilog="\b\nExample:\n  cluster reproduce server-lr --server-lr 0.1,1 --mode sync")
@_common(trains=True)
@click.option("--net", metavar="NET", help="A net of the job train; mlp:64.")
@click.option("--server-lr", "values", type=_numbers(0.001, 100), metavar="RATE,…", help="Rates; 0.1,0.5,1,2.")
@click.option("--mode", "modes", type=_words("sync", "async"), metavar="MODE,…", help="sync,async.")
def server_lr(**given: Any) -> int:
    """Loss and accuracy with several learning rates of the server, with fresh and with stale gradients.

    INPUT is as of the job train; without, the digits of scikit-learn are taken.
    """
    return _make("server-lr", **given)


@command.command("partitions", epilog="\b\nExample:\n  cluster reproduce partitions letter.csv --target letter")
@_common(trains=True)
@click.option("--net", metavar="NET", help="A net of the job train; mlp:64.")
@click.option(
    "--partition", "values", type=_words("slice", "sample", "sorted"), metavar="KIND,…", help="slice,sample,sorted."
)  # fmt: skip
def partitions(**given: Any) -> int:
    """Accuracy with shards of scrambled, sampled and sorted rows.

    INPUT is as of the job train; without, the digits of scikit-learn are taken.
    """
    return _make("partitions", **given)


@command.command("clients", epilog="\b\nExample:\n  cluster reproduce clients ./scans --clients 1,3,5")
@_common(trains=False)
@click.option(
    "--clients", "values", type=_numbers(1, 1000, whole=True), metavar="NUMBER,…", help="Simulated nodes; 1,3,5."
)  # fmt: skip
def clients(**given: Any) -> int:
    """Minutes of text recognition on several clients, beside published ones.

    Each page of INPUT, a folder of pictures, is really read once; nodes are simulated. Without INPUT, the example
    pictures of a clone are taken.
    """
    return _make("clients", **given)


def _make(figure: str, *, folder: Path, quiet: bool, as_json: bool, **given: Any) -> int:
    asked = {name: value for name, value in given.items() if value is not None}
    with foreground.terminable(), StepsBar(figure, quiet=quiet) as tell:
        command = shlex.join(["cluster", *sys.argv[1:]])
        finding, paths = figures.reproduce(figure, output=folder, command=command, tell=tell, **asked)
    if as_json:
        shared.print_json({**finding.told, "files": [str(path) for path in paths]})
    else:
        print_text("\n".join([*finding.found, "", *map(str, paths)]))
    for warning in finding.warnings:
        say(f"not to be relied on: {warning}")
    return 0
