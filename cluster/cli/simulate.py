"""``cluster simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cluster import catalog, client, errors
from cluster.cli import output as outputs
from cluster.cli import plot, print_text, shared, simulation_plot, simulation_texts
from cluster.cli.job_command import JobCommand
from cluster.cli.simulation_bar import Bar
from cluster.client import simulation_check
from cluster.client.simulated import LEFT_OUT, POLICIES, report
from cluster.format import Format
from cluster.job import Job
from cluster.option import Option
from cluster.texts import curve_texts

OWN = ("topology",)
"""Options of the job that the command has itself."""


class SimulateCommand(JobCommand):
    """Has the options of ``train``, but for those about models that are kept."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, as for that job."""
        ctx.meta["job"] = catalog.get("train")
        return super().parse_args(ctx, args)

    def options_of(self, job: Job) -> list[Option]:
        """The options of the job that a simulation takes."""
        return [option for option in super().options_of(job) if option.name not in (*LEFT_OUT, *OWN)]

    def about(self, job: Job) -> list[str]:
        """What the policies stand for."""
        return ["Policies:", *(f"{name}: {policy.about}." for name, policy in POLICIES.items())]

    def example(self, job: Job) -> str:
        """A command to paste."""
        return "cluster simulate letters.npz --network net.toml --policy barrier --policy quorum --seconds 60"


@click.command(
    "simulate",
    cls=SimulateCommand,
    epilog="\b\nExamples:\n"
    "  cluster simulate letters.npz --network net.toml --policy barrier --policy time --policy quorum\n"
    "  cluster simulate letters.npz --network net.toml --net mlp:64 --steps 10 --csv rows.csv --plot curves.png\n\n"
    "Exit codes: 0 done, 2 wrong use, 5 a round can never be closed, 6 a library is missing.",
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--network", required=True, type=shared.PATH, metavar="FILE", help="The network: see docs/howto/simulate.md."
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice(list(POLICIES)),
    help="When a round is closed; several are compared.  [default: given]",
)
@click.option(
    "--topology",
    type=click.Choice(["star", "tree", "ring", "auto"]),
    default="star",
    show_default=True,
    help="How parts travel; auto: what is predicted to be the fastest.",
)
@click.option("--seconds", type=click.FloatRange(min=0), default=0.0, help="End after these virtual seconds; 0: never.")
@click.option("--csv", "csv_file", type=shared.PATH, metavar="FILE", help="Write the rows of all curves as CSV.")
@click.option("--plot", "plot_file", type=shared.PATH, metavar="FILE", help="Draw the curves (PNG); needs matplotlib.")
@click.option("--check", is_flag=True, help="Compare with a private cluster whose turns take as long (star, barrier).")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@shared.as_json
def command(
    inputs: tuple[str, ...], network: Path, policies: tuple[str, ...], topology: str, seconds: float,
    csv_file: Path | None, plot_file: Path | None, check: bool, quiet: bool, as_json: bool, **given: Any,
) -> int:  # fmt: skip
    """Train on a simulated network, in virtual time: the numbers are real, waiting is not.

    Tells for each policy how accurate the weights are at which virtual second, and what went over the links.
    """
    plot.check(csv_file, plot_file, "--plot")
    options = {name: value for name, value in given.items() if value is not None}
    if check:
        return _check(inputs, network, options, as_json=as_json)
    with Bar(quiet=quiet) as bar:
        runs = client.simulate(
            inputs, network=network, policies=policies or ("given",), topology=topology, seconds=seconds,
            on_round=bar.show, **options,
        )  # fmt: skip
    if csv_file is not None:
        outputs.write(Format(curve_texts.write_csv), report.csv_rows(runs), csv_file)
    if plot_file is not None:
        outputs.write(Format(lambda found, out: out.write(simulation_plot.png(found))), runs, plot_file)
    if as_json:
        shared.print_json(report.as_json(runs))
        return 0
    print_text(simulation_texts.table(runs))
    print_text("")
    for run in runs:
        print_text(simulation_texts.links(run))
    return 0


def _check(inputs: tuple[str, ...], network: Path, options: dict[str, Any], *, as_json: bool) -> int:
    found = simulation_check.check(inputs, network=network, **options)
    if as_json:
        shared.print_json({**found._asdict(), "off": found.off, "is_good": found.is_good})
    else:
        print_text(simulation_texts.checked(found))
    return 0 if found.is_good else errors.ClusterError.exit_code
