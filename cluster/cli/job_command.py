"""A command whose options and help are also those of the job that it is given."""

from __future__ import annotations

import copy
from itertools import zip_longest
from typing import Any

import click

from cluster import catalog
from cluster.job import Job
from cluster.option import Option


class JobCommand(click.Command):
    """Has the options of the job that ``--job`` names besides its own, and tells of that job in its help."""

    def jobs(self) -> list[Job]:
        """The jobs that ``--job`` may name."""
        return list(catalog.jobs().values())

    def options_of(self, job: Job) -> list[Option]:
        """The options of a job that the command takes."""
        return [*job.options, job.chunk_size]

    def about(self, job: Job) -> list[str]:
        """Sentences about a job, for the help."""
        return [f"The job {job.name}: {job.about}.", f"Formats of its result: {', '.join(job.format_names)}."]

    def example(self, job: Job) -> str:
        """A command with a job, to paste."""
        return f"cluster submit --job {job.name} {job.example or _example(job)}"

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters, and those of the job."""
        own, job = super().get_params(ctx), _job(ctx)
        return [*(_for(job, parameter) for parameter in own), *self._options(job)] if job else own

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Look for the job first: what else may stand there depends on it."""
        for word, following in zip_longest(args, args[1:]):
            name = None
            if word in ("--job", "-j"):
                name = following
            elif word.startswith("--job="):
                name = word.removeprefix("--job=")
            elif word.startswith("-j") and not word.startswith("--"):
                name = word[2:]
            if name is not None:
                ctx.meta["job"] = catalog.get(name)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if having := [job.name for job in self.jobs() if self._has(job, error.option_name)]:
                job = _job(ctx)
                but = f"not of {job.name}" if job else "which --job must name"
                raise click.UsageError(f"{error.option_name} is an option of {', '.join(having)}, {but}", ctx) from None
            raise

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the job does and the formats of its result; without a job, list the jobs."""
        super().format_help_text(ctx, formatter)
        job = _job(ctx)
        if job:
            texts = self.about(job)
        else:
            names = ", ".join(job.name for job in self.jobs())
            told = f"`cluster jobs` describes them, `{ctx.command_path} --job NAME --help` their options."
            texts = [f"Jobs: {names}. {told}"]
        for text in texts:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(text)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those of the job first."""
        if job := _job(ctx):
            with formatter.section(f"Options of {job.name}"):
                formatter.write_dl([record for one in self._options(job) if (record := one.get_help_record(ctx))])
        own = [_for(job, one) if job else one for one in super().get_params(ctx) if isinstance(one, click.Option)]
        with formatter.section("Options"):
            formatter.write_dl([record for one in own if (record := one.get_help_record(ctx))])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples with the job, if there is one."""
        job, epilog = _job(ctx), self.epilog or ""
        if job is None:
            super().format_epilog(ctx, formatter)
            return
        formatter.write_paragraph()
        formatter.write(f"  Example:\n    {self.example(job)}\n")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(epilog.rpartition("\n\n")[2])

    def _options(self, job: Job) -> list[click.Option]:
        return [_parameter(option) for option in self.options_of(job)]

    def _has(self, job: Job, flag: str) -> bool:
        return any(flag in option.opts + option.secondary_opts for option in self._options(job))


def _job(ctx: click.Context) -> Job | None:
    job: Job | None = ctx.meta.get("job")
    return job


def _example(job: Job) -> str:
    needed = (f"{option.flag} {option.name.upper()} " for option in job.options if option.required)
    return f"{''.join(needed)}INPUT..."


def _for(job: Job, parameter: click.Parameter) -> click.Parameter:
    """A parameter of the command as it is for a job: the formats that it has, drawing only if it draws, a plan or
    checkpoints only if it has them."""
    changed: Any = copy.copy(parameter)
    if parameter.name == "format_name":
        changed.metavar = f"[{'|'.join(job.format_names)}]"
    if parameter.name == "drawn":
        changed.hidden = job.draw is None
    if parameter.name == "save":
        changed.hidden = job.rounds is None or job.rounds.checkpoint is None
    if parameter.name == "plan":
        changed.hidden = job.plan is None
    if parameter.name in ("only_new", "watch_s", "retry_failed"):
        changed.hidden = not job.formats_to_add_to
    return changed  # type: ignore[no-any-return]


def _parameter(option: Option) -> click.Option:
    help_text = option.help if option.default is None else f"{option.help}  [default: {option.default}]"
    if option.type is bool:
        return click.Option([f"{option.flag}/--no-{option.flag[2:]}", option.name], default=None, help=help_text)
    kind: Any = option.type
    most = option.maximum if option.below is None else option.below
    if option.type in (int, float) and (option.minimum is not None or most is not None):
        ranged = click.IntRange if option.type is int else click.FloatRange
        kind = ranged(min=option.minimum, max=most, max_open=option.below is not None)  # type: ignore[arg-type]
    if option.choices:
        kind = click.Choice(option.choices)
    if option.repeats:
        help_text += "  (may be given several times)"
    return click.Option(
        [option.flag, option.name], type=kind, default=None, help=help_text, multiple=option.repeats,
        callback=(lambda ctx, parameter, found: " ".join(found) or None) if option.repeats else None,
    )  # fmt: skip
